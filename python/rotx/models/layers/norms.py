"""Normalisations, by the names of configs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import nn


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
