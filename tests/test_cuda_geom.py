"""`cuda/geom.cuh`, compiled for the CPU, against the Rust core: a million pairs, in both precisions."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import GOLDENS
from rotx import geometry
from test_geometry import Floats, pairs, rboxes, swapped

SOURCE = Path(__file__).with_name("cuda_geom.cpp")
COMPILER = shutil.which("c++") or shutil.which("g++")
TOLERANCE = {np.float32: 1e-6, np.float64: 1e-12}
# 100,000 px from the origin the Rust core's bounds, rounded, part boxes that overlap by a few 1e-12.
IOF_TOLERANCE = {np.float32: 1e-6, np.float64: 1e-11}

Overlap = Callable[..., NDArray[np.floating]]
PRECISIONS = pytest.mark.parametrize("dtype", TOLERANCE)


# The second build fuses multiplications with additions where the processor can, as nvcc does.
@pytest.fixture(scope="module", params=["-ffp-contract=off", "-march=native"])
def overlap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Overlap:
    if COMPILER is None:
        pytest.skip("needs a C++ compiler: no c++ or g++ on PATH")
    target = tmp_path_factory.mktemp("cuda") / "geom.so"
    options = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC", request.param]
    made = subprocess.run([COMPILER, *options, SOURCE, "-o", target], capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    library = ctypes.CDLL(str(target))

    def call(a: Floats, b: Floats, mode: str = "iou", dtype: type = np.float64) -> NDArray[np.floating]:
        first, second = np.ascontiguousarray(a, dtype), np.ascontiguousarray(b, dtype)
        assert first.shape == second.shape and first.shape[1:] in ((5,), (8,))
        out = np.empty(len(first), dtype)
        data = [ctypes.c_void_p(array.ctypes.data) for array in (first, second, out)]
        size, iof = ctypes.c_size_t(len(first)), ctypes.c_bool(mode == "iof")
        name = "quads" if first.shape[1] == 8 else np.dtype(dtype).name
        getattr(library, f"overlap_{name}")(data[0], data[1], size, iof, data[2])
        return out

    return call


def meeting(n: int, rng: np.random.Generator, shortest: float = 2, longest: float = 500) -> tuple[Floats, Floats]:
    """Pairs of any shape, most of which meet, not far from the origin."""
    a, b = rboxes(rng, n), rboxes(rng, n)
    for boxes in (a, b):
        boxes[:, 2:4] = np.exp(rng.uniform(math.log(shortest), math.log(longest), (n, 2)))
    reach = 0.5 * np.maximum(a[:, 2:4].max(axis=1), b[:, 2:4].max(axis=1))
    b[:, :2] = a[:, :2] + rng.uniform(-1, 1, (n, 2)) * reach[:, None]
    return a, b


def mixed(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Every kind of :func:`test_geometry.pairs`, a fifth each."""
    kinds = ["near", "near-equal", "nested", "touching", "collinear"]
    parts = [pairs(kind, n // len(kinds), rng) for kind in kinds]
    return np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])


