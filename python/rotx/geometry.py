"""Rotated geometry on numpy arrays, computed in Rust: IoU, NMS, conversions, hulls. Needs no torch.

A *rotated box* (rbox) is a row ``cx, cy, w, h, angle`` of an (N, 5) array: pixels and radians, clockwise
positive on the screen (y down). A *quad* is a row ``x1, y1, ..., x4, y4`` of an (N, 8) array: four corners
clockwise or counter-clockwise; it may be non-convex or self-crossing. All computations use float64; C-contiguous
float64 arrays are read in place, others are converted. Empty arrays, (0, 5) and (0, 8), are allowed. Rust releases the
GIL.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rotx import _rust

__all__ = [
    "area",
    "box_iou",
    "box_iou_aligned",
    "clip_convex",
    "convex_hull",
    "min_area_rect",
    "nms",
    "points_in_boxes",
    "points_to_rbox",
    "quad_to_rbox",
    "rbox_to_quad",
]

Floats = NDArray[np.float64]


def box_iou(a: ArrayLike, b: ArrayLike, mode: Literal["iou", "iof"] = "iou", jobs: int | None = None) -> Floats:
    """Computes the overlap of every box of ``a`` with every box of ``b``.

    Exact up to rounding: 0 ≤ IoU ≤ 1, symmetric in (a, b), and at least 1 − 1e-9 for two representations of one box. A
        box
    with a side that is not positive, or with a number that is not finite, overlaps nothing. Areas of non-convex quads
    are exact; in self-crossing quads, every point counts by the product of its winding numbers, which is the signed sum
    of the DOTA devkit's ``polyiou``; the quotient is clipped to [0, 1].

    Args:
        a: Rboxes (N, 5) or quads (N, 8).
        b: Boxes (M, ·) of the same kind.
        mode: ``"iou"``: intersection over union; ``"iof"``: intersection over the area of the box of ``a``.
        jobs: Number of threads; None: one per core.

    Returns:
        (N, M) float64.

    Raises:
        ValueError: For arrays of another shape, boxes of different kinds, or an unknown mode.
    """
    a, b = _boxes("a", a), _boxes("b", b)
    out = np.empty((len(a), len(b)))
    _rust.box_iou(a, b, mode, thread_count(jobs), out)
    return out


def box_iou_aligned(a: ArrayLike, b: ArrayLike, mode: Literal["iou", "iof"] = "iou") -> Floats:
    """Computes the overlap of each box of ``a`` with the box of ``b`` in the same row; see :func:`box_iou`.

    Args:
        a: Rboxes (N, 5) or quads (N, 8).
        b: Boxes of the same kind and number.
        mode: ``"iou"`` or ``"iof"``.

    Returns:
        (N,) float64.
    """
    return _rust.box_iou_aligned(_boxes("a", a), _boxes("b", b), mode)


def nms(
    boxes: ArrayLike, scores: ArrayLike, iou_threshold: float, labels: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression: exact, in nearly linear time.

    Boxes are processed in descending order of score, equal scores by index, NaN last. A box is dropped if its IoU with
    a kept box is greater than ``iou_threshold``.

    Args:
        boxes: Rboxes (N, 5) or quads (N, 8).
        scores: Scores (N,).
        iou_threshold: IoU threshold in [0, 1].
        labels: Integers (N,); boxes of different labels do not suppress each other. None: all boxes have one label.

    Returns:
        Indices (K,) int64 of the kept boxes, best first.

    Raises:
        ValueError: For arrays of another shape or a threshold outside [0, 1].
    """
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold: need a number in [0, 1], got {iou_threshold}")
    integers = None if labels is None else np.ascontiguousarray(labels, dtype=np.int64).reshape(-1)
    flat = np.ascontiguousarray(scores, dtype=np.float64).reshape(-1)
    return _rust.nms(_boxes("boxes", boxes), flat, iou_threshold, integers)


def area(boxes: ArrayLike) -> Floats:
    """Areas (N,) of rboxes (N, 5) or quads (N, 8): never negative, 0 where degenerate or not finite."""
    return _rust.areas(_boxes("boxes", boxes))


def rbox_to_quad(rboxes: ArrayLike) -> Floats:
    """Corners (N, 8) of rboxes (N, 5), clockwise from the one that is top left at angle 0."""
    return _rust.rbox_to_quad(_array("rboxes", rboxes, 5))


def quad_to_rbox(quads: ArrayLike) -> Floats:
    """Minimum-area rectangles (N, 5) around quads (N, 8), as le90: w ≥ h, angle in [−π/2, π/2)."""
    return _rust.min_area_rects(_array("quads", quads, 8))


def points_to_rbox(points: ArrayLike) -> Floats:
    """Minimum-area rectangles (N, 5) around the k points of each row (N, 2k), as le90; NaNs if none is finite."""
    array = np.ascontiguousarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0 or array.shape[1] % 2:
        raise ValueError(f"points: need shape (N, 2k), got {array.shape}")
    return _rust.min_area_rects(array)


def points_in_boxes(points: ArrayLike, boxes: ArrayLike) -> NDArray[np.bool_]:
    """Whether each point (N, 2) lies in each rbox (M, 5) or quad (M, 8), its border included: (N, M) bool."""
    quads = _boxes("boxes", boxes)
    if quads.shape[1] == 5:
        quads = rbox_to_quad(quads)
    return _rust.points_in_quads(_array("points", points, 2), quads)


def convex_hull(points: ArrayLike) -> Floats:
    """Convex hull (K, 2) of points (N, 2), clockwise on the screen, without collinear points."""
    return _rust.convex_hull(_array("points", points, 2))


def min_area_rect(points: ArrayLike) -> Floats:
    """Minimum-area rbox (5,) around points (N, 2), as le90; NaNs if no point is finite."""
    return _rust.min_area_rect(_array("points", points, 2))


def clip_convex(subject: ArrayLike, clip: ArrayLike) -> Floats:
    """Intersection (K, 2) of a convex polygon (N, 2) with another (M, 2)."""
    return _rust.clip_convex(_array("subject", subject, 2), _array("clip", clip, 2))


def _boxes(name: str, boxes: ArrayLike) -> Floats:
    array = np.ascontiguousarray(boxes, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] not in (5, 8):
        raise ValueError(f"{name}: need rboxes (N, 5) or quads (N, 8), got shape {array.shape}")
    return array


def _array(name: str, values: ArrayLike, columns: int) -> Floats:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(f"{name}: need shape (N, {columns}), got {array.shape}")
    return array


def thread_count(jobs: int | None) -> int:
    """Number of threads for Rust: 0, one per core, for None; raises ValueError if it is less than 1."""
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs: need at least 1, or None for one per core, got {jobs}")
    return jobs or 0
