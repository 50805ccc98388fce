"""Coders of angles, for heads that predict the angle apart from the box, and the plainest of them.

``encode`` takes angles (N, 1) in radians and gives (N, encode_size); ``decode`` takes predictions
(..., encode_size) and gives angles (...), or (..., 1) with ``keepdim``.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class AngleCoder(Protocol):
    """What every coder here is."""

    encode_size: int

    def encode(self, angles: Tensor) -> Tensor:
        """Targets (N, encode_size) for angles (N, 1)."""

    def decode(self, predictions: Tensor, keepdim: bool = False) -> Tensor:
        """Angles from predictions (..., encode_size)."""


class PseudoAngleCoder:
    """The angle as it is."""

    encode_size = 1

    def encode(self, angles: Tensor) -> Tensor:
        """The angles (N, 1) themselves."""
        return angles

    def decode(self, predictions: Tensor, keepdim: bool = False) -> Tensor:
        """Angles from predictions (..., 1)."""
        return predictions if keepdim else predictions.squeeze(-1)