def far(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Pairs 100,000 px from the origin."""
    a, b = mixed(n, rng)
    move = rng.uniform(-1e5, 1e5, (len(a), 2))
    a[:, :2] += move
    b[:, :2] += move
    return a, b


def scaled(scale: float, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    a, b = mixed(n, rng)
    a[:, :4] *= scale
    b[:, :4] *= scale
    return a, b


def thin(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Boxes up to 10,000 times as long as they are thick: crosses, and nearly equal ones."""
    a, b = meeting(n, rng)
    for boxes in (a, b):
        boxes[:, 3] = boxes[:, 2] * np.exp(rng.uniform(math.log(1e-4), math.log(1e-1), n))
    step = np.exp(rng.uniform(math.log(1e-12), math.log(1e-2), n))[:, None] * rng.uniform(-1, 1, (n, 5))
    thickness = a[:, 3:4]
    near = swapped(a + step * np.column_stack([*[thickness] * 4, thickness / a[:, 2:3]]), rng)
    return a, np.where((rng.random(n) < 0.5)[:, None], near, b)


def degenerate(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Pairs in most of which something is 0, negative or not finite."""
    a, b = mixed(n, rng)
    values = np.array([0, -0.0, -1, np.nan, np.inf, -np.inf])
    for boxes in (a, b):
        bad = rng.random(len(boxes)) < 0.5
        boxes[bad, rng.integers(0, 5, bad.sum())] = rng.choice(values, bad.sum())
        boxes[::9, 2:4] *= -1  # a positive area of two negative sizes
    return a, b


# Together 1,000,000 pairs.
KINDS: dict[str, tuple[int, Callable[[int, np.random.Generator], tuple[Floats, Floats]]]] = {
    "mixed": (300_000, mixed),
    "meeting": (200_000, meeting),
    "any size": (100_000, partial(meeting, shortest=0.1, longest=10_000)),
    "far": (100_000, far),
    "tiny": (75_000, partial(scaled, 1e-9)),
    "huge": (75_000, partial(scaled, 1e9)),
    "thin": (100_000, thin),
    "degenerate": (50_000, degenerate),
}


@PRECISIONS
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_pairs_equal_the_rust_core(overlap: Overlap, kind: str, dtype: type) -> None:
    n, make = KINDS[kind]
    # The Rust core gets the same boxes: those that were rounded.
    a, b = (boxes.astype(dtype).astype(np.float64) for boxes in make(n, np.random.default_rng(len(kind))))
    assert len(a) == len(b) == n
    want = geometry.box_iou_aligned(a, b)
    assert np.mean(want > 0.01) > 0.02, "pairs overlap"
    got = overlap(a, b, dtype=dtype)
    assert got.min() >= 0 and got.max() <= 1
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[dtype])
    np.testing.assert_array_equal(overlap(b, a, dtype=dtype), got)  # the same for (a, b) and (b, a)
    iof = overlap(a, b, "iof", dtype)
    assert iof.min() >= 0 and iof.max() <= 1
    np.testing.assert_allclose(iof, geometry.box_iou_aligned(a, b, mode="iof"), rtol=0, atol=IOF_TOLERANCE[dtype])


@PRECISIONS
def test_equal_boxes_written_differently(overlap: Overlap, dtype: type) -> None:
    rng = np.random.default_rng(1)
    a = rboxes(rng, 100_000)
    a[:, 4] = rng.uniform(-math.pi / 2, math.pi / 2, len(a))  # le90
    # In float32 the second encoding is another angle, which tells from 1e-5 on where boxes are longer.
    a[:, 3] = a[:, 2] * np.exp(rng.uniform(-math.log(10), math.log(10), len(a)))
    b = swapped(a, rng)
    least = {np.float32: 1 - 1e-5, np.float64: 1 - 1e-9}[dtype]
    for first, second in [(a, a), (a, b), (b, a)]:
        for mode in ("iou", "iof"):
            got = overlap(first, second, mode, dtype)
            assert got.min() >= least and got.max() <= 1


@PRECISIONS
def test_a_box_with_itself_however_thin(overlap: Overlap, dtype: type) -> None:
    rng = np.random.default_rng(3)
    for aspect in (1, 1e4, 1e7, 1e10):
        a = rboxes(rng, 20_000)
        a[:, 3] = a[:, 2] / aspect
        a[::2, 2:4] = a[::2, 3:1:-1]
        assert overlap(a, a, dtype=dtype).min() > 1 - 1e-6


@PRECISIONS
def test_known_overlaps(overlap: Overlap, dtype: type) -> None:
    unit = [0, 0, 2, 2, 0]
    others = [[1, 0, 2, 2, 0], [2, 0, 2, 2, 0], [0, 0, 2, 2, math.pi / 4], [0, 0, 1, 1, 0.3], [0, 0, 9, 1, 0], unit]
    area = np.array([2, 0, 8 * (math.sqrt(2) - 1), 1, 2, 4])
    a, b = np.array([unit] * len(others), np.float64), np.array(others)
    np.testing.assert_allclose(overlap(a, b, "iof", dtype), area / 4, rtol=0, atol=TOLERANCE[dtype])
    iou = area / (4 + geometry.area(b) - area)
    np.testing.assert_allclose(overlap(a, b, dtype=dtype), iou, rtol=0, atol=TOLERANCE[dtype])
    assert overlap(a[:0], b[:0], dtype=dtype).shape == (0,)


@pytest.mark.parametrize("mode", ["iou", "iof"])
def test_overlaps_equal_the_stored_ones(overlap: Overlap, mode: str) -> None:
    with np.load(GOLDENS / "ops/box_iou_rotated.npz") as golden:
        a, b, jittered, pairwise = golden["A"], golden["B"], golden["J"], golden[f"pairwise_{mode}"]
        aligned, exact = golden[f"aligned_{mode}"], golden["aligned_iou_float64_shapely"]
    rows, columns = (index.ravel() for index in np.indices(pairwise.shape))
    # mmcv computes in float32: up to 1.06e-6 off.
    np.testing.assert_allclose(overlap(a[rows], b[columns], mode, np.float32), pairwise.ravel(), rtol=0, atol=2e-6)
    np.testing.assert_allclose(overlap(a, jittered, mode, np.float32), aligned, rtol=0, atol=2e-6)
    if mode == "iou":
        np.testing.assert_allclose(overlap(a, jittered), exact, rtol=0, atol=1e-12)


def any_quads(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Quads of any shape, half of them with corners on a grid; some share a side, some are one quad."""
    a, b = (np.where(rng.random((n, 1)) < 0.5, rng.integers(0, 7, (n, 8)), rng.uniform(0, 7, (n, 8))) for _ in "ab")
    b[: n // 4, :4] = a[: n // 4, 2:6]
    b[n // 4 : n // 3] = a[n // 4 : n // 3].reshape(-1, 4, 2)[:, ::-1].reshape(-1, 8)
    b[n // 3 :: 9, rng.integers(0, 8)] = np.nan
    b[n // 3 + 1 :: 9, rng.integers(0, 8)] = np.inf
    return a, b


def test_quads_equal_the_rust_core(overlap: Overlap) -> None:
    rng = np.random.default_rng(2)
    boxes = [make(50_000, rng) for make in (mixed, far, partial(scaled, 1e-9), partial(scaled, 1e9))]
    pairs_of_quads = [any_quads(100_000, rng), *(tuple(map(geometry.rbox_to_quad, pair)) for pair in boxes)]
    for a, b in pairs_of_quads:
        for mode in ("iou", "iof"):
            got, want = overlap(a, b, mode), geometry.box_iou_aligned(a, b, mode)
            assert got.min() >= 0 and got.max() <= 1 and np.mean(want > 0.01) > 0.1
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)  # equal, but for products that are fused
        np.testing.assert_array_equal(overlap(a, b), overlap(b, a))
