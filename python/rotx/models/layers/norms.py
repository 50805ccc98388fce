"""Factories of normalisations; each corresponds to a ``type`` of ``norm_cfg``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import nn


class Norm(Protocol):
    """Factory of normalisation layers, built from a config's ``norm_cfg``."""

    #: Name of the layer within a :class:`ConvModule` and therefore in the keys of checkpoints.
    name: str

    def __call__(self, channels: int) -> nn.Module:
        """Returns a layer for feature maps with this number of channels."""


class BN:
    """Batch normalisation, as ``norm_cfg=dict(type='BN')``."""

    name = "bn"
    layer: Callable[..., nn.Module] = nn.BatchNorm2d

    def __init__(self, *, requires_grad: bool = True, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.requires_grad, self.eps, self.momentum = requires_grad, eps, momentum

    def __call__(self, channels: int) -> nn.Module:
        """Returns a layer for feature maps with this number of channels."""
        return self.layer(channels, eps=self.eps, momentum=self.momentum).requires_grad_(self.requires_grad)


class SyncBN(BN):
    """Batch normalisation over the images of all processes; like torch's, it trains on CUDA only."""

    layer = nn.SyncBatchNorm


class GN:
    """Group normalisation, as ``norm_cfg=dict(type='GN', num_groups=32)``."""

    name = "gn"

    def __init__(self, *, num_groups: int, requires_grad: bool = True, eps: float = 1e-5) -> None:
        self.num_groups, self.requires_grad, self.eps = num_groups, requires_grad, eps

    def __call__(self, channels: int) -> nn.Module:
        """Returns a layer for feature maps with this number of channels."""
        return nn.GroupNorm(self.num_groups, channels, eps=self.eps).requires_grad_(self.requires_grad)
