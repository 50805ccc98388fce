"""Initialisation and freezing of weights."""

from __future__ import annotations

import math

from torch import nn


def normal_init(module: nn.Module, std: float = 0.01, bias: float = 0.0) -> None:
    """Draws the weights of all convolutions and linear layers in ``module`` from N(0, std²) and sets their biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, bias)


def xavier_init(module: nn.Module) -> None:
    """Initialises all convolutions and linear layers in ``module`` by Xavier's uniform rule, with biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def bias_for_probability(probability: float) -> float:
    """Returns the bias at which a sigmoid gives ``probability``.

    With 0.01, the many background positions do not dominate the loss at the start of training.
    """
    return -math.log((1 - probability) / probability)


def freeze(modules: list[nn.Module]) -> None:
    """Freezes the parameters and the running statistics of modules."""
    for module in modules:
        module.eval()
        for parameter in module.parameters():
            parameter.requires_grad = False


def norms_to_eval(module: nn.Module) -> None:
    """Sets all batch normalisations in ``module`` to eval mode: they use their running statistics without updates."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()
