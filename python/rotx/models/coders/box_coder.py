"""Protocol of box coders."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from rotx.boxes import BoxKind


class BoxCoder(Protocol):
    """Interface of all box coders."""

    #: Number of values per encoded box.
    encode_size: int
    #: Kind of the encoded and decoded boxes.
    box_kind: BoxKind

    def encode(self, priors: Tensor, gts: Tensor) -> Tensor:
        """Returns targets (N, encode_size) for priors (N, D) and gts (N, D') of kind ``box_kind``."""

    def decode(self, priors: Tensor, deltas: Tensor, max_shape: tuple[int, ...] | None = None) -> Tensor:
        """Returns boxes (N, D') from priors (N, D) and deltas (N, encode_size).

        Args:
            priors: Priors (N, D).
            deltas: Encoded boxes (N, encode_size).
            max_shape: Height and width of the image, for coders that clip boxes to it.
        """
