"""Which coordinates and sides of objects are sound."""

from __future__ import annotations

#: No image has coordinates beyond this; the readers in Rust refuse them, too.
HUGE = 1e9

#: Objects with a side of fewer pixels cannot be learnt: their angle or their side is rounding.
LEAST_SIDE = 1e-3
