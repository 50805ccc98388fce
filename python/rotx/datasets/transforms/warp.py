"""Moving a sample: one function moves image, boxes and masks by one 3x3 matrix.

Boxes and masks are transformed by the matrix itself. For pixels, resizes, flips, shifts by whole pixels and rotations
by right angles are exact copies or plain resizes, as in OpenCV; any other matrix maps pixel centres, which have whole
numbers as coordinates. As in MMRotate, a resize therefore takes x to x · factor and a flip to width − x, which differ
by up to a pixel from mapping pixel centres.
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
# OpenCV's flip code, by whether x and y are flipped.
_FLIPS = {(True, False): 1, (False, True): 0, (True, True): -1}
# OpenCV's codes of right-angle rotations, by the four numbers of the matrix.
_TURNS = {(0, -1, 1, 0): cv2.ROTATE_90_CLOCKWISE, (0, 1, -1, 0): cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, eq=False)
class Warp:
    """How a transform moves a sample.

    Attributes:
        matrix: (3, 3) float64, from pixels before to pixels after.
        size: Height and width of the image afterwards.
        interpolation: OpenCV's interpolation flag.
        border: B, G, R of pixels outside the image.
        keep: (M,) bool, the objects to keep; None: all.
        reason: Reason under which the others are counted as dropped.
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
    """Base class of transforms that move the image with its objects."""

    #: Whether the transform moves objects in a way that evaluation does not undo.
    training_only = True

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """Returns how to move a sample; None to leave it."""
        raise NotImplementedError

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Moves image, boxes and masks of the sample in place."""
        warp = self.warp(sample, rng)
        if warp is not None:
            move(sample, warp)
        return sample


def move(sample: Sample, warp: Warp) -> None:
    """Moves a sample in place; drops and counts the objects that are not kept."""
    if warp.keep is not None:
        sample.keep(warp.keep, warp.reason)
    sample.instances = move_instances(sample.instances, sample.size, warp)
    sample.image = move_pixels(sample.image, warp)
    sample.matrix = warp.matrix @ sample.matrix


def move_instances(instances: Instances, size: tuple[int, int], warp: Warp) -> Instances:
    """Returns the objects of an image, of height and width ``size``, after a move."""
    boxes = move_boxes(instances.boxes, instances.kind, warp.matrix)
    if warp.clip and instances.kind == "hbox":
        height, width = warp.size
        boxes = np.clip(boxes, 0, (width, height, width, height))
    masks = instances.file_masks
    return replace(instances, boxes=boxes, masks=None if masks is None else move_masks(masks, size, warp))


def move_masks(masks: Masks, size: tuple[int, int], warp: Warp) -> Masks:
    """Returns masks of an image after a move: polygons move by their corners, RLE by pixels."""
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
    """Returns an image (H, W, 3), or a mask (H, W), after a move."""
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
    """New position of the first pixel of an axis, which a negative factor flips; None if it is not a whole pixel."""
    if factor < 0:
        return 0 if offset in (length, length - 1) else None
    return int(offset) if offset.is_integer() else None


def _placed(image: Pixels, left: int, top: int, warp: Warp) -> Pixels:
    """Copies an image to (left, top) of an image of another size."""
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
    # OpenCV warps four channels in half the time of three, with the same pixels.
    three = image.ndim == 3
    source = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA) if three else image
    if warp.matrix[2].tolist() == [0, 0, 1]:
        moved = cv2.warpAffine(source, warp.matrix[:2], size, flags=warp.interpolation, borderValue=border)
    else:
        moved = cv2.warpPerspective(source, warp.matrix, size, flags=warp.interpolation, borderValue=border)
    return cv2.cvtColor(moved, cv2.COLOR_BGRA2BGR) if three else moved


def touching(quads: NDArray[np.float64], window: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Whether each quad (N, 8) intersects the window ``x, y, w, h``: (N,) bool."""
    x, y, w, h = window
    corners = np.array([[x, y, x + w, y, x + w, y + h, x, y + h]], np.float64)
    inside: NDArray[np.bool_] = box_iou(quads, corners, "iof", jobs=1)[:, 0] > 0
    return inside


def interpolation_flag(name: str) -> int:
    """OpenCV's flag for the name of an interpolation; raises ValueError for an unknown one."""
    if name not in _INTERPOLATIONS:
        raise ValueError(f"interpolation: need one of {', '.join(map(repr, _INTERPOLATIONS))}, got {name!r}")
    return _INTERPOLATIONS[name]


def per_channel(name: str, value: float | Sequence[float]) -> Color:
    """Returns one number for each of three channels; raises ValueError unless ``value`` is one or three."""
    values = (value,) * 3 if isinstance(value, int | float) else tuple(value)
    if len(values) != 3:
        raise ValueError(f"{name}: need one number or three, got {value!r}")
    return values[0], values[1], values[2]
