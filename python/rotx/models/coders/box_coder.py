"""What every coder of boxes offers."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class BoxCoder(Protocol):
    """What every coder here is."""

    encode_size: int

    def encode(self, priors: Tensor, gts: Tensor) -> Tensor:
        """Targets (N, encode_size) for priors (N, ·) and gts (N, ·)."""

    def decode(self, priors: Tensor, deltas: Tensor, max_shape: tuple[int, ...] | None = None) -> Tensor:
        """Boxes (N, ·) from priors (N, ·) and deltas (N, encode_size); ``max_shape``: height, width of the image."""
