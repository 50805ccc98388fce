"""Shapes of objects in COCO-style JSON: boxes, polygons, masks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.limits import HUGE
from rotx.boxes import BoxKind, points2hbox
from rotx.geometry import min_area_rect, rbox_to_quad
from rotx.records.masks import Mask

Json = Mapping[str, Any]

#: Keys that programs write beside a box to say how it is turned, and those of a rotated box of its own.
_ANGLES = ("rotation", "angle", "theta", "orientation")
_TURNED = ("rbox", "rbbox", "obb", "rotated_bbox", "rotated_box", "oriented_bbox", "poly", "polygon", "quad", "corners")


class DamagedCoco(ValueError):
    """A damaged COCO-style file; the reader adds the file name to the message."""


class Shapes:
    """Collects the shapes of the objects of a file.

    Args:
        sizes: Height and width of each image, if known.
        upright: Whether to prefer ``bbox`` of four numbers to ``segmentation``.
        masks: Whether to keep ``segmentation`` as masks, too.
    """

    def __init__(self, sizes: list[tuple[int, int] | None], upright: bool, masks: bool) -> None:
        self.sizes = sizes
        self.upright = upright
        self.horizontal = 0
        self.masks: list[Mask] | None = [] if masks else None
        self._rows: list[list[float]] = []
        self._turned: list[int] = []

    def add(self, thing: Json, image: int, where: str) -> None:
        """Adds an object; ``image`` is the index of its image, ``where`` its place for messages."""
        box, segmentation = thing.get("bbox"), thing.get("segmentation")
        bbox: list[Any] = box if isinstance(box, list) else []
        if isinstance(segmentation, list) and not any(segmentation):
            segmentation = None  # no polygon, or only empty ones
        if self.upright and len(bbox) == 4:
            row = self._horizontal(bbox, thing, where)
        elif segmentation and (len(bbox) != 5 or (_is_quad(segmentation) and _is_sane(bbox))):
            row = _outline(segmentation, self.sizes[image], f"{where}.segmentation")
            _check_alike(row, bbox, _rotation(thing, where), where, exact=_is_quad(segmentation))
        elif len(bbox) == 8 and not self.upright:
            row = _numbers(bbox, f"{where}.bbox")
        elif len(bbox) == 5:
            row = [*_rbox(bbox, where), 0.0, 0.0, 0.0]
            self._turned.append(len(self._rows))
        elif len(bbox) == 4:
            row = self._horizontal(bbox, thing, where)
        else:
            need = "cx, cy, w, h, angle or left, top, width, height"
            raise DamagedCoco(f"{where}: has no segmentation, and bbox must be {need}; got {short(box)}")
        if self.masks is not None:
            self.masks.append(_mask(segmentation, self.sizes[image], f"{where}.segmentation"))
        self._rows.append(row)

    def _horizontal(self, bbox: list[Any], thing: Json, where: str) -> list[float]:
        """Corners of a horizontal box, or of a box that an attribute turns."""
        x, y, w, h = _numbers(bbox, f"{where}.bbox")
        _check_box([w, h], f"{where}.bbox")
        if not self.upright:
            if quad := _corners_beside(thing, where):
                return quad
            _refuse_angles(thing, where)
        if degrees := _rotation(thing, where):
            return _turned(bbox, degrees)
        self.horizontal += 1
        return [x, y, x + w, y, x + w, y + h, x, y + h]

    def boxes(self) -> tuple[NDArray[np.float64], BoxKind]:
        """Returns the boxes (N, D) and their kind."""
        rows = np.array(self._rows, np.float64).reshape(-1, 8)
        if len(rows) and len(self._turned) == len(rows):
            return np.ascontiguousarray(rows[:, :5]), "rbox"
        if self.upright or (len(rows) and self.horizontal == len(rows)):
            rows[self._turned] = rbox_to_quad(rows[self._turned, :5])
            return points2hbox(rows), "hbox"
        rows[self._turned] = rbox_to_quad(rows[self._turned, :5])
        return rows, "quad"


def _rotation(thing: Json, where: str) -> float:
    """Degrees by which an attribute turns ``bbox``, clockwise (CVAT)."""
    attributes = thing.get("attributes")
    degrees = attributes.get("rotation") if isinstance(attributes, Mapping) else None
    return _numbers([degrees], f"{where}.attributes.rotation")[0] if degrees else 0.0


def _turned(bbox: Sequence[float], degrees: float) -> list[float]:
    """Corners of a box (left, top, width, height) turned about its centre."""
    x, y, w, h = bbox
    corners: list[float] = rbox_to_quad(np.array([[x + w / 2, y + h / 2, w, h, math.radians(degrees)]]))[0].tolist()
    return corners


def _corners_beside(thing: Json, where: str) -> list[float]:
    """Eight numbers that stand beside a ``bbox`` under a name of their own; empty if there are none."""
    for key in _TURNED:
        value = thing.get(key)
        if not value:
            continue
        points = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(points, list) and len(points) == 4 and all(isinstance(p, list) and len(p) == 2 for p in points):
            points = [v for point in points for v in point]
        if not isinstance(points, list) or len(points) != 8:
            raise DamagedCoco(f"{where}: a bbox of four numbers beside {key} {short(value)}: {_GIVE}")
        return _numbers(points, f"{where}.{key}")
    return []


_GIVE = "give a polygon of four corners as segmentation"


def _refuse_angles(thing: Json, where: str) -> None:
    attributes = thing.get("attributes")
    for place, things in (("", thing), ("attributes.", attributes if isinstance(attributes, Mapping) else {})):
        for key in _ANGLES:
            if not (place and key == "rotation") and isinstance(things.get(key), int | float) and things[key]:
                text = f"a bbox of four numbers with {place}{key} {things[key]}, of unknown unit and direction"
                raise DamagedCoco(f"{where}: {text}: {_GIVE}")


def _is_quad(segmentation: Any) -> bool:
    """Whether a segmentation is one polygon of four corners."""
    return isinstance(segmentation, list) and len(segmentation) == 1 and len(segmentation[0]) in (8, 10)


def _is_sane(bbox: list[Any]) -> bool:
    return all(type(value) in (int, float) and abs(value) <= HUGE for value in bbox)


def _rbox(bbox: list[Any], where: str) -> list[float]:
    row = _numbers(bbox, f"{where}.bbox")
    _check_box(row[2:4], f"{where}.bbox")
    if abs(row[4]) > 2 * math.pi + 1e-3:
        raise DamagedCoco(f"{where}.bbox: the angle must be in radians, clockwise; got {row[4]}")
    return row


def _check_alike(row: list[float], bbox: list[Any], rotation: float, where: str, *, exact: bool) -> None:
    """Refuses a ``bbox`` that is not the box around the segmentation, or that an attribute turns away from it.

    Tools round and clip the box, so an IoU of one half, or a distance of a few pixels, is enough. A mask, or a polygon
    that is not ``exact``, may be the visible part of an object, so it need only touch the box.
    """
    if len(bbox) not in (4, 5) or not _is_sane(bbox) or min(bbox[2:4]) <= 1:
        return  # no box, or one that only fills the place
    quad = np.array([row])
    if len(bbox) == 5:
        other = rbox_to_quad(np.array([_rbox(bbox, where)]))
    else:
        x, y, w, h = bbox
        other = np.array([[x, y, x + w, y, x + w, y + h, x, y + h]], np.float64)
        if rotation and _is_alike(np.array([_turned(bbox, rotation)]), quad):
            return
        flat = float(np.abs(points2hbox(other) - points2hbox(quad)).max()) <= 1 and _is_upright(quad)
        if rotation and flat:
            text = f"attributes.rotation {rotation:g} turns bbox away from the segmentation"
            raise DamagedCoco(f"{where}: {text}: remove the wrong one")
    if not _is_alike(quad, other, 1 / 3 if exact else 1e-9):
        raise DamagedCoco(f"{where}: bbox {short(bbox)} is not the box around the segmentation: remove the wrong one")


def _is_alike(quad: NDArray[np.float64], other: NDArray[np.float64], least: float = 1 / 3) -> bool:
    """Whether the boxes around two quads (1, 8) overlap, or differ by a few pixels.

    ``least``: least share of the overlap in the sum of both areas; a third is an IoU of one half.
    """
    a, b = points2hbox(quad)[0], points2hbox(other)[0]
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    areas = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]))
    return both >= least * areas or float(np.abs(a - b).max()) <= 4


def _is_upright(quad: NDArray[np.float64]) -> bool:
    """Whether each side of a quad (1, 8) runs along x or y."""
    points = quad.reshape(4, 2)
    return bool((np.abs(points - np.roll(points, 1, axis=0)).min(axis=1) <= 0.01).all())


def _mask(segmentation: Any, size: tuple[int, int] | None, where: str) -> Mask:
    """Polygons or RLE of an object; polygons with fewer than three corners are dropped."""
    if isinstance(segmentation, dict):
        _runs(segmentation, size, where)
        return segmentation
    polygons = [np.array(_numbers(polygon, where), np.float64) for polygon in _polygons(segmentation or [], where)]
    return [polygon for polygon in polygons if len(polygon) >= 6 and len(polygon) % 2 == 0]


def _polygons(segmentation: Any, where: str) -> list[list[Any]]:
    if not isinstance(segmentation, list) or not all(isinstance(polygon, list) for polygon in segmentation):
        raise DamagedCoco(f"{where}: need polygons [[x1, y1, x2, y2, ...], ...] or a mask, got {short(segmentation)}")
    return segmentation


def _outline(segmentation: Any, size: tuple[int, int] | None, where: str) -> list[float]:
    """Four corners of the minimum-area rectangle around polygons or a mask; a polygon of four corners itself."""
    if isinstance(segmentation, dict):
        points = mask_points(segmentation, size, where)
    else:
        flat = [_numbers(polygon, f"{where}[{i}]") for i, polygon in enumerate(_polygons(segmentation, where))]
        for i, polygon in enumerate(flat):
            if len(polygon) % 2 or len(polygon) < 6:
                raise DamagedCoco(f"{where}[{i}]: a polygon needs three corners or more, got {len(polygon)} numbers")
            if len(polygon) > 8 and polygon[:2] == polygon[-2:]:
                del polygon[-2:]  # closed by its first corner
        if len(flat) == 1 and len(flat[0]) == 8:
            return flat[0]
        points = np.array([number for polygon in flat for number in polygon]).reshape(-1, 2)
    corners: list[float] = rbox_to_quad(min_area_rect(points)[None])[0].tolist()
    return corners


def mask_points(mask: Json, size: tuple[int, int] | None, where: str) -> NDArray[np.float64]:
    """Points (N, 2) whose hull is that of a mask's pixels, as squares around their centres."""
    shape, runs = _runs(mask, size, where)
    # Runs go down the columns and alternate between background and mask.
    stops = np.cumsum(runs, dtype=np.int64)[1::2]
    lengths = np.array(runs, np.int64)[1::2]
    starts, stops = (stops - lengths)[lengths > 0], stops[lengths > 0]
    if not len(stops):
        raise DamagedCoco(f"{where}: the mask is empty")
    (x1, y1), (x2, y2) = np.divmod(starts, shape[0]), np.divmod(stops - 1, shape[0])
    top, bottom = np.zeros_like(y1), np.full_like(y1, shape[0] - 1)
    over, wide = x2 > x1, x2 > x1 + 1  # runs over the end of a column; with whole columns within
    points = [(x1, y1), (x2, y2), (x1[over], bottom[over]), (x2[over], top[over])]
    for x in (x1 + 1, x2 - 1):
        points += [(x[wide], top[wide]), (x[wide], bottom[wide])]
    centres = np.concatenate([np.stack(point, axis=1) for point in points]).astype(np.float64)
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    pixels: NDArray[np.float64] = centres[:, None] + corners
    return pixels.reshape(-1, 2)


