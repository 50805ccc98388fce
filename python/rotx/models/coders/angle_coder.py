"""Protocol of angle coders, for heads that predict the angle separately from the box, and the identity coder.

``encode`` converts angles (N, 1) in radians to targets (N, encode_size); ``decode`` converts predictions
(..., encode_size) to angles (...), or (..., 1) with ``keepdim``.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class AngleCoder(Protocol):
    """Interface of all angle coders."""

    encode_size: int

    def encode(self, angles: Tensor) -> Tensor:
        """Returns targets (N, encode_size) for angles (N, 1)."""

    def decode(self, predictions: Tensor, keepdim: bool = False) -> Tensor:
        """Returns angles from predictions (..., encode_size)."""


class PseudoAngleCoder:
    """Identity: the code of an angle is the angle itself."""

    encode_size = 1

    def encode(self, angles: Tensor) -> Tensor:
        """Returns the angles (N, 1) unchanged."""
        return angles

    def decode(self, predictions: Tensor, keepdim: bool = False) -> Tensor:
        """Returns the predictions (..., 1) as angles."""
        return predictions if keepdim else predictions.squeeze(-1)
