"""Outlines of masks that annotation tools store as runs of pixels.

Pixels are squares around integer coordinates, as in COCO's masks here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rotx.annotations.coco_shapes import DamagedCoco, mask_points
from rotx.annotations.json_files import DamagedEntry, entry
from rotx.geometry import min_area_rect, rbox_to_quad


def points_of_runs(starts: ArrayLike, stops: ArrayLike, width: int) -> list[list[float]]:
    """Points whose hull is that of the pixels of a mask.

    Args:
        starts: First pixel of each run, (N,), counted row by row.
        stops: Pixel after the last one of each run, (N,).
        width: Width of the mask.

    Raises:
        DamagedEntry: If the mask is empty.
    """
    first, stop = np.asarray(starts, np.int64), np.asarray(stops, np.int64)
    first, stop = first[stop > first], stop[stop > first]
    if not len(first):
        raise DamagedEntry("damaged shape", "rle: the mask is empty")
    (y0, x0), (y1, x1) = np.divmod(first, width), np.divmod(stop - 1, width)
    several, wide = y1 > y0, y1 > y0 + 1  # runs over the end of a row; with whole rows within
    left, right = np.zeros_like(x0), np.full_like(x0, width - 1)
    ends = [(x0, y0), (x1, y1), (right[several], y0[several]), (left[several], y1[several])]
    for y in (y0 + 1, y1 - 1):
        ends += [(left[wide], y[wide]), (right[wide], y[wide])]
    centres = np.concatenate([np.stack(end, axis=1) for end in ends])
    centres = centres[np.lexsort(centres.T)]  # by row, then by column
    rows, begin = np.unique(centres[:, 1], return_index=True)
    # Of each row, only the outermost pixels touch the hull.
    left, right = centres[begin, 0], centres[np.append(begin[1:], len(centres)) - 1, 0]
    squares = [(left - 0.5, rows - 0.5), (left - 0.5, rows + 0.5), (right + 0.5, rows - 0.5), (right + 0.5, rows + 0.5)]
    points: list[list[float]] = np.concatenate([np.stack(square, axis=1) for square in squares]).tolist()
    return points


def rectangle_around(points: list[list[float]]) -> list[list[float]]:
    """Corners (4) of the minimum-area rectangle around points (N, 2)."""
    corners: list[list[float]] = rbox_to_quad(min_area_rect(np.array(points, np.float64))[None]).reshape(4, 2).tolist()
    return corners


def mask_corners(rle: Any) -> list[list[float]]:
    """Corners (4) of the minimum-area rectangle around COCO's run lengths.

    Raises:
        DamagedEntry: If they are damaged.
    """
    try:
        return rectangle_around(mask_points(entry(rle, "rle"), None, "rle").tolist())
    except DamagedCoco as error:
        raise DamagedEntry("damaged shape", str(error)) from None


def brush_points(data: Any, width: int, height: int) -> list[list[float]]:
    """Points whose hull is that of the pixels of a brush mask of Label Studio.

    Its ``rle`` is a string of bits, in bytes: 32 bits number of values, 5 bits of a value, 4 times 4 bits of a length
    (each less one), then blocks: 1 bit whether one value is repeated, 2 bits which length follows, a length (less one),
    the value or values. Values are the red, green, blue and alpha of each pixel; alpha is the mask.

    Raises:
        DamagedEntry: If they are damaged.
    """
    if not isinstance(data, list) or not all(type(byte) is int and 0 <= byte < 256 for byte in data):
        raise DamagedEntry("damaged shape", "rle: need a list of bytes")
    packed, place = bytes(data), 0

    def bits(count: int) -> int:
        nonlocal place
        stop = place + count
        if stop > 8 * len(packed):
            raise DamagedEntry("damaged shape", "rle: is cut off")
        value = int.from_bytes(packed[place >> 3 : (stop + 7) >> 3], "big") >> (-stop % 8) & ((1 << count) - 1)
        place = stop
        return value

    total = bits(32)
    if total != 4 * width * height:
        raise DamagedEntry("damaged shape", f"rle: need {width} x {height} pixels of 4 values, got {total} values")
    size, lengths = bits(5) + 1, [bits(4) + 1 for _ in range(4)]
    starts: list[int] = []
    stops: list[int] = []
    value = 0
    while value < total:
        repeated, stop = bits(1), value + bits(lengths[bits(2)]) + 1
        if stop > total:
            raise DamagedEntry("damaged shape", f"rle: has more than {total} values")
        if repeated:
            if bits(size):
                starts.append(value // 4)  # the first pixel whose alpha is in the run
                stops.append(stop // 4)
        else:
            for one in range(value, stop):
                if bits(size) and one % 4 == 3:
                    starts.append(one // 4)
                    stops.append(one // 4 + 1)
        value = stop
    return points_of_runs(starts, stops, width)
