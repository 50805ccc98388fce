"""Transforms that rotate the image; no torch. See `rotx.datasets.transforms.loading` for the protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np

from rotx.boxes import corners
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.chances import drawn, probability, shares
from rotx.datasets.transforms.warp import Color, Geometric, Warp, interpolation_flag, per_channel


class Rotate(Geometric):
    """Rotates the image about its centre; the image keeps its size.

    Objects whose centre leaves the image are dropped.

    Args:
        rotate_angle: Angle in degrees, clockwise.
        img_border_value: Value of pixels outside the image; one number, or B, G, R.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"area"`` or ``"lanczos"``.
    """

    def __init__(
        self,
        *,
        rotate_angle: float,
        img_border_value: float | Sequence[float] = 0,
        interpolation: str = "bilinear",
    ) -> None:
        if not isinstance(rotate_angle, int | float):
            raise ValueError(f"rotate_angle: need degrees, got {rotate_angle!r}")
        self.rotate_angle = rotate_angle
        self.border = per_channel("img_border_value", img_border_value)
        self.interpolation = interpolation_flag(interpolation)

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """Returns the rotation; None for full turns."""
        return turning(sample, self.rotate_angle, self.border, self.interpolation)


class RandomRotate(Geometric):
    """Rotates the image by a random angle; see :class:`Rotate`.

    Args:
        prob: Probability of rotating.
        angle_range: Greatest angle in degrees, either way.
        rect_obj_labels: Labels of objects with horizontal boxes by convention, such as round ones: an image with such
            an object is rotated by ±90 or 180 degrees instead. Indices into ``classes``, from 0.
        img_border_value, interpolation: See :class:`Rotate`.
    """

    def __init__(
        self,
        *,
        prob: float = 0.5,
        angle_range: float = 180,
        rect_obj_labels: Sequence[int] | None = None,
        img_border_value: float | Sequence[float] = 0,
        interpolation: str = "bilinear",
    ) -> None:
        if not 0 < angle_range <= 180:
            raise ValueError(f"angle_range: need degrees in (0, 180], got {angle_range}")
        self.prob = probability(prob)
        self.angle_range = angle_range
        self.rect_obj_labels = _labels(rect_obj_labels)
        self.turn = _turner(img_border_value, interpolation)

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """Draws the rotation; None to leave the image."""
        if rng.random() >= self.prob:
            return None
        angle = rng.uniform(-self.angle_range, self.angle_range)
        if np.isin(sample.instances.labels, self.rect_obj_labels).any():
            angle = rng.choice((90, 180, -90))
        return self.turn(sample, float(angle))


class RandomChoiceRotate(Geometric):
    """Rotates the image by one of several angles; see :class:`Rotate`.

    Args:
        angles: Angles in degrees, clockwise.
        prob: Probability of rotating, shared equally by the angles; or one probability for each angle.
        rect_obj_labels, img_border_value, interpolation: See :class:`RandomRotate`.
    """

    def __init__(
        self,
        *,
        angles: Sequence[float],
        prob: float | Sequence[float] = 0.5,
        rect_obj_labels: Sequence[int] | None = None,
        img_border_value: float | Sequence[float] = 0,
        interpolation: str = "bilinear",
    ) -> None:
        if not angles:
            raise ValueError("angles: need at least one")
        self.angles = tuple(angles)
        self.bounds = shares(prob, len(self.angles), "angle")
        self.rect_obj_labels = _labels(rect_obj_labels)
        self.turn = _turner(img_border_value, interpolation)

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """Draws the rotation; None to leave the image."""
        chosen = drawn(self.bounds, rng)
        if chosen == len(self.angles):
            return None
        rectangular = np.isin(sample.instances.labels, self.rect_obj_labels).any()
        return self.turn(sample, float(rng.choice((90, 180, -90)) if rectangular else self.angles[chosen]))


def _turner(img_border_value: float | Sequence[float], interpolation: str) -> Callable[[Sample, float], Warp | None]:
    """Returns a function that rotates a sample by an angle in degrees, clockwise."""
    border = per_channel("img_border_value", img_border_value)
    return partial(turning, border=border, interpolation=interpolation_flag(interpolation))


def turning(sample: Sample, degrees: float, border: Color, interpolation: int) -> Warp | None:
    """Returns the rotation of a sample about its centre ((width − 1)/2, (height − 1)/2); None if it changes nothing.

    Objects whose centre leaves the image are dropped.
    """
    height, width = sample.size
    turn = float(degrees) % 360
    if turn == 0:
        return None
    # OpenCV's angles are counter-clockwise.
    matrix = np.vstack([cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -turn, 1), [0, 0, 1]])
    if turn % 90 == 0:
        matrix = matrix.round(6)  # removes rounding errors: the exact entries are multiples of a half
    centers = corners(sample.instances.boxes, sample.instances.kind).mean(axis=1)
    x, y = (centers @ matrix[:2, :2].T + matrix[:2, 2]).T
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    return Warp(matrix, sample.size, interpolation, border, inside, "outside the rotated image")


def _labels(labels: Sequence[int] | None) -> tuple[int, ...]:
    """Checks that these are labels; class names would never match the numbers of the objects."""
    if labels is None:
        return ()
    if not isinstance(labels, list | tuple) or not all(type(label) is int and label >= 0 for label in labels):
        raise ValueError(f"rect_obj_labels: need labels, such as [9, 11], got {labels!r}")
    return tuple(labels)
