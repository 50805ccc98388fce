"""Probabilities of random transforms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def probability(prob: float) -> float:
    """Returns a probability; raises ValueError for a number outside [0, 1]."""
    if not isinstance(prob, int | float) or not 0 <= prob <= 1:
        raise ValueError(f"prob: need a number in [0, 1], got {prob!r}")
    return prob


def shares(prob: float | Sequence[float], count: int, of: str) -> NDArray[np.float64]:
    """Upper bounds of ``count`` intervals in [0, 1]: of equal lengths that sum to ``prob``, or of lengths ``prob``."""
    probs = [prob / count] * count if isinstance(prob, int | float) else list(prob or ())
    if (
        len(probs) != count
        or not all(isinstance(p, int | float) for p in probs)
        or min(probs) < 0
        or sum(probs) > 1 + 1e-9
    ):
        raise ValueError(f"prob: need a number in [0, 1], or one for each {of}, got {prob!r}")
    return np.cumsum(probs)


def drawn(bounds: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Draws a number and returns the index of its interval; ``len(bounds)`` if it lies in none."""
    return int(np.searchsorted(bounds, rng.random(), side="right"))
