"""The protocol of prior generators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.models.priors.grid import Device, Size


class PriorGenerator(Protocol):
    """Makes the priors of feature maps, level by level."""

    box_kind: BoxKind

    @property
    def num_base_priors(self) -> list[int]:
        """Number of priors per place, for each level."""

    def grid_priors(
        self, featmap_sizes: Sequence[Size], dtype: torch.dtype = torch.float32, device: Device = "cpu"
    ) -> list[Tensor]:
        """Priors (N, D) of each level; they are cached and must not be modified.

        Args:
            featmap_sizes: Height and width of each level.
            dtype: Floating dtype.
            device: Device of the priors.
        """

    def valid_flags(
        self, featmap_sizes: Sequence[Size], pad_shape: Sequence[int], device: Device = "cpu"
    ) -> list[Tensor]:
        """Whether each prior lies inside the padded image: (N,) bool for each level."""
