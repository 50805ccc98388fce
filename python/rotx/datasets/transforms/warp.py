"""Moving a sample: one function moves image, boxes and masks by one matrix.

Boxes and masks move by the matrix itself. Of pixels, matrices that resize, mirror, shift by whole pixels or make right
angles are exact copies or plain resizes, as OpenCV has them; any other matrix moves the centres of pixels, which are
whole numbers. As in MMRotate a resize therefore takes x to x · factor and a flip to width − x, which is off by up to a
pixel where the centres of pixels are whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.boxes.move import move as move_boxes
from rotx.datasets.sample import Sample
from rotx.geometry import box_iou
from rotx.records import Instances, Masks

Color = tuple[float, float, float]
Pixels = NDArray[Any]

_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
# What OpenCV flips, by whether x and y are mirrored.
_FLIPS = {(True, False): 1, (False, True): 0, (True, True): -1}
# Quarter turns, by the four numbers of their matrix.
_TURNS = {(0, -1, 1, 0): cv2.ROTATE_90_CLOCKWISE, (0, 1, -1, 0): cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, eq=False)
class Warp:
    """How a transform moves a sample.

    Attributes:
        matrix: (3, 3) float64, from pixels before to pixels after.
        size: Height and width of the image afterwards.
        interpolation: OpenCV's number.
        border: B, G, R of pixels from outside the image.
        keep: (M,) bool, the objects that stay; None: all.
        reason: Why the others are dropped.
        clip: Whether hboxes are clipped to the image; boxes of other kinds are never cut.
    """

    matrix: NDArray[np.float64]
    size: tuple[int, int]
    interpolation: int = cv2.INTER_LINEAR
    border: Color = (0.0, 0.0, 0.0)
    keep: NDArray[np.bool_] | None = None
    reason: str = ""
    clip: bool = False


class Geometric:
    """A transform that moves the image with its objects; subclasses say how."""

    #: Whether it moves objects in a way that evaluation does not undo.
    training_only = True

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """How to move a sample; None: not at all."""
        raise NotImplementedError

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Moves image, objects and masks."""
        warp = self.warp(sample, rng)
        if warp is not None:
            move(sample, warp)
        return sample


def move(sample: Sample, warp: Warp) -> None:
    """Moves a sample in place, and drops and counts the objects that do not stay."""
    if warp.keep is not None:
        sample.keep(warp.keep, warp.reason)
    sample.instances = move_instances(sample.instances, sample.size, warp)
    sample.image = move_pixels(sample.image, warp)
    sample.matrix = warp.matrix @ sample.matrix


def move_instances(instances: Instances, size: tuple[int, int], warp: Warp) -> Instances:
    """The objects of an image of a size after a move."""
    boxes = move_boxes(instances.boxes, instances.kind, warp.matrix)
    if warp.clip and instances.kind == "hbox":
        height, width = warp.size
        boxes = np.clip(boxes, 0, (width, height, width, height))
    masks = instances.file_masks
    return replace(instances, boxes=boxes, masks=None if masks is None else move_masks(masks, size, warp))


def move_masks(masks: Masks, size: tuple[int, int], warp: Warp) -> Masks:
    """Masks of an image of a size after a move: polygons by their corners, run lengths by their pixels."""
    moved = []
    for item in masks:
        if isinstance(item, dict):
            pixels = Masks([item]).bitmaps(*size)[0]
            nearest = replace(warp, interpolation=cv2.INTER_NEAREST, border=(0.0, 0.0, 0.0))
            moved.append(Masks.of_bitmaps(move_pixels(pixels, nearest)[None]).items[0])
        else:
            moved.append(Masks([item]).move(warp.matrix).items[0])
    return Masks(moved)


def move_pixels(image: Pixels, warp: Warp) -> Pixels:
    """An image (H, W, 3), or a mask (H, W), after a move."""
    height, width = image.shape[:2]
    (a, b, x), (c, d, y) = warp.matrix[:2].tolist()
    if warp.matrix[2].tolist() == [0, 0, 1]:
        if (abs(a), b, c, abs(d)) == (1, 0, 0, 1):
            left, top = _shift(a, x, width), _shift(d, y, height)
            if left is not None and top is not None:
                mirrored = (a < 0, d < 0)
                return _placed(cv2.flip(image, _FLIPS[mirrored]) if any(mirrored) else image, left, top, warp)
        if (b, c, x, y) == (0, 0, 0, 0) and np.allclose((a * width, d * height), warp.size[::-1], rtol=1e-9):
            return cv2.resize(image, warp.size[::-1], interpolation=warp.interpolation)
        turn, corner = _TURNS.get((a, b, c, d)), (height - 1, 0) if b < 0 else (0, width - 1)
        if turn is not None and (width, height) == warp.size and (x, y) == corner:
            return cv2.rotate(image, turn)
    return _warped(image, warp)


def _shift(factor: float, offset: float, length: int) -> int | None:
    """Where the first pixel of an axis, mirrored if the factor is negative, goes; None if to no whole pixel."""
    if factor < 0:
        return 0 if offset in (length, length - 1) else None
    return int(offset) if offset.is_integer() else None


def _placed(image: Pixels, left: int, top: int, warp: Warp) -> Pixels:
    """An image whose first pixel goes to (left, top) of one of another size."""
    rows, columns = warp.size
    part = image[max(-top, 0) : max(rows - top, 0), max(-left, 0) : max(columns - left, 0)]
    if part.shape[:2] == warp.size:
        return np.ascontiguousarray(part)
    if 0 in part.shape:
        part = image[:0, :0]
    top, left = min(max(top, 0), rows), min(max(left, 0), columns)
    below, right = rows - top - part.shape[0], columns - left - part.shape[1]
    return cv2.copyMakeBorder(part, top, below, left, right, cv2.BORDER_CONSTANT, value=warp.border)


def _warped(image: Pixels, warp: Warp) -> Pixels:
    border, size = (*warp.border, 0.0), warp.size[::-1]
    # OpenCV moves four channels in half the time that it needs for three, to the same pixels.
    three = image.ndim == 3
    source = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA) if three else image
    if warp.matrix[2].tolist() == [0, 0, 1]:
        moved = cv2.warpAffine(source, warp.matrix[:2], size, flags=warp.interpolation, borderValue=border)
    else:
        moved = cv2.warpPerspective(source, warp.matrix, size, flags=warp.interpolation, borderValue=border)
    return cv2.cvtColor(moved, cv2.COLOR_BGRA2BGR) if three else moved


def touching(quads: NDArray[np.float64], window: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Whether each quad (N, 8) has a part in the window ``x, y, w, h``."""
    x, y, w, h = window
    corners = np.array([[x, y, x + w, y, x + w, y + h, x, y + h]], np.float64)
    inside: NDArray[np.bool_] = box_iou(quads, corners, "iof", jobs=1)[:, 0] > 0
    return inside


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
