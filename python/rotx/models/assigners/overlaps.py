"""Overlap measures of assigners: IoU of rotated, horizontal or circumscribed boxes, or of point sets and quads.

Each takes boxes ``a`` (N, ·), boxes ``b`` (M, ·) and a mode, ``"iou"`` or ``"iof"`` (intersection over the area of
``a``), and returns (N, M) in at least float32, without gradient.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from rotx.boxes import BoxKind, check_boxes, rbox2hbox
from rotx.ops import box_iou_rotated, convex_iou

Mode = Literal["iou", "iof"]

# Smallest divisor: two boxes without area overlap by 0, not by NaN.
_LEAST_AREA = 1e-6

# Relative error of overlaps and areas in float32.
_ROUNDING = 1e-6

# More anchors of one size than a grid has around a small object: 8 strides wide, with 3 ratios, there are 192.
_MOST_ALIKE = 1024

# Largest change of an IoU by mmcv's rounding.
_MOST_MOVED = 1e-5


class Overlaps(Protocol):
    """Overlaps (N, M) of boxes (N, D) with boxes (M, D)."""

    #: Kind of the boxes; the assigner converts objects to it.
    kind: BoxKind

    def __call__(self, a: Tensor, b: Tensor, mode: Mode = "iou") -> Tensor:
        """Overlaps; with ``"iof"`` the divisor is the area of the box of ``a``."""


class BboxOverlaps2D:
    """Overlaps of hboxes (N, 4) and (M, 4)."""

    kind: BoxKind = "hbox"

    def __call__(self, a: Tensor, b: Tensor, mode: Mode = "iou") -> Tensor:
        """(N, M) overlaps; ValueError for boxes of another kind."""
        return _hbox_overlaps(_checked("a", a, "hbox"), _checked("b", b, "hbox"), mode)


class RBboxOverlaps2D:
    """Overlaps of rboxes (N, 5) and (M, 5), correct for nearly equal boxes too, unlike mmcv's.

    All anchors that contain a small gt overlap it equally, so rounding decides which of them an assigner takes for
    the best. Where one box contains the other, the IoU is therefore rounded as mmcv rounds it, which changes it by
    at most 1e-5: MMRotate's losses depend on this choice, by several percent where objects are few. Only the 1024
    boxes of ``a`` that overlap a gt most are rounded like this; the best ones are among them.
    """

    kind: BoxKind = "rbox"

    def __call__(self, a: Tensor, b: Tensor, mode: Mode = "iou") -> Tensor:
        """(N, M) overlaps; ValueError for boxes of another kind."""
        a, b = _one_dtype(a.detach(), b.detach())
        overlaps = box_iou_rotated(a, b, mode)
        if mode == "iof":
            return overlaps
        # A number that does not depend on values, so that nothing synchronises.
        best, rows = overlaps.topk(min(_MOST_ALIKE, len(a)), dim=0, sorted=False)
        rounded = _rounded_as_mmcv(a[rows.flatten()], b.repeat(len(rows), 1), best.flatten())
        return overlaps.scatter(0, rows, rounded.view_as(best))


class FakeRBboxOverlaps2D:
    """Overlaps of the hboxes around rboxes (N, 5) and (M, 5)."""

    kind: BoxKind = "rbox"

    def __call__(self, a: Tensor, b: Tensor, mode: Mode = "iou") -> Tensor:
        """(N, M) overlaps; ValueError for boxes of another kind."""
        return _hbox_overlaps(rbox2hbox(_checked("a", a, "rbox")), rbox2hbox(_checked("b", b, "rbox")), mode)


class ConvexOverlaps:
    """Overlaps of the convex hulls of point sets (N, 2k) with those of quads (M, 8)."""

    kind: BoxKind = "quad"

    def __call__(self, a: Tensor, b: Tensor, mode: Mode = "iou") -> Tensor:
        """(N, M) overlaps; ValueError for other shapes."""
        return convex_iou(*_one_dtype(a.detach(), b.detach()), mode)


def _hbox_overlaps(a: Tensor, b: Tensor, mode: Mode) -> Tensor:
    a, b = _one_dtype(a.detach(), b.detach())
    areas_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    areas_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    sides = torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])
    common = sides.clamp(min=0).prod(dim=-1)  # (N, M)
    total = areas_a[:, None] + areas_b - common if mode == "iou" else areas_a[:, None]
    return common / total.clamp(min=_LEAST_AREA)


def _rounded_as_mmcv(a: Tensor, b: Tensor, overlap: Tensor) -> Tensor:
    """IoU (N,) of rboxes a and b (N, 5), row by row, rounded as by mmcv where one contains the other."""
    areas_a, areas_b = a[:, 2] * a[:, 3], b[:, 2] * b[:, 3]
    smaller, larger = torch.minimum(areas_a, areas_b), torch.maximum(areas_a, areas_b)
    # One contains the other if the intersection is the smaller one.
    within = (overlap > 0) & ((overlap * larger - smaller).abs() <= _ROUNDING * smaller)
    inner = torch.where((areas_a < areas_b)[:, None], a, b)
    common = _area_as_mmcv(inner, (a[:, :2] + b[:, :2]) / 2)
    rounded = (common / (areas_a + areas_b - common)).clamp(max=1)
    # For long thin boxes mmcv's area is off by more than rounding: by 10 % for 2000 x 0.001 px.
    close = (rounded - overlap).abs() <= _MOST_MOVED
    return torch.where(within & close, rounded, overlap)


def _area_as_mmcv(rboxes: Tensor, origins: Tensor) -> Tensor:
    """w · h (N,), rounded as by mmcv: the sum of two triangles of corners relative to a point (N, 2).

    The triangles share the corner with the smallest y; ties go to the smallest x.
    """
    x, y = (rboxes[:, :2] - origins).unbind(dim=1)
    w, h = rboxes[:, 2], rboxes[:, 3]
    angle = rboxes[:, 4].double()
    c, s = angle.cos().to(w.dtype) * 0.5, angle.sin().to(w.dtype) * 0.5
    x0, y0, x1, y1 = x - s * h - c * w, y + c * h - s * w, x + s * h - c * w, y - c * h - s * w
    corners_x = torch.stack([x0, x1, 2 * x - x0, 2 * x - x1], dim=1)
    corners_y = torch.stack([y0, y1, 2 * y - y0, 2 * y - y1], dim=1)
    lowest = corners_y == corners_y.amin(dim=1, keepdim=True)
    first = corners_x.masked_fill(~lowest, torch.inf).argmin(dim=1, keepdim=True)
    order = (first + torch.arange(4, device=first.device)) % 4
    corners_x, corners_y = corners_x.gather(1, order), corners_y.gather(1, order)
    (ax, bx, cx), (ay, by, cy) = ((v[:, 1:] - v[:, :1]).unbind(dim=1) for v in (corners_x, corners_y))
    return ((ax * by - bx * ay).abs() + (bx * cy - cx * by).abs()) / 2


def _checked(name: str, boxes: Tensor, kind: BoxKind) -> Tensor:
    check_boxes(boxes, kind, name)
    return boxes


def _one_dtype(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return a.to(dtype), b.to(dtype)
