"""IoU and NMS in plain torch, for any device; slower than the kernels, whose tests use it as the reference.

The algorithms, orders and limits are those of iou.rs and nms.rs in the Rust core. Arguments are already checked. The
work is done in chunks, so memory is bounded except for inputs and results.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

#: Number of pairs of bounds compared at a time, and of pairs of shapes intersected at a time.
_CANDIDATES = 1 << 22
_PAIRS = 1 << 17
#: Number of boxes that NMS processes at a time.
_BLOCK = 1024

#: As in the Rust core: an intersection below this fraction of the smaller area counts as 0; smaller divisors are 0.
_NEGLIGIBLE = 1e-12
_FLAT = 1e-200


class _Shapes(NamedTuple):
    raw: Tensor  # (N, 5) rboxes or (N, 8) quads, float64
    area: Tensor  # (N,), 0 where a shape is degenerate or not finite
    bounds: Tensor  # (N, 4) hboxes; empty ones, which meet nothing, where the area is 0

    def at(self, rows: Tensor | slice) -> _Shapes:
        return _Shapes(*(values[rows] for values in self))


def box_iou(a: Tensor, b: Tensor, mode: str, aligned: bool) -> Tensor:
    """IoU of rboxes (·, 5) or quads (·, 8): :func:`rotx.ops.box_iou_rotated`, :func:`rotx.ops.box_iou_quadri`."""
    first, second = _shapes(a), _shapes(b)
    out = first.area.new_zeros(len(a) if aligned else (len(a), len(b)))
    for i, j in _meeting_rows(first, second) if aligned else _meeting(first, second):
        out[i if aligned else (i, j)] = _overlap(first.at(i), second.at(j), mode)
    return out.to(a.dtype)


def nms(boxes: Tensor, scores: Tensor, labels: Tensor | None, iou_threshold: float) -> Tensor:
    """Returns the indices of the boxes that greedy NMS keeps: :func:`rotx.ops.batched_nms_rotated`.

    Takes quadratic time and linear memory: blocks of boxes are compared with the kept boxes before them.
    """
    order = _by_falling_score(scores)
    shapes = _shapes(boxes[order])
    classes = order.new_zeros(len(order)) if labels is None else labels[order]

    def suppressing(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the pairs, as positions in the order, in which one box would suppress the other."""
        for i, j in _meeting(shapes.at(first), shapes.at(second)):
            i, j = first[i], second[j]
            i, j = (rows[classes[i] == classes[j]] for rows in (i, j))
            above = _overlap(shapes.at(i), shapes.at(j), "iou") > iou_threshold
            yield i[above], j[above]

    places = torch.arange(len(order), device=order.device)
    kept = torch.ones_like(places, dtype=torch.bool)
    for start in range(0, len(places), _BLOCK):
        before, block = places[:start], places[start : start + _BLOCK]
        for i, _ in suppressing(block, before[kept[:start]]):
            kept[i] = False
        left = block[kept[block]]
        pairs = [(i[i < j], j[i < j]) for i, j in suppressing(left, left)]
        if not pairs:
            continue
        earlier, later = (torch.cat(rows) for rows in zip(*pairs, strict=True))
        # Each iteration decides at least the first undecided box.
        while True:
            now = torch.ones_like(kept[left])
            now[torch.searchsorted(left, later[kept[earlier]])] = False
            if torch.equal(now, kept[left]):
                break
            kept[left] = now
    return order[kept]


def _shapes(boxes: Tensor) -> _Shapes:
    raw = boxes.detach().double()
    if raw.shape[1] == 5:
        area, bounds = raw[:, 2] * raw[:, 3], _around_boxes(raw)
        good = (raw[:, 2:4] > 0).all(dim=1)
    else:
        area, bounds = _signed_area(raw).abs(), _around_quads(raw)
        good = area > 0
    good = good & raw.isfinite().all(dim=1) & (area > 0) & area.isfinite()
    nowhere = bounds.new_tensor([torch.inf, torch.inf, -torch.inf, -torch.inf])
    return _Shapes(raw, area.where(good, 0), bounds.where(good[:, None], nowhere))


