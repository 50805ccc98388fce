"""Probabilities of random transforms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def probability(prob: float) -> float:
    """A probability; ValueError for what is none."""
    if not isinstance(prob, int | float) or not 0 <= prob <= 1:
        raise ValueError(f"prob: need a number in [0, 1], got {prob!r}")
    return prob


def shares(prob: float | Sequence[float], count: int, of: str) -> NDArray[np.float64]:
    """The upper bounds of ``count`` parts of [0, 1]: equal ones that are ``prob`` together, or of its sizes."""
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
    """Which part a random number is in; ``len(bounds)`` for none."""
    return int(np.searchsorted(bounds, rng.random(), side="right"))
