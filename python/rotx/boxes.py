"""Boxes as plain torch tensors: conversions between their kinds, angle versions, and moving them about.

A *rotated box* (rbox) is ``cx, cy, w, h, angle``: pixels and radians, clockwise positive on the screen (y
down). A *quad* (qbox) is ``x1, y1, ..., x4, y4``, a *horizontal box* (hbox) ``x1, y1, x2, y2``. Boxes lie in
the last dimension, any number of dimensions before it, of any floating dtype, on any device; none is modified.
The same on numpy arrays and without torch: `rotx.geometry`.

One rectangle can be written in many ways; an *angle version* picks one:

- ``le90``: w ≥ h, angle in [−π/2, π/2);
- ``le135``: w ≥ h, angle in [−π/4, 3π/4);
- ``oc``: either side may be the longer, angle in [−π/2, 0). This is MMRotate's ``oc``, which its anchors,
  coders and released weights depend on. OpenCV from 4.5.1 on writes (0, π/2] instead: the same rectangle with
  w and h changed over and the angle a quarter turn further.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import Literal, get_args

import torch
from torch import Tensor

from rotx import geometry

AngleVersion = Literal["oc", "le90", "le135"]
Direction = Literal["horizontal", "vertical", "diagonal"]

# The least angle of each version, and the least of those that norm_angle wraps with their period.
_STARTS = {"oc": -pi / 2, "le90": -pi / 2, "le135": -pi / 4}
_RANGES = {"le90": (-pi / 2, pi), "le135": (-pi / 4, pi), "r360": (-pi, 2 * pi)}


def rbox2qbox(rboxes: Tensor) -> Tensor:
    """Corners (..., 8) of rboxes (..., 5); at angle 0: bottom right, top right, top left, bottom left."""
    centers, w, h, angle = rboxes.split_with_sizes((2, 1, 1, 1), dim=-1)
    c, s = angle.cos(), angle.sin()
    along = torch.cat([w / 2 * c, w / 2 * s], dim=-1)
    across = torch.cat([-h / 2 * s, h / 2 * c], dim=-1)
    corners = [centers + along + across, centers + along - across, centers - along - across, centers - along + across]
    return torch.cat(corners, dim=-1)


def rbox2hbox(rboxes: Tensor) -> Tensor:
    """Least hboxes (..., 4) around rboxes (..., 5)."""
    centers, w, h, angle = rboxes.split_with_sizes((2, 1, 1, 1), dim=-1)
    c, s = angle.cos(), angle.sin()
    half_width = (w / 2 * c).abs() + (h / 2 * s).abs()
    half_height = (w / 2 * s).abs() + (h / 2 * c).abs()
    half = torch.cat([half_width, half_height], dim=-1)
    return torch.cat([centers - half, centers + half], dim=-1)


def qbox2rbox(qboxes: Tensor, angle_version: AngleVersion = "le90") -> Tensor:
    """Rectangles of least area (..., 5) around quads (..., 8); NaNs where no corner is finite.

    Computed in float64 on the CPU, wherever the quads are; not differentiable.
    """
    quads = qboxes.detach().reshape(-1, qboxes.shape[-1]).to("cpu", torch.float64)
    rboxes = torch.from_numpy(geometry.quad_to_rbox(quads.numpy()))
    return regularize(rboxes, angle_version).to(qboxes).reshape(*qboxes.shape[:-1], 5)


def qbox2hbox(qboxes: Tensor) -> Tensor:
    """Least hboxes (..., 4) around quads (..., 8)."""
    corners = qboxes.reshape(*qboxes.shape[:-1], 4, 2)
    return torch.cat([corners.amin(dim=-2), corners.amax(dim=-2)], dim=-1)


def hbox2rbox(hboxes: Tensor) -> Tensor:
    """The same boxes as rboxes (..., 5) of angle 0, from hboxes (..., 4)."""
    least, most = hboxes[..., :2], hboxes[..., 2:]
    return torch.cat([(most + least) / 2, most - least, torch.zeros_like(hboxes[..., :1])], dim=-1)


def hbox2qbox(hboxes: Tensor) -> Tensor:
    """Corners (..., 8) of hboxes (..., 4), clockwise from the top left."""
    x1, y1, x2, y2 = hboxes.unbind(dim=-1)
    return torch.stack([x1, y1, x2, y1, x2, y2, x1, y2], dim=-1)


def norm_angle(angle: Tensor, version: str) -> Tensor:
    """Angles or differences of angles, of any shape, wrapped into the range of a version.

    ``le90`` and ``le135`` wrap by half a turn. ``oc`` changes nothing: a quarter turn more would swap w and h,
    which an angle alone cannot say. ``r360``, for boxes with a heading, wraps by a whole turn into [−π, π).

    Raises:
        ValueError: for another version.
    """
    if version == "oc":
        return angle
    if version not in _RANGES:
        raise ValueError(f"angle version: need 'oc', 'le90', 'le135' or 'r360', got {version!r}")
    start, period = _RANGES[version]
    return _wrap(angle - start, period) + start


def regularize(rboxes: Tensor, version: AngleVersion) -> Tensor:
    """The same rectangles (..., 5) written in an angle version.

    Raises:
        ValueError: for another version.
    """
    if version not in _STARTS:
        raise ValueError(f"angle version: need 'oc', 'le90' or 'le135', got {version!r}")
    start = _STARTS[version]
    cx, cy, w, h, angle = rboxes.unbind(dim=-1)
    if version == "oc":
        turn = _wrap(angle - start, pi)
        keep = turn < pi / 2
        angle = torch.where(keep, turn, turn - pi / 2) + start
    else:
        keep = w > h
        angle = _wrap(torch.where(keep, angle, angle + pi / 2) - start, pi) + start
    return torch.stack([cx, cy, torch.where(keep, w, h), torch.where(keep, h, w), angle], dim=-1)


def flip(boxes: Tensor, size: tuple[int, int], direction: Direction) -> Tensor:
    """Mirrors rboxes (..., 5) or quads (..., 8) with their image; x becomes width − x, y height − y.

    Args:
        boxes: rboxes, whose angle may leave its version's range, or quads, whose corners then turn the other way.
        size: height and width of the image.
        direction: ``"horizontal"``, ``"vertical"``, or ``"diagonal"`` for both.

    Raises:
        ValueError: for boxes of another kind or another direction.
    """
    if direction not in get_args(Direction):
        raise ValueError(f"direction: need one of {', '.join(map(repr, get_args(Direction)))}, got {direction!r}")
    height, width = size
    sx, x = (1, 0) if direction == "vertical" else (-1, width)
    sy, y = (1, 0) if direction == "horizontal" else (-1, height)
    if _is_rotated(boxes):
        return boxes * boxes.new_tensor([sx, sy, 1, 1, sx * sy]) + boxes.new_tensor([x, y, 0, 0, 0])
    return boxes * boxes.new_tensor([sx, sy]).repeat(4) + boxes.new_tensor([x, y]).repeat(4)


def rotate(boxes: Tensor, center: tuple[float, float], angle: float) -> Tensor:
    """Turns rboxes (..., 5) or quads (..., 8) about a point.

    Args:
        boxes: rboxes, whose angle may leave its version's range, or quads.
        center: x and y.
        angle: in radians, clockwise positive.

    Raises:
        ValueError: for boxes of another kind.
    """
    turn = boxes.new_tensor([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
    origin = boxes.new_tensor(center)
    if _is_rotated(boxes):
        centers = (boxes[..., :2] - origin) @ turn + origin
        return torch.cat([centers, boxes[..., 2:4], boxes[..., 4:] + angle], dim=-1)
    corners = boxes.reshape(*boxes.shape[:-1], 4, 2)
    return ((corners - origin) @ turn + origin).reshape(boxes.shape)


def translate(boxes: Tensor, shift: tuple[float, float]) -> Tensor:
    """Moves rboxes (..., 5) or quads (..., 8) by x and y. ValueError for boxes of another kind."""
    if _is_rotated(boxes):
        return boxes + boxes.new_tensor([*shift, 0, 0, 0])
    return boxes + boxes.new_tensor(shift).repeat(4)


def rescale(boxes: Tensor, factors: tuple[float, float]) -> Tensor:
    """Scales rboxes (..., 5) or quads (..., 8) with their image, about its origin.

    With unequal factors a rotated rectangle becomes a parallelogram: an rbox then becomes the rectangle of
    least area around it, as le90. MMRotate's RotatedBoxes.rescale_ takes the direction of the distorted
    height instead, which can be far from either side.

    Args:
        boxes: rboxes or quads.
        factors: of x and of y.

    Raises:
        ValueError: for boxes of another kind.
    """
    sx, sy = factors
    if not _is_rotated(boxes):
        return boxes * boxes.new_tensor(factors).repeat(4)
    if sx == sy:
        return boxes * boxes.new_tensor([sx, sx, sx, sx, 1])
    return qbox2rbox(rescale(rbox2qbox(boxes), factors))


def _is_rotated(boxes: Tensor) -> bool:
    if boxes.shape[-1] not in (5, 8):
        raise ValueError(f"boxes: need rboxes (..., 5) or quads (..., 8), got shape {tuple(boxes.shape)}")
    return boxes.shape[-1] == 5


def _wrap(angle: Tensor, period: float) -> Tensor:
    """Into [0, period); the remainder of a tiny negative angle alone would round to the period itself."""
    rest = angle % period
    return torch.where(rest >= period, torch.zeros_like(rest), rest)
