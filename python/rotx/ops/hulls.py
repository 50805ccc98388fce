"""Convex hulls and minimum-area rectangles of point sets: ``rotx::hull_indices`` and ``rotx::min_area_rect``."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from rotx import _rust, geometry
from rotx.ops import _library


def convex_hull(points: Tensor) -> Tensor:
    """Computes the convex hull of each point set, as a polygon with as many points.

    The corners of a hull are points of the set. They run clockwise on the screen from the leftmost one, without
    collinear or repeated points. The last corner is repeated to fill the row, which changes neither the area nor the
    edges. Points that are not finite are left out, unless all points of a set are.

    Args:
        points: Point sets (N, 2k) ``x1, y1, ..., xk, yk`` in pixels; any floating dtype.

    Returns:
        Polygons (N, 2k) of the same dtype; differentiable: a corner's gradient goes to its point.

    Raises:
        TypeError: If a dtype is not floating-point.
        ValueError: If the shape is wrong.
    """
    corners: Tensor = torch.ops.rotx.hull_indices(points)
    x, y = points[:, 0::2].gather(1, corners), points[:, 1::2].gather(1, corners)
    return torch.stack([x, y], dim=2).flatten(start_dim=1)


def min_area_rect(points: Tensor) -> Tensor:
    """Computes the minimum-area rectangle around each point set, like mmcv's min_area_polygons.

    One of its sides lies on a side of the convex hull (Freeman and Shapira 1975). It is computed in float64 and rounded
    once, to the dtype of the points. Points that are not finite are left out.

    Args:
        points: Point sets (N, 2k) ``x1, y1, ..., xk, yk`` in pixels; any floating dtype.

    Returns:
        Corners (N, 8) of the same dtype, clockwise on the screen; NaN where no point is finite. Not differentiable:
        never requires grad.

    Raises:
        TypeError: If a dtype is not floating-point.
        ValueError: If the shape is wrong.
    """
    return cast(Tensor, torch.ops.rotx.min_area_rect(points))


def _define(name: str, cpu: Callable[[Tensor], Tensor], fake: Callable[[Tensor], Tensor]) -> None:
    def checked(kernel: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def run(points: Tensor) -> Tensor:
            _library.check_points("points", points)
            return kernel(points)

        return run

    _library.define(f"{name}(Tensor points) -> Tensor", cpu=checked(cpu), fake=checked(fake))


def _indices(points: Tensor) -> Tensor:
    return torch.from_numpy(_rust.hull_indices(_library.to_numpy(points.contiguous())))


def _fake_indices(points: Tensor) -> Tensor:
    return points.new_empty((points.shape[0], points.shape[1] // 2), dtype=torch.int64)


def _rectangles(points: Tensor) -> Tensor:
    rboxes = geometry.points_to_rbox(_library.to_numpy(points))
    return torch.from_numpy(geometry.rbox_to_quad(rboxes)).to(points.dtype)


_define("hull_indices", _indices, _fake_indices)
_define("min_area_rect", _rectangles, lambda points: points.new_empty((points.shape[0], 8)))
