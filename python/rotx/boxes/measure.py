"""Areas, sides, overlaps and suppression of boxes, by their kind."""

from __future__ import annotations

from typing import Any, Literal, cast

from rotx import geometry
from rotx.boxes.arrays import Array, floating, is_tensor, namespace, same_library
from rotx.boxes.convert import convert, hbox2rbox
from rotx.boxes.kinds import BoxKind, check_boxes

Mode = Literal["iou", "iof"]


def area(boxes: Array, kind: BoxKind) -> Array:
    """Areas (...,) of hboxes, rboxes, quads (shoelace formula), or the polygons of point sets in their order."""
    check_boxes(boxes, kind)
    boxes, xp = floating(boxes), namespace(boxes)
    if kind in ("hbox", "rbox"):
        lengths = sides(boxes, kind)
        out: Array = lengths[..., 0] * lengths[..., 1]
        return out
    x, y = boxes[..., 0::2], boxes[..., 1::2]
    # Relative to the first point, because products of large coordinates cancel.
    x, y = x - x[..., :1], y - y[..., :1]
    crosses = x * xp.roll(y, -1, -1) - xp.roll(x, -1, -1) * y
    areas: Array = xp.abs(xp.sum(crosses, axis=-1)) / 2
    return areas


def sides(boxes: Array, kind: BoxKind) -> Array:
    """Widths and heights (..., 2) of rboxes, or of the hboxes around boxes of other kinds."""
    if kind == "rbox":
        return boxes[..., 2:4]
    hboxes = convert(floating(boxes), kind, "hbox")
    out: Array = hboxes[..., 2:4] - hboxes[..., :2]
    return out


def iou(a: Array, b: Array, kind: BoxKind, mode: Mode = "iou") -> Array:
    """Overlaps (N, M) of boxes (N, D) with boxes (M, D) of the same kind; see `rotx.geometry.box_iou`.

    Args:
        a: Boxes (N, D).
        b: Boxes (M, D).
        kind: Their kind; point sets are replaced by their minimum-area rectangles.
        mode: ``"iou"``: intersection over union; ``"iof"``: intersection over the area of the box of ``a``.
    """
    same_library(a, b)
    first: Any = _comparable(a, kind)
    second: Any = _comparable(b, kind)
    overlaps: Array
    if is_tensor(a):
        from rotx import ops

        overlap: Any = ops.box_iou_quadri if kind == "quad" else ops.box_iou_rotated
        overlaps = overlap(first, second, mode)
    else:
        overlaps = cast("Array", geometry.box_iou(first, second, mode))
    return overlaps


def nms(boxes: Array, scores: Array, labels: Array, kind: BoxKind, iou_threshold: float) -> Array:
    """Non-maximum suppression within each label; see `rotx.geometry.nms`.

    Args:
        boxes: Boxes (N, D).
        scores: Scores (N,).
        labels: Integers (N,); boxes of different labels do not suppress each other.
        kind: Kind of the boxes; point sets are replaced by their minimum-area rectangles.
        iou_threshold: A box is dropped if its IoU with a better one is greater; in [0, 1].

    Returns:
        Indices (K,) int64 of the kept boxes, best first.
    """
    same_library(boxes, scores)
    same_library(boxes, labels)
    keep: Array
    rows: Any = boxes
    if not is_tensor(boxes):
        keep = cast("Array", geometry.nms(_comparable(rows, kind), scores, iou_threshold, labels))
    else:
        from rotx import ops

        # Centres and sides of hboxes are not rounded, because that could change decisions near the threshold.
        exact = rows.double() if kind == "hbox" else rows
        suppress: Any = ops.batched_nms_quadri if kind == "quad" else ops.batched_nms_rotated
        keep = suppress(_comparable(exact, kind), scores, labels, iou_threshold)
    return keep


def _comparable(boxes: Array, kind: BoxKind) -> Array:
    """Converts boxes for the kernels: quads unchanged, all others to rboxes."""
    check_boxes(boxes, kind)
    boxes = floating(boxes)
    if kind in ("quad", "rbox"):
        return boxes
    return hbox2rbox(boxes) if kind == "hbox" else convert(boxes, kind, "rbox")
