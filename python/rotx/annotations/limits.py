"""Limits of valid coordinates and sides of objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.files import FormatError

#: Largest valid coordinate, in pixels; the readers in Rust use the same limit.
HUGE = 1e9

#: Shortest side that can be learnt, in pixels: below it, side and angle are rounding errors.
LEAST_SIDE = 1e-3


def check_pixels(corners: NDArray[np.float64], file: str) -> None:
    """Refuses corners (N, 8) of a dataset that are all fractions of the image's sides.

    Raises:
        FormatError: If no coordinate lies outside of 0 to 1, and not all are whole numbers.
    """
    if len(corners) and corners.min() >= 0 and corners.max() <= 1 and (corners % 1).any():
        raise FormatError(
            f"{file}: all coordinates lie between 0 and 1: need pixels, not fractions of the image's sides"
        )
