"""Replacing quads by rectangles, for formats that store centre, sides and angle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rotx.geometry import quad_to_rbox, rbox_to_quad

Floats = NDArray[np.float64]

#: Tolerance in pixels within which the corners of a quad count as those of a rectangle.
NEAR = 0.01


def rectangles(quads: Floats) -> tuple[Floats, Floats]:
    """Replaces quads by rectangles.

    A rectangle keeps its first corner, or the previous one if it turns the other way. Any other quad becomes the
    minimum-area rectangle around it, starting at the corner nearest to the quad's first one.

    Args:
        quads: Corners (N, 8) float64, in pixels.

    Returns:
        Corners (N, 8), clockwise on the screen; the greatest displacement of a corner of each quad, (N,), in pixels.
    """
    points = quads.reshape(-1, 4, 2)
    turned = np.where((_signed_area(points) < 0)[:, None, None], points[:, ::-1], points)
    found = _from_sides(turned)
    moved = np.hypot(*np.moveaxis(found - turned, 2, 0)).max(axis=1, initial=0)
    rows = np.flatnonzero(moved > NEAR)
    found[rows], moved[rows] = _around(turned[rows])
    return np.ascontiguousarray(found.reshape(-1, 8)), moved


def _signed_area(points: Floats) -> Floats:
    """Signed areas (N,), positive where quads (N, 4, 2) turn clockwise on the screen."""
    across, down = points[:, 2] - points[:, 0], points[:, 3] - points[:, 1]
    return across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]


def _from_sides(points: Floats) -> Floats:
    """Rectangles (N, 4, 2) with the centre, the mean sides and the direction of the longer side of quads."""
    u = 0.5 * (points[:, 1] - points[:, 0] + points[:, 2] - points[:, 3])
    v = 0.5 * (points[:, 3] - points[:, 0] + points[:, 2] - points[:, 1])
    w, h = np.hypot(*u.T), np.hypot(*v.T)
    angle = np.where(w >= h, np.arctan2(u[:, 1], u[:, 0]), np.arctan2(v[:, 1], v[:, 0]) - np.pi / 2)
    centre = points.mean(axis=1)
    return rbox_to_quad(np.column_stack([centre, w, h, angle])).reshape(-1, 4, 2)


def _around(points: Floats) -> tuple[Floats, Floats]:
    """Minimum-area rectangles (N, 4, 2) around quads, started where corners move least; displacements (N,)."""
    corners = rbox_to_quad(quad_to_rbox(points.reshape(-1, 8))).reshape(-1, 4, 2)
    starts = np.stack([np.roll(corners, -k, axis=1) for k in range(4)])
    moved = np.hypot(*np.moveaxis(starts - points, 3, 0)).max(axis=2, initial=0)  # (4, N)
    best = moved.argmin(axis=0)
    rows = np.arange(len(points))
    return starts[best, rows], moved[best, rows]
