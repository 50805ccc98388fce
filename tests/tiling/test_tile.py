"""Windows and the objects they get, against the obvious: a walk over the image, and shapely."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from rotx._rust import tile_cut, tile_windows


def walk(length: int, size: int, gap: int) -> list[int]:
    """Where windows start along a side: step by step until one reaches the end, which is moved back to end there."""
    starts = [0]
    while starts[-1] + size < length:
        starts.append(starts[-1] + size - gap)
    if len(starts) > 1:
        starts[-1] = length - size
    return starts


def test_windows_cover_the_image_column_by_column() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        width, height = (int(side) for side in rng.integers(1, 900, 2))
        tilings = [(int(size), int(rng.integers(0, size - 9))) for size in rng.integers(10, 400, rng.integers(1, 4))]
        expected = [
            (x, y, x + size, y + size)
            for size, gap in tilings
            for x in walk(width, size, gap)
            for y in walk(height, size, gap)
        ]
        assert tile_windows(width, height, tilings, 0.0).tolist() == [list(window) for window in expected]
        for size, _ in tilings:
            seen = np.zeros((height, width), np.bool_)
            for x0, y0, x1, y1 in expected:
                seen[y0:y1, x0:x1] |= x1 - x0 == size
            assert seen.all()


def test_windows_that_hold_too_little_go_unless_all_do() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        width, height = (int(side) for side in rng.integers(1, 300, 2))
        tilings = [(int(size), 0) for size in rng.integers(1, 400, 3)]
        thr = float(rng.uniform(0, 1))
        every = tile_windows(width, height, tilings, 0.0)
        held = (np.minimum(every[:, 2], width) - every[:, 0]) * (np.minimum(every[:, 3], height) - every[:, 1])
        share = held / (every[:, 2] - every[:, 0]) ** 2
        keep = share > thr
        if not keep.any():
            keep = share.max() - share < 0.01
        np.testing.assert_array_equal(tile_windows(width, height, tilings, thr), every[keep])


def test_there_are_no_windows_without_a_step() -> None:
    for size, gap in ((100, 100), (100, -1), (0, 0)):
        with pytest.raises(ValueError, match="sizes greater than their gaps"):
            tile_windows(10, 10, [(size, gap)], 0.6)


def quads_around(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Quads with corners anywhere near the windows of the test: convex and not, simple ones alone."""
    quads: list[NDArray[np.float64]] = []
    while len(quads) < count:
        quad = rng.uniform(-60, 260, 2) + rng.uniform(0, 80, (4, 2))
        if rng.uniform() < 0.5:
            quad = quad.round()
        shape = shapely.Polygon(quad)
        if shape.is_valid and shape.area > 1e-6:
            quads.append(quad.reshape(8))
    return np.stack(quads)


def test_objects_of_a_window_are_those_that_shapely_finds() -> None:
    rng = np.random.default_rng(2)
    quads = quads_around(rng, 600)
    windows = tile_windows(200, 230, [(100, 20), (64, 30)], 0.6)
    shapes, frames = shapely.polygons(quads.reshape(-1, 4, 2)), shapely.box(*windows.T)
    iofs = shapely.area(shapely.intersection(frames[:, None], shapes)) / shapely.area(shapes)
    whole = shapely.covers(frames[:, None], shapes)
    for thr in (0.0, 0.3, 0.5, 0.7, 1.0):
        window, quad, truncated = tile_cut(quads, windows, thr)
        assert sorted(zip(window, quad, strict=True)) == list(zip(window, quad, strict=True))
        found = np.zeros(iofs.shape, np.bool_)
        found[window, quad] = True
        assert (iofs[found] >= thr - 1e-9).all() and (iofs[found] > 0).all()
        assert (iofs[~found] <= thr + 1e-9).all()
        np.testing.assert_array_equal(truncated, ~whole[window, quad])


def test_cutting_does_not_depend_on_where_the_image_starts_or_how_corners_turn() -> None:
    rng = np.random.default_rng(3)
    quads = rng.integers(-50, 250, (300, 8)).astype(np.float64)
    windows = tile_windows(200, 200, [(90, 30)], 0.6)
    expected = [column.tolist() for column in tile_cut(quads, windows, 0.4)]
    far = 2.0**24
    moved = tile_cut(quads + far, windows + np.int64(far), 0.4)
    turned = tile_cut(quads.reshape(-1, 4, 2)[:, ::-1].reshape(-1, 8).copy(), windows, 0.4)
    assert [column.tolist() for column in moved] == expected
    assert [column.tolist() for column in turned] == expected
