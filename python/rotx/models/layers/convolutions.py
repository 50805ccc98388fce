"""Factories of convolutions; each corresponds to a ``type`` of ``conv_cfg``."""

from __future__ import annotations

from typing import Protocol

from torch import nn


class Conv(Protocol):
    """Factory of convolutions, built from a config's ``conv_cfg``."""

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
        """Returns a layer with the parameter ``weight``, and ``bias`` if requested."""


def conv2d() -> Conv:
    """Ordinary convolution, as ``conv_cfg=dict(type='Conv2d')``."""
    return nn.Conv2d