def _runs(mask: Json, size: tuple[int, int] | None, where: str) -> tuple[list[int], list[int]]:
    """Height and width of a mask, and its runs, alternating between background and mask."""
    shape, counts = mask.get("size"), mask.get("counts")
    if not isinstance(shape, list) or [type(side) for side in shape] != [int, int] or min(shape) < 1:
        raise DamagedCoco(f"{where}.size: need height and width, got {short(shape)}")
    if size and tuple(shape) != size:
        raise DamagedCoco(f"{where}.size: the mask is of height and width {shape}, its image of {list(size)}")
    if isinstance(counts, str):
        runs = _unpacked(counts)
    elif isinstance(counts, list) and all(type(run) is int for run in counts):
        runs = counts
    else:
        raise DamagedCoco(f"{where}.counts: need a list of integers or a string, got {short(counts)}")
    if min(runs, default=0) < 0 or sum(runs) != math.prod(shape) or sum(runs) > 1 << 40:
        raise DamagedCoco(f"{where}.counts: the runs must add up to {math.prod(shape)} pixels")
    return shape, runs


def _unpacked(text: str) -> list[int]:
    """Decodes COCO's compressed RLE string.

    A character holds 5 bits, from 48 on; from the fourth run on, values are differences to the run before last.

    pycocotools accepts truncated strings and fills the rest of the mask from uninitialized memory.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if shift > 60:
            return []  # longer than any run
        if not bits & 0x20:  # last character of this run
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return runs


def _numbers(values: Sequence[Any], where: str) -> list[float]:
    if not all(type(value) in (int, float) for value in values):
        raise DamagedCoco(f"{where}: need numbers, got {short(values)}")
    try:
        return list(map(float, values))
    except OverflowError:
        raise DamagedCoco(f"{where}: a number is too large: {short(values)}") from None


def _check_box(sides: Sequence[float], where: str) -> None:
    if min(sides) < 0:
        raise DamagedCoco(f"{where}: width and height must not be negative, got {sides[0]} and {sides[1]}")


def short(value: Any) -> str:
    """A value as JSON, cut to 60 characters, for messages."""
    text = json.dumps(value) if value is not None else "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."
