"""`rotx.geometry` against shapely, OpenCV and exact rational arithmetic."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

import exact_area
from rotx import geometry

Floats = NDArray[np.float64]
PUBLISHED = Path(__file__).parents[1] / "rust/core/tests/cases/published.json"


def rboxes(rng: np.random.Generator, n: int) -> Floats:
    """Boxes of 2 to 500 px in an image of 1000 px; a quarter at multiples of 45 degrees."""
    sides = np.exp(rng.uniform(np.log(2), np.log(500), (n, 2)))
    angle = np.where(rng.random(n) < 0.25, rng.integers(-4, 5, n) * math.pi / 4, rng.uniform(-7, 7, n))
    return np.column_stack([rng.uniform(0, 1000, (n, 2)), sides, angle])


def at(boxes: Floats, u: Floats, v: Floats) -> Floats:
    """The points (u, v) of the boxes' own frames, as columns x, y."""
    sin, cos = np.sin(boxes[:, 4]), np.cos(boxes[:, 4])
    return np.column_stack([boxes[:, 0] + u * cos - v * sin, boxes[:, 1] + u * sin + v * cos])


def swapped(boxes: Floats, rng: np.random.Generator) -> Floats:
    """The same rectangles, each written as it is, turned by 180 degrees, or with w and h swapped."""
    how = rng.integers(0, 4, len(boxes))
    out = np.where((how >= 2)[:, None], boxes[:, [0, 1, 3, 2, 4]], boxes)
    out[:, 4] += np.array([0, math.pi, math.pi / 2, -math.pi / 2])[how]
    return out


