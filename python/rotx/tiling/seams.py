"""Objects at the seams of windows: what one window cuts off a neighbour may see whole, and each counts once.

A detection that ends where its window does, and the image does not, or reaches beyond, is perhaps a piece of an
object. What becomes of it:

1. If another window sees all of that place with room to spare, it is left to that one: what cuts off an object there
   either cuts it off farther out, or not at all.
2. A detection of its class in another window, that is no piece, is the object if most of the piece lies in it; or if
   some does, and most of what the piece's window can see of it lies in the piece: the tip of an oblique object fills
   but half of the minimum-area rectangle around it. The piece goes.
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
    windows: NDArray[np.int64] | Floats,
    size: tuple[int, int] | Floats,
    iou_threshold: float,
) -> Rows:
    """Which of the detections in all windows of an image stay.

    Args:
        rboxes: Rotated boxes (N, 5), in pixels of the image.
        scores: Scores (N,).
        labels: Labels (N,).
        window: Index of each box's window, (N,), ascending.
        windows: Windows (W, 4) x0, y0, x1, y1, of any sizes.
        size: Width and height of the image.
        iou_threshold: Of two detections of a class with a greater IoU the better one stays.

    Returns:
        Rows (K,) int64 that stay, best first.
    """
    windows, size = windows.astype(np.float64), np.asarray(size, np.float64)
    near = _Neighbours(windows)
    corners = geometry.rbox_to_quad(rboxes).reshape(-1, 4, 2)
    bounds = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    areas, seen = geometry.area(rboxes), _area_within(rboxes, windows[window])
    cut = _touches_inner_edge(bounds, windows[window], size)
    stays = np.ones(len(rboxes), np.bool_)
    stays[_better_elsewhere(bounds, cut, window, windows, near, size)] = False
    pairs = list(_pairs(bounds, labels, cut & stays, window, near))
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


class _Neighbours:
    """Which windows meet each."""

    def __init__(self, windows: Floats) -> None:
        self.windows = windows
        side = max(float((windows[:, 2:] - windows[:, :2]).max(initial=1)), 1)
        # Corners of windows that meet lie in squares, as large as the largest window, that are neighbours.
        cells = np.floor((windows[:, :2] - windows[:, :2].min(0, initial=np.inf)) / side).astype(np.int64) + 1
        self._row = int(cells[:, 0].max(initial=0)) + 2
        self._cell = cells[:, 1] * self._row + cells[:, 0]
        self._order = np.argsort(self._cell, kind="stable")
        self._sorted = self._cell[self._order]

    def of(self, here: int) -> Rows:
        """The windows that overlap or touch one, itself left out, ascending."""
        rows = self._cell[here] + np.array([-self._row, 0, self._row])
        first, last = np.searchsorted(self._sorted, rows - 1), np.searchsorted(self._sorted, rows + 1, "right")
        found: Rows = np.sort(np.concatenate([self._order[a:b] for a, b in zip(first, last, strict=True)]))
        a, b = self.windows[here], self.windows[found]
        meets = (a[:2] <= b[:, 2:]) & (b[:, :2] <= a[2:])
        others: Rows = found[meets[:, 0] & meets[:, 1] & (found != here)]
        return others


def _touches_inner_edge(bounds: Floats, areas: Floats, size: Floats) -> NDArray[np.bool_]:
    """Whether each of N detections ends at an edge of its window that is not the image's.

    Args:
        bounds: Least x and y, greatest x and y, (N, 4).
        areas: The window of each, (N, 4).
        size: Width and height of the image.
    """
    near = _near(bounds)
    low = (areas[:, :2] > 0) & (bounds[:, :2] < areas[:, :2] + near)
    high = (areas[:, 2:] < size) & (bounds[:, 2:] > areas[:, 2:] - near)
    return (low | high)[:, 0] | (low | high)[:, 1]


def _better_elsewhere(
    bounds: Floats, cut: NDArray[np.bool_], window: Rows, windows: Floats, near: _Neighbours, size: Floats
) -> Rows:
    """Rows of pieces of which another window sees all that their own window sees, and farther on all sides."""
    margin = _near(bounds)
    low = np.maximum(bounds[:, :2], windows[window, :2]) - margin
    high = np.minimum(bounds[:, 2:], windows[window, 2:]) + margin
    found = [np.zeros(0, np.int64)]
    for mine in _by_window(np.flatnonzero(cut), window):
        others = windows[near.of(int(window[mine[0]]))]
        # Windows at the image's border see all there is.
        below = (others[:, :2] <= 0) | (others[None, :, :2] < low[mine, None])
        above = (others[:, 2:] >= size) | (others[None, :, 2:] > high[mine, None])
        sees_more = below & above
        found.append(mine[np.any(sees_more[..., 0] & sees_more[..., 1], axis=1)])
    return np.concatenate(found)


def _near(bounds: Floats) -> Floats:
    return NEAR + NEAR_SHARE * (bounds[:, 2:] - bounds[:, :2])


def _by_window(rows: Rows, window: Rows) -> list[Rows]:
    """Some rows, those of each window together."""
    return np.split(rows, np.flatnonzero(np.diff(window[rows])) + 1) if len(rows) else []


def _pairs(
    bounds: Floats, labels: NDArray[np.int64], cut: NDArray[np.bool_], window: Rows, near: _Neighbours
) -> Iterator[tuple[Rows, Rows]]:
    """Rows of pieces, and beside each those of its class in other windows whose upright rectangles meet its own."""
    starts = np.searchsorted(window, np.arange(len(near.windows) + 1))
    for mine in _by_window(np.flatnonzero(cut), window):
        here = int(window[mine[0]])
        parts = [np.arange(starts[there], starts[there + 1]) for there in near.of(here).tolist()]
        others = np.concatenate([np.zeros(0, np.int64), *parts])
        overlapping = near.windows[here, :2] < near.windows[window[others], 2:]
        overlapping &= near.windows[window[others], :2] < near.windows[here, 2:]
        others = others[overlapping.all(1)]
        a, b = bounds[mine, None], bounds[None, others]
        meet = ((a[..., :2] < b[..., 2:]) & (b[..., :2] < a[..., 2:])).all(-1)
        i, j = np.nonzero(meet & (labels[mine, None] == labels[None, others]))
        yield mine[i], others[j]


def _ratio(a: Floats, b: Floats) -> Floats:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def _area_within(rboxes: Floats, areas: Floats) -> Floats:
    """How much of each of N boxes lies in its window of (N, 4)."""
    x0, y0, x1, y1 = areas.T
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
