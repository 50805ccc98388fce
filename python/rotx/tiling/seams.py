"""Objects at the seams of windows: what one window cuts off a neighbour may see whole, and each counts once.

A detection that ends where its window does, and the image does not, or reaches beyond, is perhaps a piece of an
object. What becomes of it:

1. If another window sees all of that place with room to spare, it is left to that one: what cuts off an object there
   either cuts it off farther out, or not at all.
2. A detection of its class in another window, that is no piece, is the object if most of the piece lies in it; or if
   some does, and most of what the piece's window can see of it lies in the piece: the tip of an oblique object fills
   but half of the least rectangle around it. The piece goes.
3. Pieces of one object are left only if no window holds it whole: it is larger than the overlap. Where two windows
   overlap they see the same part of it, so pieces of a class are one object if there most of the lesser lies in the
   other; an object has one piece a window. The one stays of which its window can see most: nothing vanishes.
4. Copies of an object that several windows hold whole are left to suppression, over the whole image, exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rotx import geometry

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Shares of areas: most of one, and some of one.
MOST, SOME = 0.5, 0.25
#: How near to the edge of its window a piece ends: pixels, and a share of its own extent across that edge.
NEAR, NEAR_SHARE = 2.0, 0.05


def resolve(
    rboxes: Floats,
    scores: Floats,
    labels: NDArray[np.int64],
    window: Rows,
    windows: NDArray[np.int64],
    size: tuple[int, int],
    iou_threshold: float,
) -> Rows:
    """Which of the detections in all windows of an image stay.

    Args:
        rboxes: (N, 5), in pixels of the image.
        scores: (N,).
        labels: (N,).
        window: (N,) index into ``windows``, ascending.
        windows: (W, 4) x0, y0, x1, y1: a full grid, row by row, all of one size.
        size: width and height of the image.
        iou_threshold: of two detections of a class that overlap by more, the better one stays.

    Returns:
        (K,) int64: rows, best first.
    """
    corners = geometry.rbox_to_quad(rboxes).reshape(-1, 4, 2)
    bounds = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    areas, seen = geometry.area(rboxes), _area_within(rboxes, windows[window])
    cut = _touches_inner_edge(bounds, windows[window], size)
    stays = ~(cut & _better_elsewhere(bounds, window, windows, size))
    pairs = list(_pairs(bounds, labels, cut & stays, window, windows))
    piece, other = (np.concatenate([np.zeros(0, np.int64), *(pair[i] for pair in pairs)]) for i in range(2))
    overlap = geometry.box_iou_aligned(rboxes[piece], rboxes[other], "iof") * areas[piece]
    share = _ratio(overlap, areas[piece])
    there = _ratio(overlap, _area_within(rboxes[other], windows[window[piece]]))
    stays[piece[~cut[other] & ((share > MOST) | ((share > SOME) & (there > MOST)))]] = False

    left = cut[other] & stays[piece] & stays[other] & (piece < other)
    piece, other, overlap, there = piece[left], other[left], overlap[left], there[left]
    alike = np.maximum(there, _ratio(overlap, _area_within(rboxes[piece], windows[window[other]])))
    same = alike > MOST
    stays[_lesser_pieces(piece[same], other[same], alike[same], window, seen, scores)] = False

    rows = np.flatnonzero(stays)
    return rows[geometry.nms(rboxes[rows], scores[rows], iou_threshold, labels[rows])]


def _touches_inner_edge(bounds: Floats, areas: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether each of N detections ends at an edge of its window that is not the image's.

    Args:
        bounds: (N, 4) least x and y, greatest x and y.
        areas: (N, 4) the window of each.
        size: width and height of the image.
    """
    near = _near(bounds)
    low = (areas[:, :2] > 0) & (bounds[:, :2] < areas[:, :2] + near)
    high = (areas[:, 2:] < np.array(size)) & (bounds[:, 2:] > areas[:, 2:] - near)
    return (low | high)[:, 0] | (low | high)[:, 1]


