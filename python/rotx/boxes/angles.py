"""Angle versions: normalizing the representation of rectangles to the one that a model was trained with."""

from __future__ import annotations

from math import pi
from typing import Literal

from rotx.boxes.arrays import Array, namespace

AngleVersion = Literal["oc", "le90", "le135"]

# Lower end of each version's range; for norm_angle, with the period.
_STARTS = {"oc": -pi / 2, "le90": -pi / 2, "le135": -pi / 4}
_RANGES = {"le90": (-pi / 2, pi), "le135": (-pi / 4, pi), "r360": (-pi, 2 * pi)}


def norm_angle(angle: Array, version: str) -> Array:
    """Wraps angles, or differences of angles, of any shape, into the range of a version.

    ``le90`` and ``le135`` wrap by half turns. ``oc`` changes nothing: a quarter turn would swap w and h, which an angle
    alone cannot express. ``r360``, for boxes with a heading, wraps by full turns into [−π, π).

    Raises:
        ValueError: For another version.
    """
    if version == "oc":
        return angle
    if version not in _RANGES:
        raise ValueError(f"angle version: need 'oc', 'le90', 'le135' or 'r360', got {version!r}")
    start, period = _RANGES[version]
    return _wrap(angle - start, period) + start


def regularize(rboxes: Array, version: AngleVersion) -> Array:
    """Converts rboxes (..., 5) to an angle version; the rectangles stay the same.

    Raises:
        ValueError: For another version.
    """
    if version not in _STARTS:
        raise ValueError(f"angle version: need 'oc', 'le90' or 'le135', got {version!r}")
    xp = namespace(rboxes)
    start = _STARTS[version]
    cx, cy, w, h, angle = (rboxes[..., i] for i in range(5))
    if version == "oc":
        turn = _wrap(angle - start, pi)
        keep = turn < pi / 2
        angle = xp.where(keep, turn, turn - pi / 2) + start
    else:
        keep = w > h
        angle = _wrap(xp.where(keep, angle, angle + pi / 2) - start, pi) + start
    out: Array = xp.stack([cx, cy, xp.where(keep, w, h), xp.where(keep, h, w), angle], axis=-1)
    return out


def _wrap(angle: Array, period: float) -> Array:
    """Wraps into [0, period); handles tiny negative angles, whose remainder rounds to the period."""
    xp = namespace(angle)
    rest = angle % period
    out: Array = xp.where(rest >= period, xp.zeros_like(rest), rest)
    return out
