"""Moving boxes with their image, by a 3x3 matrix.

A matrix maps homogeneous points (x, y, 1) of the image before the move to the image after it. A product of matrices
applies moves from right to left; the inverse undoes a move.
"""

from __future__ import annotations

from math import atan2, cos, hypot, pi, remainder, sin
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rotx.boxes.arrays import Array, floating, like, namespace
from rotx.boxes.convert import convert, corners, points2hbox, qbox2rbox
from rotx.boxes.kinds import BoxKind, check_boxes

Direction = Literal["horizontal", "vertical", "diagonal"]
Matrix = NDArray[np.float64]

# Relative difference up to which two sides of a moved rectangle count as perpendicular and equally scaled.
_SIMILAR = 1e-9


def move(boxes: Array, kind: BoxKind, matrix: ArrayLike) -> Array:
    """Moves boxes with their image.

    Rotation, mirroring, translation and uniform scaling keep rboxes exact; their angle may leave its version's range.
    If a matrix shears, projects or scales unequally, an rbox becomes the minimum-area rectangle around its moved
    corners, as le90. An hbox becomes the smallest hbox around its moved corners. Quads and points move point by point.

    Args:
        boxes: Boxes (..., D).
        kind: Their kind.
        matrix: Matrix (3, 3) from pixels before the move to pixels after it.

    Raises:
        ValueError: For boxes that do not match the kind, or a matrix that is not (3, 3) and finite.
    """
    check_boxes(boxes, kind)
    m = np.asarray(matrix, np.float64)
    if m.shape != (3, 3) or not np.isfinite(m).all():
        raise ValueError(f"matrix: need finite numbers (3, 3), got {m.tolist()}")
    boxes = floating(boxes)
    if kind == "rbox":
        return _move_rboxes(boxes, m)
    points = _move_points(corners(boxes, kind), m)
    flat = points.reshape(*points.shape[:-2], points.shape[-2] * 2)
    return points2hbox(flat) if kind == "hbox" else flat


def translation_matrix(x: float, y: float) -> Matrix:
    """Returns the translation by x and y pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def scale_matrix(x: float, y: float) -> Matrix:
    """Returns the scaling about the origin of the image."""
    return np.diag([x, y, 1.0])


def rotation_matrix(center: tuple[float, float], angle: float) -> Matrix:
    """Returns the rotation about a point, in radians, clockwise positive."""
    c, s = cos(angle), sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    matrix: Matrix = translation_matrix(*center) @ turn @ translation_matrix(-center[0], -center[1])
    return matrix


def flip_matrix(size: tuple[int, int], direction: Direction) -> Matrix:
    """Returns the flip of an image; x becomes width − x, y becomes height − y.

    Args:
        size: Height and width of the image.
        direction: ``"horizontal"``, ``"vertical"``, or ``"diagonal"`` for both.

    Raises:
        ValueError: For another direction.
    """
    if direction not in get_args(Direction):
        raise ValueError(f"direction: need one of {', '.join(map(repr, get_args(Direction)))}, got {direction!r}")
    height, width = size
    sx, x = (1, 0) if direction == "vertical" else (-1, width)
    sy, y = (1, 0) if direction == "horizontal" else (-1, height)
    return np.array([[sx, 0, x], [0, sy, y], [0, 0, 1]], np.float64)


def flip(boxes: Array, size: tuple[int, int], direction: Direction) -> Array:
    """Flips rboxes (..., 5) or quads (..., 8) with their image; see :func:`flip_matrix`."""
    return move(boxes, _kind_of(boxes), flip_matrix(size, direction))


def rotate(boxes: Array, center: tuple[float, float], angle: float) -> Array:
    """Rotates rboxes (..., 5) or quads (..., 8) about a point; see :func:`rotation_matrix`."""
    return move(boxes, _kind_of(boxes), rotation_matrix(center, angle))


def translate(boxes: Array, shift: tuple[float, float]) -> Array:
    """Moves rboxes (..., 5) or quads (..., 8) by x and y."""
    return move(boxes, _kind_of(boxes), translation_matrix(*shift))


def rescale(boxes: Array, factors: tuple[float, float]) -> Array:
    """Scales rboxes (..., 5) or quads (..., 8) with their image, about its origin; see :func:`move`.

    For unequal factors, MMRotate's RotatedBoxes.rescale_ uses the direction of the distorted height instead of the
    minimum-area rectangle; that direction can be far from either side.
    """
    return move(boxes, _kind_of(boxes), scale_matrix(*factors))


def _move_points(points: Array, m: Matrix) -> Array:
    """Moves points (..., 2)."""
    moved: Array = points @ like(m[:2, :2].T, points) + like(m[:2, 2], points)
    if m[2].tolist() != [0, 0, 1]:
        moved = moved / (points @ like(m[2:, :2].T, points) + like(m[2:, 2], points))
    return moved


def _move_rboxes(boxes: Array, m: Matrix) -> Array:
    xp = namespace(boxes)
    (a, b), (c, d) = m[:2, :2].tolist()
    scale = hypot(a, c)
    mirrored = a * d - b * c < 0
    sign = -1.0 if mirrored else 1.0
    off = max(abs(b + sign * c), abs(d - sign * a))
    if m[2].tolist() != [0, 0, 1] or scale == 0 or off > _SIMILAR * scale:
        quads = convert(boxes, "rbox", "quad")
        return qbox2rbox(move(quads, "quad", m))
    # A rectangle equals itself after half a turn: choose the smaller rotation.
    turn = remainder(atan2(c, a), pi)
    centers = _move_points(boxes[..., :2], m)
    lengths = boxes[..., 2:4] * scale
    out: Array = xp.concatenate([centers, lengths, boxes[..., 4:5] * sign + turn], axis=-1)
    return out


def _kind_of(boxes: Any) -> BoxKind:
    if boxes.shape[-1] not in (5, 8):
        raise ValueError(f"boxes: need rboxes (..., 5) or quads (..., 8), got shape {tuple(boxes.shape)}")
    return "rbox" if boxes.shape[-1] == 5 else "quad"
