"""Convolutions, by the names of configs."""

from __future__ import annotations

from typing import Protocol

from torch import nn


class Conv(Protocol):
    """Makes convolutions: what a config's ``conv_cfg`` becomes."""

    def __call__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        padding: int,
        dilation: int,
        groups: int,
        bias: bool,
    ) -> nn.Module:
        """A layer with the parameter ``weight``, and ``bias`` if it has one."""


def conv2d() -> Conv:
    """The plain convolution, as ``conv_cfg=dict(type='Conv2d')``."""
    return nn.Conv2d
