"""Planted objects, cut by windows and found by an ideal detector: each counts once, whatever the windows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rotx import geometry
from rotx.tiling.seams import resolve
from rotx.tiling.windowed_image import grid

Floats = NDArray[np.float64]
NMS_IOU = 0.1


def plant(rng: np.random.Generator, size: tuple[int, int], largest: float, count: int = 40) -> Floats:
    """Boxes (M, 5) in an image; the upright rectangles around them do not meet."""
    kept: list[Floats] = []
    bounds = np.zeros((0, 4))
    for _ in range(count * 5):
        w = np.exp(rng.uniform(np.log(4), np.log(largest)))
        h = max(w * rng.uniform(0.15, 1), 3)
        box = np.array([*rng.uniform((0, 0), size), w, h, rng.uniform(-np.pi / 2, np.pi / 2)])
        corners = geometry.rbox_to_quad(box[None]).reshape(4, 2)
        low, high = corners.min(0), corners.max(0)
        if (low < 0).any() or (high > size).any():
            continue
        if ((bounds[:, :2] < high + 2) & (bounds[:, 2:] > low - 2)).all(1).any():
            continue
        kept.append(box)
        bounds = np.concatenate([bounds, [[*low, *high]]])
        if len(kept) == count:
            break
    return np.array(kept).reshape(-1, 5)


def ideal(
    boxes: Floats, windows: NDArray[np.int64], rng: np.random.Generator, visible: float, noise: float = 0.0
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """What is seen of each box in each window: its least rectangle, the window, the box, and whether it is whole.

    Args:
        visible: share of a box that must be seen.
        noise: of centre and sides, as a part of the sides.
    """
    rows, where, which, whole = [], [], [], []
    for k, (x0, y0, x1, y1) in enumerate(windows.astype(float)):
        frame = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        for i, quad in enumerate(geometry.rbox_to_quad(boxes).reshape(-1, 4, 2)):
            if (quad.max(0) <= frame[0]).any() or (quad.min(0) >= frame[2]).any():
                continue
            inside = bool((quad >= frame[0]).all() and (quad <= frame[2]).all())
            part = quad if inside else geometry.clip_convex(quad, frame)
            seen = boxes[i] if inside else geometry.min_area_rect(part)
            share = polygon_area(part) / (boxes[i, 2] * boxes[i, 3])
            if share < visible or min(seen[2:4]) < 0.5:
                continue
            along, across, wider, higher = rng.normal(size=4) * noise * np.tile(seen[2:4], 2)
            cos, sin = np.cos(seen[4]), np.sin(seen[4])
            move = [along * cos - across * sin, along * sin + across * cos, wider, higher, 0]
            rows.append(seen + np.array(move))
            where.append(k)
            which.append(i)
            whole.append(inside)
    return np.array(rows).reshape(-1, 5), np.array(where, int), np.array(which, int), np.array(whole, bool)


def polygon_area(points: Floats) -> float:
    x, y = points.T
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


@pytest.mark.parametrize("seed", range(40))
def test_each_object_counts_once(seed: int) -> None:
    """Small and large ones, up to three windows long, in windows of any size and overlap."""
    rng = np.random.default_rng(seed)
    size = tuple(int(v) for v in rng.integers(100, 500, 2))
    window = int(rng.integers(40, 160))
    gap = int(window * rng.uniform(0.1, 0.7))
    windows = grid(*size, window, gap)
    boxes = plant(rng, size, min(3 * window, min(size) * 0.9))
    found, where, which, whole = ideal(boxes, windows, rng, visible=rng.choice([0.02, 0.3]))
    labels = which % 3
    keep = resolve(found, rng.uniform(0.3, 1, len(found)), labels, where, windows, size, NMS_IOU)
    assert sorted(which[keep]) == sorted(set(which))
    # Of those that any window holds whole that is what is left, or what misses no more than a tip of it.
    left = keep[np.isin(which[keep], which[whole])]
    assert geometry.box_iou_aligned(found[left], boxes[which[left]]).min(initial=1) > 0.9


@pytest.mark.parametrize("seed", range(10))
def test_objects_side_by_side(seed: int) -> None:
    """Parked in rows at any angle, found by a detector that is some percent off: none goes, none doubles."""
    rng = np.random.default_rng(seed)
    size, window, gap = (400, 300), 96, 40
    angle, w, h = rng.uniform(-np.pi / 2, np.pi / 2), 26.0, 10.0
    across = np.array([np.cos(angle), np.sin(angle)])
    steps = np.array([(i, j) for i in range(-20, 20) for j in range(-40, 40)])
    centres = np.array(size) / 2 + steps[:, :1] * 1.1 * w * across + steps[:, 1:] * 1.3 * h * across[::-1] * [-1, 1]
    inside = ((centres > 16) & (centres < np.array(size) - 16)).all(1)
    boxes = np.column_stack([centres[inside], np.tile([w, h, angle], (inside.sum(), 1))])
    windows = grid(*size, window, gap)
    found, where, which, _ = ideal(boxes, windows, rng, visible=0.1, noise=0.02)
    scores, labels = rng.uniform(0.3, 1, len(found)), np.zeros(len(found), np.int64)
    keep = resolve(found, scores, labels, where, windows, size, NMS_IOU)
    assert sorted(which[keep]) == list(range(len(boxes)))


def resolved(rows: list[tuple[list[float], float, int, int]], size: tuple[int, int] = (180, 100)) -> list[int]:
    """What stays of (rbox, score, label, window) in three windows of 100 pixels that share 60."""
    rows = sorted(rows, key=lambda row: row[3])
    boxes, scores, labels, where = (np.array(column) for column in zip(*rows, strict=True))
    windows = grid(*size, 100, 60)
    assert windows.tolist() == [[0, 0, 100, 100], [40, 0, 140, 100], [80, 0, 180, 100]]
    return sorted(resolve(boxes, scores, labels, where, windows, size, NMS_IOU).tolist())


def test_a_piece_goes_where_a_neighbour_has_the_whole_object_of_its_class() -> None:
    piece, whole = [68.0, 50, 64, 10, 0.0], [90.0, 50, 80, 10, 0.0]
    assert resolved([(piece, 0.9, 0, 0), (whole, 0.4, 0, 1)]) == [1]
    assert resolved([(piece, 0.9, 0, 0), (whole, 0.4, 1, 1)]) == [0, 1]


def test_a_place_is_left_to_the_window_that_sees_around_it() -> None:
    """What reaches from 80 beyond 100 is cut by the first window; the second sees 40 to 140."""
    assert resolved([([95.0, 50, 30, 10, 0.0], 0.9, 0, 0)]) == []
    # What begins before 40 none sees better, nor what the image itself ends.
    assert resolved([([70.0, 50, 80, 10, 0.0], 0.9, 0, 0)]) == [0]
    assert resolved([([165.0, 50, 30, 10, 0.0], 0.9, 0, 2)]) == [0]


def test_a_small_object_on_a_piece_does_not_replace_it() -> None:
    piece, on_it = [60.0, 50, 80, 60, 0.0], [70.0, 50, 14, 10, 0.0]
    assert resolved([(piece, 0.9, 0, 0), (on_it, 0.5, 0, 1)]) == [0, 1]


def test_an_object_that_every_window_cuts_is_its_largest_piece() -> None:
    """Pieces of 95, 100 and 92 pixels of one that is 175 long: those at the ends do not even meet."""
    pieces = [[52.5, 50, 95, 30, 0.0], [90.0, 50, 100, 30, 0.0], [126.0, 50, 92, 30, 0.0]]
    assert resolved([(box, 0.9 - i / 10, 0, i) for i, box in enumerate(pieces)]) == [1]


def test_edges_of_the_image_cut_nothing_off() -> None:
    """What ends there is no piece, which the larger one would replace."""
    assert resolved([([70.0, 5, 20, 10, 0.0], 0.9, 0, 0), ([85.0, 20, 70, 40, 0.0], 0.8, 0, 1)]) == [0, 1]
    assert resolved([([70.0, 5, 20, 10, 0.0], 0.9, 0, 0)]) == [0]


def test_nothing_found() -> None:
    nothing = np.zeros(0, np.int64)
    assert len(resolve(np.zeros((0, 5)), np.zeros(0), nothing, nothing, grid(300, 200, 64, 8), (300, 200), 0.1)) == 0


def test_the_order_is_by_score() -> None:
    boxes = np.array([[20.0, 20, 8, 6, 0], [60, 20, 8, 6, 0], [150, 20, 8, 6, 0]])
    keep = resolve(
        boxes,
        np.array([0.5, 0.7, 0.6]),
        np.zeros(3, int),
        np.array([0, 0, 2]),
        grid(180, 100, 100, 60),
        (180, 100),
        0.1,
    )
    assert keep.tolist() == [1, 2, 0]
