"""Transforms that flip the image; no torch. See `rotx.datasets.transforms.loading` for the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np

from rotx.boxes import Direction, flip_matrix
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.chances import drawn, shares
from rotx.datasets.transforms.warp import Geometric, Warp


class RandomFlip(Geometric):
    """Flips the image at random.

    Args:
        prob: Probability of flipping, shared equally by several directions; or one probability for each direction.
        direction: ``"horizontal"``, ``"vertical"``, ``"diagonal"`` (both), or several of these.

    Raises:
        ValueError: For another direction, or probabilities that sum to more than 1.
    """

    def __init__(
        self, *, prob: float | Sequence[float], direction: Direction | Sequence[Direction] = "horizontal"
    ) -> None:
        self.directions = [direction] if isinstance(direction, str) else list(direction)
        if not self.directions or not set(self.directions) <= set(get_args(Direction)):
            raise ValueError(f"direction: need 'horizontal', 'vertical', 'diagonal' or several, got {direction!r}")
        self.bounds = shares(prob, len(self.directions), "direction")

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """Draws the flip; None to leave the image."""
        chosen = drawn(self.bounds, rng)
        if chosen == len(self.directions):
            return None
        return Warp(flip_matrix(sample.size, self.directions[chosen]), sample.size)
