"""Transforms that turn or mirror the image: flip and rotate; no torch.

Calling them: see `rotx.datasets.transforms.loading`. As in MMRotate a flip takes x to width − x, which is off by a
pixel where the centres of pixels are whole numbers; a rotation turns about ((width − 1)/2, (height − 1)/2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.datasets.sample import Sample

Direction = Literal["horizontal", "vertical", "diagonal"]
Color = tuple[float, float, float]

_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
_FLIP_CODES = {"horizontal": 1, "vertical": 0, "diagonal": -1}
#: What OpenCV turns exactly and fast, by the angle in degrees.
_RIGHT_ANGLES = {90.0: cv2.ROTATE_90_CLOCKWISE, 180.0: cv2.ROTATE_180, 270.0: cv2.ROTATE_90_COUNTERCLOCKWISE}


class RandomFlip:
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
        self.bounds = _shares(prob, len(self.directions), "direction")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Mirrors image and objects, or neither."""
        chosen = _drawn(self.bounds, rng)
        if chosen < len(self.directions):
            _flip(sample, self.directions[chosen])
        return sample


class Rotate:
    """Turns image and objects about the image's centre; the image keeps its size.

    Objects whose centre leaves the image are dropped.

    Args:
        rotate_angle: in degrees, clockwise.
        img_border_value: of pixels from outside; one number, or B, G, R.
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

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Turns image and objects."""
        _rotate(sample, self.rotate_angle, self.border, self.interpolation)
        return sample


class RandomRotate:
    """Turns the image by a random angle; see :class:`Rotate`.

    Args:
        prob: of turning it.
        angle_range: greatest angle in degrees, either way.
        rect_obj_labels: an image with an object of one of these labels turns by ±90 or 180 degrees instead:
            their boxes are horizontal by convention, as those of round things. Places in ``classes``, from 0.
        rotate_type: only ``"Rotate"``, with or without a scope such as ``mmdet.``.
        img_border_value, interpolation: as of :class:`Rotate`.
    """

    def __init__(
        self,
        *,
        prob: float = 0.5,
        angle_range: float = 180,
        rect_obj_labels: Sequence[int] | None = None,
        rotate_type: str = "Rotate",
        img_border_value: float | Sequence[float] = 0,
        interpolation: str = "bilinear",
    ) -> None:
        if not 0 < angle_range <= 180:
            raise ValueError(f"angle_range: need degrees in (0, 180], got {angle_range}")
        self.prob = _probability(prob)
        self.angle_range = angle_range
        self.rect_obj_labels = _labels(rect_obj_labels)
        self.turn = _turner(rotate_type, img_border_value, interpolation)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Turns image and objects, or neither."""
        if rng.random() < self.prob:
            angle = rng.uniform(-self.angle_range, self.angle_range)
            if np.isin(sample.labels, self.rect_obj_labels).any():
                angle = rng.choice((90, 180, -90))
            self.turn(sample, float(angle))
        return sample


class RandomChoiceRotate:
    """Turns the image by one of several angles; see :class:`Rotate`.

    Args:
        angles: in degrees, clockwise.
        prob: of turning it, by each angle alike; or one for each angle.
        rect_obj_labels, rotate_type, img_border_value, interpolation: as of :class:`RandomRotate`.
    """

    def __init__(
        self,
        *,
        angles: Sequence[float],
        prob: float | Sequence[float] = 0.5,
        rect_obj_labels: Sequence[int] | None = None,
        rotate_type: str = "Rotate",
        img_border_value: float | Sequence[float] = 0,
        interpolation: str = "bilinear",
    ) -> None:
        if not angles:
            raise ValueError("angles: need at least one")
        self.angles = tuple(angles)
        self.bounds = _shares(prob, len(self.angles), "angle")
        self.rect_obj_labels = _labels(rect_obj_labels)
        self.turn = _turner(rotate_type, img_border_value, interpolation)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Turns image and objects, or neither."""
        chosen = _drawn(self.bounds, rng)
        if chosen < len(self.angles):
            rectangular = np.isin(sample.labels, self.rect_obj_labels).any()
            angle = rng.choice((90, 180, -90)) if rectangular else self.angles[chosen]
            self.turn(sample, float(angle))
        return sample


