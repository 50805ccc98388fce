"""Limits of valid coordinates and sides of objects."""

from __future__ import annotations

#: Largest valid coordinate, in pixels; the readers in Rust use the same limit.
HUGE = 1e9

#: Shortest side that can be learnt, in pixels: below it, side and angle are rounding errors.
LEAST_SIDE = 1e-3
