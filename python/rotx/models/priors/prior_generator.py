"""What makes priors for the dense heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.models.priors.grid import Device, Size


class PriorGenerator(Protocol):
    """Makes the priors of feature grids, a level each."""

    box_kind: BoxKind

    @property
    def num_base_priors(self) -> list[int]:
        """Number of priors at one place of each level."""

    def grid_priors(
        self, featmap_sizes: Sequence[Size], dtype: torch.dtype = torch.float32, device: Device = "cpu"
    ) -> list[Tensor]:
        """Priors (N, D) of each level; they are kept for the next call and must not be modified.

        Args:
            featmap_sizes: Height and width of each level.
            dtype: Floating dtype.
            device: Device of the priors.
        """

    def valid_flags(
        self, featmap_sizes: Sequence[Size], pad_shape: Sequence[int], device: Device = "cpu"
    ) -> list[Tensor]:
        """Which priors of each level belong to an image of a padded height and width, bool (N,)."""
