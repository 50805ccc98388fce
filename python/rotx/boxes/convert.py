"""Conversions between kinds of boxes."""

from __future__ import annotations

from typing import Any

from rotx import geometry
from rotx.boxes.angles import AngleVersion, regularize
from rotx.boxes.arrays import Array, floating, is_tensor, like, namespace
from rotx.boxes.kinds import BoxKind, check_boxes, width


def convert(boxes: Array, kind: BoxKind, to: BoxKind) -> Array:
    """Converts boxes to another kind: the smallest box of the new kind around each.

    Quads made from other kinds turn clockwise from the corner that is top left at angle 0; rboxes made from other
    kinds are le90. Rectangles around quads and points are computed in float64 on the CPU and have no gradient.

    Args:
        boxes: Boxes (..., D).
        kind: Their kind.
        to: Kind to convert to; ``"points"`` gives the four corners.

    Returns:
        Boxes (..., D'); ``boxes`` itself if the kinds are the same.
    """
    check_boxes(boxes, kind)
    if to == kind:
        return boxes
    width(to)  # raises for unknown kinds
    boxes = floating(boxes)
    if to == "hbox":
        return rbox2hbox(boxes) if kind == "rbox" else points2hbox(boxes)
    if to == "rbox":
        return hbox2rbox(boxes) if kind == "hbox" else _least_rectangles(boxes, kind)
    if kind == "points":
        return convert(convert(boxes, kind, "rbox"), "rbox", "quad")
    points = corners(boxes, kind)
    return points.reshape(*points.shape[:-2], 8)


def corners(boxes: Array, kind: BoxKind) -> Array:
    """Returns corners (..., 4, 2) of hboxes, rboxes and quads; points (..., k, 2) unchanged.

    The corners of hboxes and rboxes turn clockwise from the one that is top left at angle 0.
    """
    check_boxes(boxes, kind)
    boxes, xp = floating(boxes), namespace(boxes)
    if kind == "hbox":
        quads = hbox2qbox(boxes)
        return quads.reshape(*boxes.shape[:-1], 4, 2)
    if kind != "rbox":
        return boxes.reshape(*boxes.shape[:-1], boxes.shape[-1] // 2, 2)
    center, along, across = _axes(boxes)
    points = [center - along - across, center + along - across, center + along + across, center - along + across]
    out: Array = xp.stack(points, axis=-2)
    return out


def rbox2qbox(rboxes: Array) -> Array:
    """Corners (..., 8) of rboxes (..., 5) in MMRotate's order: bottom right, top right, top left, bottom left."""
    xp = namespace(rboxes)
    center, along, across = _axes(rboxes)
    points = [center + along + across, center + along - across, center - along - across, center - along + across]
    out: Array = xp.concatenate(points, axis=-1)
    return out


def rbox2hbox(rboxes: Array) -> Array:
    """Smallest hboxes (..., 4) around rboxes (..., 5)."""
    xp = namespace(rboxes)
    center, w, h, angle = rboxes[..., :2], rboxes[..., 2:3], rboxes[..., 3:4], rboxes[..., 4:5]
    c, s = xp.cos(angle), xp.sin(angle)
    half_width = xp.abs(w / 2 * c) + xp.abs(h / 2 * s)
    half_height = xp.abs(w / 2 * s) + xp.abs(h / 2 * c)
    half = xp.concatenate([half_width, half_height], axis=-1)
    out: Array = xp.concatenate([center - half, center + half], axis=-1)
    return out


def qbox2rbox(qboxes: Array, angle_version: AngleVersion = "le90") -> Array:
    """Minimum-area rectangles (..., 5) around quads (..., 8); NaNs where no corner is finite.

    Computed in float64 on the CPU for tensors on any device; not differentiable.
    """
    return regularize(_least_rectangles(qboxes, "quad"), angle_version)


def qbox2hbox(qboxes: Array) -> Array:
    """Smallest hboxes (..., 4) around quads (..., 8)."""
    return points2hbox(qboxes)


def points2hbox(points: Array) -> Array:
    """Smallest hboxes (..., 4) around the points of quads or point sets (..., 2k)."""
    xp = namespace(points)
    x, y = points[..., 0::2], points[..., 1::2]
    edges = [xp.amin(x, axis=-1), xp.amin(y, axis=-1), xp.amax(x, axis=-1), xp.amax(y, axis=-1)]
    out: Array = xp.stack(edges, axis=-1)
    return out


def hbox2rbox(hboxes: Array) -> Array:
    """Converts hboxes (..., 4) to rboxes (..., 5) of angle 0."""
    xp = namespace(hboxes)
    least, most = hboxes[..., :2], hboxes[..., 2:4]
    out: Array = xp.concatenate([(most + least) / 2, most - least, xp.zeros_like(hboxes[..., :1])], axis=-1)
    return out


def rectangle2rbox(quads: Array) -> Array:
    """Quads (..., 8) that are rectangles as rboxes (..., 5), w along the first side; on their device, differentiable.

    Quads that are none need :func:`qbox2rbox`.
    """
    xp = namespace(quads)
    p1, p2, p3, p4 = (quads[..., i : i + 2] for i in (0, 2, 4, 6))
    along, across = p2 - p1, p3 - p2
    w, h = xp.hypot(along[..., :1], along[..., 1:]), xp.hypot(across[..., :1], across[..., 1:])
    angle = xp.arctan2(along[..., 1:], along[..., :1])
    out: Array = xp.concatenate([(p1 + p2 + p3 + p4) / 4, w, h, angle], axis=-1)
    return out


def hbox2qbox(hboxes: Array) -> Array:
    """Corners (..., 8) of hboxes (..., 4), clockwise from the top left."""
    xp = namespace(hboxes)
    x1, y1, x2, y2 = (hboxes[..., i] for i in range(4))
    out: Array = xp.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=-1)
    return out


def _axes(rboxes: Array) -> tuple[Array, Array, Array]:
    """Centers (..., 2) of rboxes and their half sides as vectors, along w and along h."""
    xp = namespace(rboxes)
    center, w, h, angle = rboxes[..., :2], rboxes[..., 2:3], rboxes[..., 3:4], rboxes[..., 4:5]
    c, s = xp.cos(angle), xp.sin(angle)
    along = xp.concatenate([w / 2 * c, w / 2 * s], axis=-1)
    across = xp.concatenate([-h / 2 * s, h / 2 * c], axis=-1)
    return center, along, across


def _least_rectangles(boxes: Array, kind: BoxKind) -> Array:
    """Minimum-area rectangles (..., 5), le90, around quads (..., 8) or points (..., 2k)."""
    flat: Any = boxes
    if is_tensor(boxes):
        flat = flat.detach().cpu().double().numpy()
    rows = flat.reshape(-1, flat.shape[-1])
    rectangles = geometry.quad_to_rbox(rows) if kind == "quad" else geometry.points_to_rbox(rows)
    return like(rectangles.reshape(*boxes.shape[:-1], 5), boxes)
