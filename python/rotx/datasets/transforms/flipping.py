"""Transforms that mirror the image; no torch. Calling them: see `rotx.datasets.transforms.loading`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np

from rotx.boxes import Direction, flip_matrix
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.chances import drawn, shares
from rotx.datasets.transforms.warp import Geometric, Warp


class RandomFlip(Geometric):
    """Mirrors the image, or leaves it.

    Args:
        prob: of mirroring; with several directions each has an equal part of it; or one for each of them.
        direction: ``"horizontal"``, ``"vertical"``, ``"diagonal"`` (both), or several.

    Raises:
        ValueError: for another direction, or probabilities that are more than 1 together.
    """

    def __init__(
        self, *, prob: float | Sequence[float], direction: Direction | Sequence[Direction] = "horizontal"
    ) -> None:
        self.directions = [direction] if isinstance(direction, str) else list(direction)
        if not self.directions or not set(self.directions) <= set(get_args(Direction)):
            raise ValueError(f"direction: need 'horizontal', 'vertical', 'diagonal' or several, got {direction!r}")
        self.bounds = shares(prob, len(self.directions), "direction")

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """The mirroring that is drawn; None for none."""
        chosen = drawn(self.bounds, rng)
        if chosen == len(self.directions):
            return None
        return Warp(flip_matrix(sample.size, self.directions[chosen]), sample.size)