def pairs(kind: str, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Aligned pairs of one kind."""
    a, b = rboxes(rng, n), rboxes(rng, n)
    reach = 0.4 * (a[:, 2] + b[:, 2])
    w, h = b[:, 2].copy(), b[:, 3].copy()
    sign = rng.choice([-1.0, 1.0], n)
    if kind == "near":
        b[:, :2] = a[:, :2] + rng.uniform(-1, 1, (n, 2)) * reach[:, None]
    elif kind == "near-equal":
        step = np.exp(rng.uniform(np.log(1e-16), np.log(1e-3), n))[:, None] * rng.uniform(-1, 1, (n, 5))
        scale = np.column_stack([a[:, 2:4], a[:, 2:4], np.ones(n)])
        b = swapped(a + step * scale, rng)
    elif kind == "nested":
        b[:, 2:4] = a[:, 2:4] * rng.uniform(0.01, 0.99, (n, 2))
        room = 0.5 * (a[:, 2:4] - b[:, 2:4]) * rng.choice([-1, 0, 0.3, 1], (n, 2))
        b[:, :2], b[:, 4] = at(a, room[:, 0], room[:, 1]), a[:, 4]
        b = swapped(b, rng)
    elif kind == "touching":
        slide = rng.choice([0, 0.3, 0.5, 0.6], n) * (a[:, 3] + h)
        b[:, :2], b[:, 4] = at(a, sign * 0.5 * (a[:, 2] + w), slide), a[:, 4]
        b = swapped(b, rng)
    elif kind == "collinear":
        keep = rng.random(n) < 0.5
        b[:, 2] = w = np.where(keep, a[:, 2], w)
        b[:, :2] = at(a, rng.uniform(-0.5, 0.5, n) * (a[:, 2] + w), 0.5 * sign * (a[:, 3] - h))
        b[:, 4] = a[:, 4]
        b = swapped(b, rng)
    return a, b


def polygons(boxes: Floats) -> NDArray[np.object_]:
    """Shapely polygons of rboxes or quads."""
    quads = geometry.rbox_to_quad(boxes) if boxes.shape[1] == 5 else boxes
    return shapely.polygons(quads.reshape(-1, 4, 2))


def corners(boxes: Floats) -> Floats:
    """Corners (N, 8) of rboxes by numpy, relative to nothing that is tested."""
    u, v = 0.5 * boxes[:, 2], 0.5 * boxes[:, 3]
    return np.column_stack([at(boxes, -u, -v), at(boxes, u, -v), at(boxes, u, v), at(boxes, -u, v)])


def true_iou(a: Floats, b: Floats) -> tuple[Floats, int]:
    """IoU of aligned convex boxes that can be trusted, and the number of pairs in which shapely was not.

    GEOS's overlay is not exact: for some pairs of nearly equal boxes it returns an empty intersection.
    Whether to believe it must not depend on what rotx says. First, four overlays that round differently
    have to agree to 1e-10 of the smaller area:

        |a ∩ b| + |a ∪ b| = |a| + |b|,   |a ∖ b| = |a| − |a ∩ b|,   |a △ b| = |a ∪ b| − |a ∩ b|.

    That is not enough: once in 20,000 nearly equal pairs all four treat the boxes as disjoint. So, second,
    a is moved by d, a thousandth of its shorter side, aslant: that can change the area by no more than d
    times the perimeter of a, and takes the boxes out of the coincidence. Pairs that fail either are settled
    in exact rational arithmetic, and so is a sample of the others: `test_the_oracle_itself`.
    """
    qa, qb = corners(a), corners(b)
    d = 1e-3 * np.minimum(a[:, 2], a[:, 3])
    moved = qa + d[:, None] * np.tile([math.cos(1), math.sin(1)], 4)
    pa, pb, pm = (shapely.polygons(q.reshape(-1, 4, 2)) for q in (qa, qb, moved))
    area_a, area_b = shapely.area(pa), shapely.area(pb)
    common, union = shapely.area(shapely.intersection(pa, pb)), shapely.area(shapely.union(pa, pb))
    rest, either = (
        shapely.area(shapely.difference(pa, pb)),
        shapely.area(shapely.symmetric_difference(pa, pb)),
    )
    smaller = np.minimum(area_a, area_b)
    error = np.maximum(np.abs(common + union - area_a - area_b), np.abs(rest + common - area_a))
    error = np.maximum(error, np.abs(either - union + common))
    change = np.abs(shapely.area(shapely.intersection(pm, pb)) - common)
    doubtful = ~(error <= 1e-10 * smaller) | ~(change <= d * shapely.length(pa) + 1e-10 * smaller)
    doubtful |= common > smaller * (1 + 1e-10)
    iou = common / (area_a + area_b - common)
    for i in np.flatnonzero(doubtful):
        iou[i] = exact_area.iou(a[i].tolist(), b[i].tolist())
    return iou, int(doubtful.sum())


KINDS = ["near", "near-equal", "nested", "touching", "collinear"]


@pytest.mark.parametrize("kind", KINDS)
def test_iou_equals_shapely(kind: str) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    a, b = pairs(kind, 20_000, rng)
    want, doubtful = true_iou(a, b)
    assert doubtful < 400, "exact arithmetic is for exceptions"
    got = geometry.box_iou_aligned(a, b)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)
    if kind != "touching":
        assert np.mean(want > 0.01) > 0.3, "the pairs overlap"
    quads = geometry.box_iou_aligned(corners(a), corners(b))
    np.testing.assert_allclose(quads, want, rtol=0, atol=1e-9)
    iof = geometry.box_iou_aligned(a, b, mode="iof")
    area_a, area_b = geometry.area(a), geometry.area(b)
    np.testing.assert_allclose(iof * area_a, want / (1 + want) * (area_a + area_b), rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_oracle_itself(kind: str) -> None:
    rng = np.random.default_rng(100 + KINDS.index(kind))
    a, b = pairs(kind, 150, rng)
    want, _ = true_iou(a, b)
    exact = [exact_area.iou(p.tolist(), q.tolist()) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(want, exact, rtol=0, atol=1e-10)
    np.testing.assert_allclose(geometry.box_iou_aligned(a, b), exact, rtol=0, atol=1e-11)


def test_any_quads_equal_exact_arithmetic() -> None:
    rng = np.random.default_rng(7)
    a, b = (
        np.where(rng.random((400, 1)) < 0.5, rng.integers(0, 7, (400, 8)), rng.uniform(0, 7, (400, 8))) for _ in "ab"
    )
    b[:100, :4] = a[:100, 2:6]  # a common side
    b[100:150] = a[100:150].reshape(-1, 4, 2)[:, ::-1].reshape(-1, 8)  # the other way round
    valid = shapely.is_valid(polygons(a)) & shapely.is_valid(polygons(b))
    assert 30 < valid.sum() < 300, "simple and self-crossing ones"
    want = [exact_area.iou(p.tolist(), q.tolist()) for p, q in zip(a, b, strict=True)]
    got = geometry.box_iou_aligned(a, b)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)
    # Where both are simple, perhaps non-convex, the winding numbers give shapely's area.
    pa, pb = polygons(a[valid]), polygons(b[valid])
    common = shapely.area(shapely.intersection(pa, pb))
    np.testing.assert_allclose(got[valid], common / shapely.area(shapely.union(pa, pb)), rtol=0, atol=1e-9)


def test_published_cases() -> None:
    cases = json.loads(PUBLISHED.read_text())
    for case in cases:
        a, b = case["a"], case["b"]
        assert exact_area.iou(a, b) == case["iou"], case["name"]
        assert geometry.box_iou([a], [b])[0, 0] == pytest.approx(case["iou"], rel=0, abs=1e-9), case["name"]
        assert geometry.box_iou_aligned([b], [a])[0] == pytest.approx(case["iou"], rel=0, abs=1e-9), case["name"]
    assert len({case["name"] for case in cases}) == len(cases) >= 40


def test_degenerate_boxes_overlap_nothing() -> None:
    good = np.array([[5, 5, 10, 10, 0.1]])
    for place, value in [
        (2, 0),
        (3, -1),
        (0, np.nan),
        (1, np.inf),
        (4, -np.inf),
        (2, np.nan),
        (3, np.inf),
        (2, 5e-324),
    ]:
        bad = good.copy()
        bad[0, place] = value
        if value == 5e-324:
            bad[0, 3] = 1e-10  # the area underflows
        boxes = np.vstack([good, bad])
        np.testing.assert_array_equal(geometry.box_iou(boxes, boxes), [[1, 0], [0, 0]])
        np.testing.assert_array_equal(geometry.box_iou(boxes, boxes, mode="iof"), [[1, 0], [0, 0]])
        np.testing.assert_array_equal(geometry.area(bad), [0])


def test_shapes_and_kinds_of_input() -> None:
    rng = np.random.default_rng(1)
    boxes = rboxes(rng, 7)
    for a, b in [(boxes, boxes[:3]), (corners(boxes), corners(boxes[:3]))]:
        want = geometry.box_iou(a, b)
        assert want.shape == (7, 3)
        assert want.dtype == np.float64
        strided = np.zeros((14, 2 * a.shape[1]))[::2, ::2]
        strided[:] = a
        for same in (a.tolist(), strided, np.asfortranarray(a), a.astype(">f8")):
            np.testing.assert_array_equal(geometry.box_iou(same, b), want)
        single = a.astype(np.float32)
        np.testing.assert_array_equal(geometry.box_iou(single, b), geometry.box_iou(single.astype(float), b))
        np.testing.assert_array_equal(geometry.box_iou_aligned(a[:3], b), np.diag(want[:3]))
        np.testing.assert_allclose(geometry.box_iou(b, a), want.T, rtol=0, atol=0)


@pytest.mark.parametrize("columns", [5, 8])
def test_empty_input(columns: int) -> None:
    none, some = np.zeros((0, columns)), np.ones((4, columns))
    assert geometry.box_iou(none, some).shape == (0, 4)
    assert geometry.box_iou(some, none).shape == (4, 0)
    assert geometry.box_iou(none, none).shape == (0, 0)
    assert geometry.box_iou_aligned(none, none).shape == (0,)
    assert geometry.area(none).shape == (0,)
    assert geometry.points_in_boxes(np.zeros((0, 2)), some).shape == (0, 4)
    assert geometry.points_in_boxes(np.zeros((3, 2)), none).shape == (3, 0)
    assert geometry.rbox_to_quad(np.zeros((0, 5))).shape == (0, 8)
    assert geometry.quad_to_rbox(np.zeros((0, 8))).shape == (0, 5)
    assert geometry.convex_hull(np.zeros((0, 2))).shape == (0, 2)
    assert geometry.clip_convex(np.zeros((0, 2)), np.zeros((0, 2))).shape == (0, 2)
    assert np.isnan(geometry.min_area_rect(np.zeros((0, 2)))).all()


def test_wrong_input_names_the_argument_and_what_is_needed() -> None:
    five, eight = np.ones((3, 5)), np.ones((3, 8))
    for call, text in [
        (lambda: geometry.box_iou(np.ones((3, 4)), five), r"a: need rboxes \(N, 5\) or quads .*\(3, 4\)"),
        (lambda: geometry.box_iou(five, np.ones(5)), r"b: need rboxes .*\(5,\)"),
        (lambda: geometry.box_iou(five, []), r"b: need rboxes .*\(0,\)"),
        (lambda: geometry.box_iou(five, eight), "a and b: need both rboxes .* or both quads"),
        (lambda: geometry.box_iou_aligned(eight, five), "a and b: need both"),
        (lambda: geometry.box_iou_aligned(five, five[:2]), "a and b: need equal numbers of boxes, got 3 and 2"),
        (lambda: geometry.box_iou(five, five, mode="giou"), "mode: need 'iou' or 'iof', got 'giou'"),  # type: ignore[arg-type]
        (lambda: geometry.box_iou(five, five, jobs=0), "jobs: need at least 1.*got 0"),
        (lambda: geometry.rbox_to_quad(eight), r"rboxes: need shape \(N, 5\), got \(3, 8\)"),
        (lambda: geometry.quad_to_rbox(five), r"quads: need shape \(N, 8\), got \(3, 5\)"),
        (lambda: geometry.convex_hull(five), r"points: need shape \(N, 2\)"),
        (lambda: geometry.points_in_boxes(five, eight), r"points: need shape \(N, 2\)"),
        (lambda: geometry.clip_convex(np.ones((3, 2)), five), r"clip: need shape \(N, 2\)"),
    ]:
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.raises(ValueError, match="could not convert"):
        geometry.area([["a", 1, 2, 3, 4]])


def test_any_number_of_threads_gives_the_same_bits() -> None:
    rng = np.random.default_rng(2)
    a, b = rboxes(rng, 700), rboxes(rng, 500)
    want = geometry.box_iou(a, b, jobs=1)
    assert (want > 0).mean() > 0.01
    for jobs in (2, 3, 16, None):
        np.testing.assert_array_equal(geometry.box_iou(a, b, jobs=jobs), want)
        np.testing.assert_array_equal(geometry.box_iou(corners(a), corners(b), jobs=jobs) > 0, want > 0)


def test_float64_input_is_read_in_place_and_never_written() -> None:
    n = 200_000
    for boxes in (rboxes(np.random.default_rng(3), n), np.zeros((n, 8))):
        before = boxes.copy()
        boxes.flags.writeable = False
        one = boxes[:1]
        geometry.box_iou(boxes[:10], one)
        tracemalloc.start()
        out = geometry.box_iou(boxes, one)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # numpy reports its buffers to tracemalloc: the result is one, a copy of the input would be another.
        assert out.nbytes <= peak < out.nbytes + boxes.nbytes / 10
        tracemalloc.start()
        geometry.box_iou(boxes.astype(np.float32), one)
        assert tracemalloc.get_traced_memory()[1] > out.nbytes + boxes.nbytes, "a copy is seen where there is one"
        tracemalloc.stop()
        np.testing.assert_array_equal(boxes, before)


def test_area_and_corners() -> None:
    boxes = rboxes(np.random.default_rng(4), 1000)
    quads = geometry.rbox_to_quad(boxes)
    np.testing.assert_allclose(quads, corners(boxes), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(geometry.area(boxes), boxes[:, 2] * boxes[:, 3])
    np.testing.assert_allclose(geometry.area(quads), shapely.area(polygons(quads)), rtol=1e-11)
    # Top left, top right, bottom right, bottom left: clockwise on the screen.
    np.testing.assert_array_equal(geometry.rbox_to_quad([[1, 1, 2, 4, 0]]), [[0, -1, 2, -1, 2, 3, 0, 3]])
    bowtie = [[0, 0, 2, 2, 2, 0, 0, 2]]
    np.testing.assert_array_equal(geometry.area(bowtie), [0])


def test_rbox_to_quad_and_back_is_the_same_rectangle() -> None:
    boxes = rboxes(np.random.default_rng(5), 5000)
    quads = geometry.rbox_to_quad(boxes).reshape(-1, 4, 2)
    for order in (quads, np.roll(quads, 1, axis=1), quads[:, ::-1]):
        back = geometry.quad_to_rbox(order.reshape(-1, 8))
        assert (geometry.box_iou_aligned(boxes, back) >= 1 - 1e-9).all()
        assert (back[:, 2] >= back[:, 3]).all()
        assert (back[:, 4] >= -math.pi / 2).all()
        assert (back[:, 4] < math.pi / 2).all()


def test_points_in_boxes() -> None:
    rng = np.random.default_rng(6)
    boxes, points = rboxes(rng, 60), rng.uniform(0, 1000, (500, 2))
    want = shapely.intersects_xy(polygons(boxes)[None], points[:, :1], points[:, 1:])
    got = geometry.points_in_boxes(points, boxes)
    assert got.dtype == bool
    assert want.any()
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(geometry.points_in_boxes(points, corners(boxes)), want)
    odd = rng.integers(0, 7, (300, 8)).astype(float)
    odd = odd[shapely.is_valid(polygons(odd))]
    grid = np.stack(np.meshgrid(np.arange(7.0), np.arange(7.0)), -1).reshape(-1, 2)  # borders and corners, too
    want = shapely.intersects_xy(polygons(odd)[None], grid[:, :1], grid[:, 1:])
    np.testing.assert_array_equal(geometry.points_in_boxes(grid, odd), want)


def test_convex_hull() -> None:
    rng = np.random.default_rng(8)
    for n in (3, 4, 10, 300):
        for points in (rng.normal(size=(n, 2)), rng.integers(0, 5, (n, 2)).astype(float)):
            hull = geometry.convex_hull(points)
            want = shapely.MultiPoint(points).convex_hull
            if want.geom_type != "Polygon":
                assert len(hull) <= 2
                continue
            assert shapely.equals(shapely.Polygon(hull), want)
            assert len(hull) == len(want.normalize().simplify(0).exterior.coords) - 1, "no collinear points"
            # x right, y down: the shoelace sum is positive for clockwise.
            x, y = hull.T
            assert np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) > 0


def test_min_area_rect_equals_opencv_and_shapely() -> None:
    rng = np.random.default_rng(9)
    for n in (3, 4, 5, 20, 200):
        for _ in range(50):
            points = rng.normal(size=(n, 2)) * rng.uniform(1, 100, 2)
            rect = geometry.min_area_rect(points)
            area = rect[2] * rect[3]
            assert area == pytest.approx(shapely.minimum_rotated_rectangle(shapely.MultiPoint(points)).area, rel=1e-9)
            (_, _), (w, h), _ = cv2.minAreaRect(points.astype(np.float32))  # computes in float32
            assert area == pytest.approx(w * h, rel=1e-4)
            around = shapely.Polygon(geometry.rbox_to_quad(rect[None]).reshape(4, 2)).buffer(1e-6)
            assert shapely.covers(around, shapely.points(points)).all()
    quads = rng.uniform(0, 100, (500, 8))
    got = geometry.quad_to_rbox(quads)
    for quad, row in zip(quads, got, strict=True):
        np.testing.assert_array_equal(row, geometry.min_area_rect(quad.reshape(4, 2)))


def test_clip_convex_is_the_intersection() -> None:
    rng = np.random.default_rng(10)
    a, b = pairs("near", 500, rng)
    met = 0
    for p, q in zip(
        geometry.rbox_to_quad(a).reshape(-1, 4, 2), geometry.rbox_to_quad(b).reshape(-1, 4, 2), strict=True
    ):
        want = shapely.intersection(shapely.Polygon(p), shapely.Polygon(q))
        for clip in (q, q[::-1]):
            part = geometry.clip_convex(p, clip)
            if want.area == 0:
                assert len(part) < 3 or shapely.Polygon(part).area < 1e-9
                continue
            met += 1
            assert shapely.symmetric_difference(shapely.Polygon(part), want).area <= 1e-8 * want.area + 1e-9
    assert met > 300