def _around_boxes(rboxes: Tensor) -> Tensor:
    """Returns the smallest hboxes (N, 4) around rboxes."""
    center, (w, h, angle) = rboxes[:, :2], rboxes[:, 2:].unbind(dim=1)
    cos, sin = angle.cos().abs(), angle.sin().abs()
    half = 0.5 * torch.stack([w * cos + h * sin, w * sin + h * cos], dim=1)
    return torch.cat([center - half, center + half], dim=1)


def _around_quads(quads: Tensor) -> Tensor:
    corners = quads.reshape(-1, 4, 2)
    return torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)


def _signed_area(quads: Tensor) -> Tensor:
    """Returns areas (N,), positive where the corners run clockwise on the screen."""
    x, y = quads[:, 0::2], quads[:, 1::2]
    return 0.5 * ((x[:, 2] - x[:, 0]) * (y[:, 3] - y[:, 1]) - (y[:, 2] - y[:, 0]) * (x[:, 3] - x[:, 1]))


def _meeting(a: _Shapes, b: _Shapes) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the row indices of all pairs whose bounds intersect, in chunks."""
    rows = max(1, _CANDIDATES // max(1, len(b.area)))
    for start in range(0, len(a.area), rows):
        meet = _meet(a.bounds[start : start + rows, None], b.bounds[None])
        i, j = meet.nonzero(as_tuple=True)
        yield from zip(torch.split(i + start, _PAIRS), torch.split(j, _PAIRS), strict=True)


def _meeting_rows(a: _Shapes, b: _Shapes) -> Iterator[tuple[Tensor, Tensor]]:
    """Like :func:`_meeting`, but for pairs in the same row."""
    for i in torch.split(_meet(a.bounds, b.bounds).nonzero()[:, 0], _PAIRS):
        yield i, i


def _meet(a: Tensor, b: Tensor) -> Tensor:
    x0, y0, x1, y1 = a.unbind(dim=-1)
    u0, v0, u1, v1 = b.unbind(dim=-1)
    return (x0 < u1) & (u0 < x1) & (y0 < v1) & (v0 < y1)


def _overlap(a: _Shapes, b: _Shapes, mode: str) -> Tensor:
    """Returns the overlap (N,) of the shapes of each row, between 0 and 1."""
    # The smaller shape is the window: coordinates relative to it keep their precision. For equal areas, the choice is
    # the same for (a, b) and (b, a).
    first, tied = a.area < b.area, a.area == b.area
    for k in range(a.raw.shape[1]):
        first = first | (tied & (a.raw[:, k] < b.raw[:, k]))
        tied = tied & (a.raw[:, k] == b.raw[:, k])
    window, other = (torch.where(first[:, None], *raws) for raws in ((a.raw, b.raw), (b.raw, a.raw)))
    area = (_box_within if a.raw.shape[1] == 5 else _quad_within)(other, window)
    # Smaller areas are rounding errors; NaN, from overflow, also compares as smaller.
    common = area.where(area > _NEGLIGIBLE * torch.minimum(a.area, b.area), 0)
    whole = a.area + b.area - common if mode == "iou" else a.area
    return torch.where(common < whole, common / whole, 1).where(common > 0, 0)


def _box_within(boxes: Tensor, windows: Tensor) -> Tensor:
    """Returns the area (N,) of rboxes inside the windows of the same row."""
    dx, dy = (boxes[:, :2] - windows[:, :2]).unbind(dim=1)
    cos_b, sin_b, cos_w, sin_w = (f(v) for v in (boxes[:, 4], windows[:, 4]) for f in (torch.cos, torch.sin))
    # All that follows is in the window's frame: centre at the origin, sides along the axes.
    cx, cy = dx * cos_w + dy * sin_w, dy * cos_w - dx * sin_w
    cos, sin = cos_b * cos_w + sin_b * sin_w, sin_b * cos_w - cos_b * sin_w
    wx, wy = 0.5 * boxes[:, 2] * cos, 0.5 * boxes[:, 2] * sin
    hx, hy = -0.5 * boxes[:, 3] * sin, 0.5 * boxes[:, 3] * cos
    x = torch.stack([cx + wx + hx, cx - wx + hx, cx - wx - hx, cx + wx - hx], dim=1)
    y = torch.stack([cy + wy + hy, cy - wy + hy, cy - wy - hy, cy + wy - hy], dim=1)
    xmax, ymax = 0.5 * windows[:, 2:3], 0.5 * windows[:, 3:4]
    # dx/dy of the edges; opposite edges have the same slope.
    slope = _over(torch.stack([wx, hx, wx, hx], dim=1), torch.stack([wy, hy, wy, hy], dim=1), 0)
    # The part of each edge within the window's rows, from (xa, ya) to (xb, yb).
    ya = y.clamp(-ymax, ymax)
    xa, xb = x + (ya - y) * slope, _next(x) + _next(ya - y) * slope
    # Twice the mean of clamp(x) along it: ma + mb, corrected for the parts beyond the window at either end.
    ma, mb = xa.clamp(-xmax, xmax), xb.clamp(-xmax, xmax)
    mean = (ma + mb) - _over(mb - ma, xb - xa, 0) * ((ma - xa) - (xb - mb))
    return 0.5 * _sum(mean * (_next(ya) - ya))


def _quad_within(quads: Tensor, windows: Tensor) -> Tensor:
    """Returns the signed area (N,) of quads in the windows of the same row, which a diagonal splits into triangles."""
    x, y = windows[:, 0::2] - windows[:, :1], windows[:, 1::2] - windows[:, 1:2]
    dx, dy = quads[:, 0::2] - windows[:, :1], quads[:, 1::2] - windows[:, 1:2]
    bx, by = x[:, 2:3], y[:, 2:3]
    total = torch.zeros_like(quads[:, 0])
    for corner, turn in ((1, 1), (3, -1)):
        ax, ay = x[:, corner, None], y[:, corner, None]
        det = ax * by - ay * bx
        scale = 1 / det
        # Corner 0 of the window goes to (0, 0), corner 2 to (0, 1), the third one to (1, 0).
        u, v = (dx * by - dy * bx) * scale, (dy * ax - dx * ay) * scale
        part = det.abs()[:, 0] * _within_unit_triangle(u, v)
        total = total + turn * part.where(scale[:, 0].isfinite(), 0)  # 0 for a triangle without area
    return torch.where((_signed_area(quads) < 0) == (_signed_area(windows) < 0), total, -total)


def _within_unit_triangle(u: Tensor, v: Tensor) -> Tensor:
    """Integrates the winding number of quads with corners ``u``, ``v`` (N, 4) over the triangle (0,0), (1,0), (0,1)."""
    slope = _over(_next(u) - u, _next(v) - v, 0)
    # The part of each edge with 0 ≤ v ≤ 1, from (ua, va) to (ub, vb).
    va = v.clamp(0, 1)
    ua, ub = u + (va - v) * slope, _next(u) + _next(va - v) * slope
    # clamp(u, 0, 1 − v) = max(0, u) − max(0, u + v − 1); twice the mean of each along the edge.
    twice = _twice_mean_positive(ua, ub) - _twice_mean_positive(ua + va - 1, ub + _next(va) - 1)
    return 0.5 * _sum(twice * (_next(va) - va))


def _twice_mean_positive(a: Tensor, b: Tensor) -> Tensor:
    """Returns twice the mean of max(0, x) for x uniform from ``a`` to ``b``: (b₊² − a₊²) / (b − a)."""
    pa, pb = a.clamp(min=0), b.clamp(min=0)
    return (pa + pb) * _over(pb - pa, b - a, 1)


def _over(values: Tensor, divisors: Tensor, flat: float) -> Tensor:
    """Divides elementwise; returns ``flat`` where the divisor is only a rounding error."""
    none = divisors.abs() < _FLAT
    return (values / divisors.where(~none, 1)).where(~none, flat)


def _next(values: Tensor) -> Tensor:
    """Returns the values (N, 4) of the next corners."""
    return values.roll(-1, dims=1)


def _sum(values: Tensor) -> Tensor:
    """Sums (N, 4) over the edges, opposite ones first: their values are nearly equal with opposite signs."""
    return (values[:, 0] + values[:, 2]) + (values[:, 1] + values[:, 3])


def _by_falling_score(scores: Tensor) -> Tensor:
    """Returns indices (N,) sorted by score: highest first, equal scores by index, NaN last."""
    falling = 0.0 - scores.detach().double()  # 0 and −0 become equal
    order = falling.nan_to_num(0, posinf=torch.inf, neginf=-torch.inf).argsort(stable=True)
    return order[scores[order].isnan().byte().argsort(stable=True)]