def _turner(
    rotate_type: str, img_border_value: float | Sequence[float], interpolation: str
) -> Callable[[Sample, float], None]:
    """What turns a sample by an angle in degrees."""
    if rotate_type.rpartition(".")[2] != "Rotate":
        raise ValueError(f"rotate_type: need 'Rotate', got {rotate_type!r}")
    border = per_channel("img_border_value", img_border_value)
    return partial(_rotate, border=border, interpolation=interpolation_flag(interpolation))


def interpolation_flag(name: str) -> int:
    """OpenCV's number for an interpolation. ValueError for an unknown one."""
    if name not in _INTERPOLATIONS:
        raise ValueError(f"interpolation: need one of {', '.join(map(repr, _INTERPOLATIONS))}, got {name!r}")
    return _INTERPOLATIONS[name]


def per_channel(name: str, value: float | Sequence[float]) -> Color:
    """One number for each of three channels. ValueError unless ``value`` is one or three."""
    values = (value,) * 3 if isinstance(value, int | float) else tuple(value)
    if len(values) != 3:
        raise ValueError(f"{name}: need one number or three, got {value!r}")
    return values[0], values[1], values[2]


def _flip(sample: Sample, direction: Direction) -> None:
    height, width = sample.size
    sample.image = cv2.flip(sample.image, _FLIP_CODES[direction])
    sx, x = (1, 0) if direction == "vertical" else (-1, width)
    sy, y = (1, 0) if direction == "horizontal" else (-1, height)
    sample.quads = sample.quads * np.tile((sx, sy), 4) + np.tile((x, y), 4)


def _rotate(sample: Sample, degrees: float, border: Color, interpolation: int) -> None:
    height, width = sample.size
    turn = float(degrees) % 360
    if turn == 0:
        return
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    if turn == 180 or (turn in _RIGHT_ANGLES and width == height):
        image = cv2.rotate(sample.image, _RIGHT_ANGLES[turn])
    else:
        matrix = cv2.getRotationMatrix2D((float(center[0]), float(center[1])), -turn, 1)  # OpenCV's are the other way
        # OpenCV turns four channels in half the time that it needs for three, to the same pixels.
        four = cv2.cvtColor(sample.image, cv2.COLOR_BGR2BGRA)
        four = cv2.warpAffine(four, matrix, (width, height), flags=interpolation, borderValue=(*border, 0))
        image = cv2.cvtColor(four, cv2.COLOR_BGRA2BGR)
    sample.image = image
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    points = (sample.quads.reshape(-1, 4, 2) - center) @ np.array([[c, s], [-s, c]]) + center
    sample.quads = points.reshape(-1, 8)
    x, y = points.mean(axis=1).T
    sample.keep((x >= 0) & (x <= width) & (y >= 0) & (y <= height), "outside the rotated image")


def _probability(prob: float) -> float:
    if not isinstance(prob, int | float) or not 0 <= prob <= 1:
        raise ValueError(f"prob: need a number in [0, 1], got {prob!r}")
    return prob


def _shares(prob: float | Sequence[float], count: int, of: str) -> NDArray[np.float64]:
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


def _drawn(bounds: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Which part a random number is in; ``len(bounds)`` for none."""
    return int(np.searchsorted(bounds, rng.random(), side="right"))


def _labels(labels: Sequence[int] | None) -> tuple[int, ...]:
    """ValueError unless these are labels: a name would never be found among the numbers of the objects."""
    if labels is None:
        return ()
    if not isinstance(labels, list | tuple) or not all(type(label) is int and label >= 0 for label in labels):
        raise ValueError(f"rect_obj_labels: need labels, such as [9, 11], got {labels!r}")
    return tuple(labels)
