"""Small layers that backbones, necks and heads share, with the parameter names of mmcv's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn


class Norm(Protocol):
    """Makes normalisation layers: what a config's ``norm_cfg`` becomes."""

    #: Name of the layer within a :class:`ConvModule`, and so in the keys of a checkpoint.
    name: str

    def __call__(self, channels: int) -> nn.Module:
        """A layer for feature maps of so many channels."""


class BN:
    """Batch normalisation, as ``norm_cfg=dict(type='BN')``."""

    name = "bn"
    layer: Callable[..., nn.Module] = nn.BatchNorm2d

    def __init__(self, *, requires_grad: bool = True, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.requires_grad, self.eps, self.momentum = requires_grad, eps, momentum

    def __call__(self, channels: int) -> nn.Module:
        """A layer for feature maps of so many channels."""
        return self.layer(channels, eps=self.eps, momentum=self.momentum).requires_grad_(self.requires_grad)


class SyncBN(BN):
    """Batch normalisation over the images of all processes: trains on CUDA only, as torch's does."""

    layer = nn.SyncBatchNorm


class GN:
    """Group normalisation, as ``norm_cfg=dict(type='GN', num_groups=32)``."""

    name = "gn"

    def __init__(self, *, num_groups: int, requires_grad: bool = True, eps: float = 1e-5) -> None:
        self.num_groups, self.requires_grad, self.eps = num_groups, requires_grad, eps

    def __call__(self, channels: int) -> nn.Module:
        """A layer for feature maps of so many channels."""
        return nn.GroupNorm(self.num_groups, channels, eps=self.eps).requires_grad_(self.requires_grad)


class ConvModule(nn.Module):
    """Convolution, then normalisation, then ReLU; the last two may be left out.

    The parameters are named ``conv.*`` and ``bn.*`` or ``gn.*``, as in mmcv.

    Args:
        in_channels: of the input (B, in_channels, H, W).
        out_channels: of the output (B, out_channels, H', W').
        kernel_size: in pixels.
        stride: in pixels.
        padding: in pixels, of zeros.
        norm: makes the normalisation; None for none.
        relu: whether a ReLU follows.
        bias: whether the convolution has a bias; None: where no normalisation follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        norm: Norm | None = None,
        relu: bool = True,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        bias = norm is None if bias is None else bias
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm_name = None if norm is None else norm.name
        if norm is not None:
            self.add_module(norm.name, norm(out_channels))
        self.relu = nn.ReLU(inplace=True) if relu else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, out_channels, H', W')."""
        x = self.conv(x)
        if self.norm_name is not None:
            x = self.get_submodule(self.norm_name)(x)
        return x if self.relu is None else self.relu(x)


class Scale(nn.Module):
    """Multiplies by one learned number, the parameter ``scale`` (a scalar tensor)."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape, scaled."""
        return x * self.scale


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
