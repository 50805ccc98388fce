"""Tests which points lie in which rotated boxes or quads: ``rotx::points_in_boxes``."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from rotx import geometry
from rotx.ops import _library


def points_in_boxes(points: Tensor, boxes: Tensor) -> Tensor:
    """Tests whether each point lies in each rotated box or quad, border included; like mmcv's points_in_polygons.

    The test is computed in float64. Quads may have either orientation and need not be convex; a self-intersecting quad
    contains the points with a non-zero winding number. Points and boxes with a non-finite number are in nothing and
    contain nothing.

    Args:
        points: Points (P, 2) ``x, y`` in pixels; any floating dtype.
        boxes: Rboxes (N, 5) ``cx, cy, w, h, angle``, in pixels and radians, clockwise, or quads (N, 8)
            ``x1, y1, ..., x4, y4`` in pixels; any floating dtype, on the same device.

    Returns:
        Mask (P, N) bool.

    Raises:
        TypeError: If a dtype is not floating-point.
        ValueError: If a shape is wrong or the devices differ.
    """
    return cast(Tensor, torch.ops.rotx.points_in_boxes(points, boxes))


def _checked(kernel: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def run(points: Tensor, boxes: Tensor) -> Tensor:
        _library.check_boxes("points", points, 2)
        _library.check_floating("boxes", boxes)
        torch._check_value(
            boxes.dim() == 2 and boxes.shape[1] in (5, 8),
            lambda: f"boxes: need shape (N, 5) or (N, 8), got {tuple(boxes.shape)}",
        )
        _library.check_device("points", points, "boxes", boxes)
        return kernel(points, boxes)

    return run


def _cpu(points: Tensor, boxes: Tensor) -> Tensor:
    return torch.from_numpy(geometry.points_in_boxes(_library.to_numpy(points), _library.to_numpy(boxes)))


def _fake(points: Tensor, boxes: Tensor) -> Tensor:
    return points.new_empty((points.shape[0], boxes.shape[0]), dtype=torch.bool)


def _plain(points: Tensor, boxes: Tensor) -> Tensor:
    """Plain torch version of the Rust core's `point_in_quad`: computes the winding number around each point."""
    x, y = points.detach().double()[:, None].unbind(dim=2)
    corners = (_corners(boxes) if boxes.shape[1] == 5 else boxes.detach().double()).reshape(-1, 4, 2)
    on_border = torch.zeros((points.shape[0], boxes.shape[0]), dtype=torch.bool, device=points.device)
    winding = on_border.to(torch.int8)
    for i in range(4):
        (ax, ay), (bx, by) = corners[:, i].unbind(dim=1), corners[:, (i + 1) % 4].unbind(dim=1)
        side = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        on_border |= (side == 0) & _between(x, ax, bx) & _between(y, ay, by)
        winding += ((ay <= y) & (by > y) & (side > 0)).to(torch.int8)
        winding -= ((by <= y) & (ay > y) & (side < 0)).to(torch.int8)
    return (on_border | (winding != 0)) & corners.isfinite().all(dim=2).all(dim=1)


def _corners(rboxes: Tensor) -> Tensor:
    """Returns corners (N, 8), clockwise from the one that is top left at angle 0."""
    center, w, h, angle = rboxes.detach().double().split_with_sizes((2, 1, 1, 1), dim=1)
    cos, sin = angle.cos(), angle.sin()
    u, v = torch.cat([0.5 * w * cos, 0.5 * w * sin], dim=1), torch.cat([-0.5 * h * sin, 0.5 * h * cos], dim=1)
    return torch.cat([center - u - v, center + u - v, center + u + v, center - u + v], dim=1)


def _between(values: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return (torch.minimum(a, b) <= values) & (values <= torch.maximum(a, b))


_library.define(
    "points_in_boxes(Tensor points, Tensor boxes) -> Tensor",
    cpu=_checked(_cpu),
    fake=_checked(_fake),
    plain=_checked(_plain),
)
