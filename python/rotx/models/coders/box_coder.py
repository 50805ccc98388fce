"""What every coder of boxes offers."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from rotx.boxes import BoxKind


class BoxCoder(Protocol):
    """What every coder here is."""

    #: Number of values that stand for a box.
    encode_size: int
    #: Kind of the boxes that are encoded and decoded.
    box_kind: BoxKind

    def encode(self, priors: Tensor, gts: Tensor) -> Tensor:
        """Targets (N, encode_size) for priors (N, D) and gts (N, D'), boxes of ``box_kind``."""

    def decode(self, priors: Tensor, deltas: Tensor, max_shape: tuple[int, ...] | None = None) -> Tensor:
        """Boxes (N, D') from priors (N, D) and deltas (N, encode_size).

        Args:
            priors: Priors.
            deltas: Encoded boxes.
            max_shape: Height and width of the image, for coders that clip boxes to it.
        """
