"""Initial weights, and weights that do not learn."""

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
    """Draws the weights of all convolutions and linear layers in ``module`` by Xavier's uniform rule; biases are 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def bias_for_probability(probability: float) -> float:
    """The bias at which a sigmoid gives ``probability``: 0.01 keeps the many background places quiet at the start."""
    return -math.log((1 - probability) / probability)


def freeze(modules: list[nn.Module]) -> None:
    """Stops training of the modules' parameters, and the updates of their running statistics."""
    for module in modules:
        module.eval()
        for parameter in module.parameters():
            parameter.requires_grad = False


def norms_to_eval(module: nn.Module) -> None:
    """Makes all batch normalisations in ``module`` use, and no longer update, their running statistics."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()
