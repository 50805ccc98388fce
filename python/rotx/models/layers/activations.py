"""Factories of activations; each corresponds to a ``type`` of ``act_cfg``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

#: Factory of activation layers, built from a config's ``act_cfg``. Each module gets its own activation.
Activation = Callable[[], nn.Module]


def relu(*, inplace: bool = True) -> Activation:
    """ReLU, as ``act_cfg=dict(type='ReLU')``."""
    return partial(nn.ReLU, inplace=inplace)


def relu6(*, inplace: bool = True) -> Activation:
    """ReLU clipped at 6, as ``act_cfg=dict(type='ReLU6')``."""
    return partial(nn.ReLU6, inplace=inplace)


def leaky_relu(*, negative_slope: float = 0.01, inplace: bool = True) -> Activation:
    """ReLU with a small slope for negative inputs, as ``act_cfg=dict(type='LeakyReLU', negative_slope=0.1)``."""
    return partial(nn.LeakyReLU, negative_slope=negative_slope, inplace=inplace)


def silu(*, inplace: bool = True) -> Activation:
    """SiLU (Swish), x · sigmoid(x), as ``act_cfg=dict(type='SiLU')``."""
    return partial(nn.SiLU, inplace=inplace)


def gelu() -> Activation:
    """GELU, as ``act_cfg=dict(type='GELU')``."""
    return nn.GELU


def hard_swish(*, inplace: bool = True) -> Activation:
    """Hard swish, x · relu6(x + 3) / 6, as ``act_cfg=dict(type='HSwish')``."""
    return partial(nn.Hardswish, inplace=inplace)


def hard_sigmoid(*, inplace: bool = True) -> Activation:
    """Hard sigmoid, relu6(x + 3) / 6, as ``act_cfg=dict(type='HSigmoid')``."""
    return partial(nn.Hardsigmoid, inplace=inplace)


def mish(*, inplace: bool = True) -> Activation:
    """Mish, x · tanh(softplus(x)), as ``act_cfg=dict(type='Mish')``."""
    return partial(nn.Mish, inplace=inplace)


def sigmoid() -> Activation:
    """Sigmoid, as ``act_cfg=dict(type='Sigmoid')``."""
    return nn.Sigmoid