def _better_elsewhere(
    bounds: Floats, window: Rows, windows: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Whether another window sees all that each detection's own window sees of it, and farther on all sides."""
    near, better = _near(bounds), np.ones(len(bounds), np.bool_)
    low = np.maximum(bounds[:, :2], windows[window, :2])
    high = np.minimum(bounds[:, 2:], windows[window, 2:])
    for axis in (0, 1):
        starts, length = np.unique(windows[:, axis]), windows[0, axis + 2] - windows[0, axis]
        # The last that begins before it; windows at the image's border see all there is.
        last = np.maximum(np.searchsorted(starts, low[:, axis] - near[:, axis]) - 1, 0)
        ends = starts[last] + length
        better &= (ends == size[axis]) | (ends > high[:, axis] + near[:, axis])
    return better


def _near(bounds: Floats) -> Floats:
    return NEAR + NEAR_SHARE * (bounds[:, 2:] - bounds[:, :2])


def _pairs(
    bounds: Floats, labels: NDArray[np.int64], cut: NDArray[np.bool_], window: Rows, windows: NDArray[np.int64]
) -> Iterator[tuple[Rows, Rows]]:
    """Rows of pieces, and beside each those of its class in other windows whose upright rectangles meet its own."""
    xs, ys = np.unique(windows[:, 0]), np.unique(windows[:, 1])
    width, height = windows[0, 2:] - windows[0, :2]
    starts = np.searchsorted(window, np.arange(len(windows) + 1))
    for here in np.unique(window[cut]).tolist():
        mine = np.flatnonzero(cut[starts[here] : starts[here + 1]]) + starts[here]
        x, y = windows[here, :2]
        first, last = np.searchsorted(xs, x - width, "right"), np.searchsorted(xs, x + width)
        rows = range(int(np.searchsorted(ys, y - height, "right")), int(np.searchsorted(ys, y + height)))
        near = np.concatenate([np.arange(starts[r * len(xs) + first], starts[r * len(xs) + last]) for r in rows])
        near = near[window[near] != here]
        a, b = bounds[mine, None], bounds[None, near]
        meet = ((a[..., :2] < b[..., 2:]) & (b[..., :2] < a[..., 2:])).all(-1)
        i, j = np.nonzero(meet & (labels[mine, None] == labels[None, near]))
        yield mine[i], near[j]


def _ratio(a: Floats, b: Floats) -> Floats:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def _area_within(rboxes: Floats, areas: NDArray[np.int64]) -> Floats:
    """How much of each of N boxes lies in its window of (N, 4)."""
    x0, y0, x1, y1 = areas.T.astype(np.float64)
    quads = np.stack([x0, y0, x1, y0, x1, y1, x0, y1], axis=1)
    inside = geometry.box_iou_aligned(geometry.rbox_to_quad(rboxes), quads, "iof")
    return inside * geometry.area(rboxes)


def _lesser_pieces(a: Rows, b: Rows, alike: Floats, window: Rows, seen: Floats, scores: Floats) -> list[int]:
    """Of pieces that are one object, all but the one of which its window sees most.

    Args:
        a, b: (M,) rows of pieces that are one object.
        alike: (M,) the surest pairs are joined first.
        window: (N,) of each detection; an object has one piece a window.
        seen, scores: (N,) of each detection.
    """
    groups: dict[int, list[int]] = {row: [row] for row in [*a.tolist(), *b.tolist()]}
    for pair in np.argsort(-alike, kind="stable").tolist():
        mine, theirs = groups[int(a[pair])], groups[int(b[pair])]
        if mine is not theirs and not {int(window[i]) for i in mine} & {int(window[i]) for i in theirs}:
            mine += theirs
            groups.update(dict.fromkeys(theirs, mine))
    dropped = []
    for group in {id(group): group for group in groups.values()}.values():
        best = max(group, key=lambda row: (seen[row], scores[row], -row))
        dropped += [row for row in group if row != best]
    return dropped
