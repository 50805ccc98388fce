"""Merging objects at the seams of windows, so that each object counts once even if windows cut it off.

A detection that reaches an edge of its window inside the image may be a piece of an object. The rules for pieces:

1. If another window sees all of the place of the piece with room to spare, the piece is dropped: that window cuts the
   object off farther out, or not at all.
2. A complete detection of the same class on another window is the same object if most of the piece lies in it; or if
   some of the piece does, and most of the part that the piece's window can see lies in the piece, because the tip of an
   oblique object fills only half of its minimum-area rectangle. The piece is dropped.
3. Other pieces belong to objects larger than the overlap, which no window contains. Two windows see the same part of an
   object in their overlap, so pieces of a class are one object if, in the overlap, most of the smaller piece lies in
   the other one; an object has at most one piece per window. The piece on the window that sees most of the object is
   kept.
4. Copies of an object that several windows contain are left to exact suppression over the whole image.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rotx import geometry

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Fractions of areas that count as "most" and "some".
MOST, SOME = 0.5, 0.25
#: Greatest distance of a piece from the edge of its window: in pixels, and as a fraction of its extent across the edge.
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
    """Selects the detections on all windows of an image to keep.

    Args:
        rboxes: Rotated boxes (N, 5), in pixels of the image.
        scores: Scores (N,).
        labels: Labels (N,).
        window: Index of each box's window, (N,), ascending.
        windows: Windows (W, 4) x0, y0, x1, y1, of any sizes, in pixels.
        size: Width and height of the image.
        iou_threshold: Of two detections of a class with a greater IoU, the better one is kept.

    Returns:
        Indices (K,) int64 of the kept detections, best first.
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
    """Index of the windows that overlap or touch each window."""

    def __init__(self, windows: Floats) -> None:
        self.windows = windows
        side = max(float((windows[:, 2:] - windows[:, :2]).max(initial=1)), 1)
        # Windows that meet have their corners in adjacent cells of a grid with cells as large as the largest window.
        cells = np.floor((windows[:, :2] - windows[:, :2].min(0, initial=np.inf)) / side).astype(np.int64) + 1
        self._row = int(cells[:, 0].max(initial=0)) + 2
        self._cell = cells[:, 1] * self._row + cells[:, 0]
        self._order = np.argsort(self._cell, kind="stable")
        self._sorted = self._cell[self._order]

    def of(self, here: int) -> Rows:
        """Returns the other windows that overlap or touch a window, ascending."""
        rows = self._cell[here] + np.array([-self._row, 0, self._row])
        first, last = np.searchsorted(self._sorted, rows - 1), np.searchsorted(self._sorted, rows + 1, "right")
        found: Rows = np.sort(np.concatenate([self._order[a:b] for a, b in zip(first, last, strict=True)]))
        a, b = self.windows[here], self.windows[found]
        meets = (a[:2] <= b[:, 2:]) & (b[:, :2] <= a[2:])
        others: Rows = found[meets[:, 0] & meets[:, 1] & (found != here)]
        return others


def _touches_inner_edge(bounds: Floats, areas: Floats, size: Floats) -> NDArray[np.bool_]:
    """Whether each of N detections reaches an edge of its window inside the image.

    Args:
        bounds: Bounding boxes (N, 4) x0, y0, x1, y1 of the detections.
        areas: Window of each detection, (N, 4).
        size: Width and height of the image.
    """
    near = _near(bounds)
    low = (areas[:, :2] > 0) & (bounds[:, :2] < areas[:, :2] + near)
    high = (areas[:, 2:] < size) & (bounds[:, 2:] > areas[:, 2:] - near)
    return (low | high)[:, 0] | (low | high)[:, 1]


def _better_elsewhere(
    bounds: Floats, cut: NDArray[np.bool_], window: Rows, windows: Floats, near: _Neighbours, size: Floats
) -> Rows:
    """Returns the pieces whose place another window sees with room to spare on all sides."""
    margin = _near(bounds)
    low = np.maximum(bounds[:, :2], windows[window, :2]) - margin
    high = np.minimum(bounds[:, 2:], windows[window, 2:]) + margin
    found = [np.zeros(0, np.int64)]
    for mine in _by_window(np.flatnonzero(cut), window):
        others = windows[near.of(int(window[mine[0]]))]
        # At the border of the image, a window sees everything there is.
        below = (others[:, :2] <= 0) | (others[None, :, :2] < low[mine, None])
        above = (others[:, 2:] >= size) | (others[None, :, 2:] > high[mine, None])
        sees_more = below & above
        found.append(mine[np.any(sees_more[..., 0] & sees_more[..., 1], axis=1)])
    return np.concatenate(found)


def _near(bounds: Floats) -> Floats:
    return NEAR + NEAR_SHARE * (bounds[:, 2:] - bounds[:, :2])


def _by_window(rows: Rows, window: Rows) -> list[Rows]:
    """Groups rows by window."""
    return np.split(rows, np.flatnonzero(np.diff(window[rows])) + 1) if len(rows) else []


def _pairs(
    bounds: Floats, labels: NDArray[np.int64], cut: NDArray[np.bool_], window: Rows, near: _Neighbours
) -> Iterator[tuple[Rows, Rows]]:
    """Yields pairs of rows: pieces, and detections of their class on other windows whose bounding boxes meet theirs."""
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
    """Area of the part of each of N boxes inside its window (N, 4)."""
    x0, y0, x1, y1 = areas.T
    quads = np.stack([x0, y0, x1, y0, x1, y1, x0, y1], axis=1)
    inside = geometry.box_iou_aligned(geometry.rbox_to_quad(rboxes), quads, "iof")
    return inside * geometry.area(rboxes)


def _lesser_pieces(a: Rows, b: Rows, alike: Floats, window: Rows, seen: Floats, scores: Floats) -> list[int]:
    """Returns all pieces of each object except the one on the window that sees most of it.

    Args:
        a, b: Rows (M,) of pairs of pieces of one object.
        alike: Similarity of each pair, (M,); the most similar pairs are joined first.
        window: Window of each detection, (N,); an object has at most one piece per window.
        seen, scores: Visible area and score of each detection, (N,).
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
