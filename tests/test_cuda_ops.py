"""The CUDA kernels of IoU and NMS, run on the CPU by `emulated`, against the ops for CPU tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import emulated
from test_nms import KINDS, scene

torch = pytest.importorskip("torch", reason="the kernels are torch ops")

from rotx import geometry, ops  # noqa: E402
from rotx.ops import _cuda  # noqa: E402

Tensor = torch.Tensor
DTYPES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)


@pytest.fixture(scope="module", autouse=True)
def _library() -> None:
    emulated.load()


def nms(boxes: Tensor, scores: Tensor, labels: Tensor | None, threshold: float) -> list[int]:
    keep = torch.ops.rotx_cuda.nms_rotated(boxes, scores, labels, threshold)
    assert keep.dtype == torch.int64
    return keep.tolist()


def nms_on_cpu(boxes: Tensor, scores: Tensor, labels: Tensor | None, threshold: float) -> list[int]:
    if labels is None:
        return ops.nms_rotated(boxes, scores, threshold).tolist()
    return ops.batched_nms_rotated(boxes, scores, labels, threshold).tolist()


def of_kind(kind: str, n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(scene(kind, n, np.random.default_rng(len(kind) + n))).to(dtype)


def random_scores(n: int, ties: bool = False) -> Tensor:
    rng = np.random.default_rng(n)
    return torch.from_numpy(rng.choice([0.25, 0.5, 0, -0.0, np.nan, np.inf, -1], n) if ties else rng.random(n))


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
def test_nms_keeps_what_the_cpu_keeps(kind: str, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    dropped = 0
    for n in (0, 1, 31, 32, 33, 100):
        boxes, scores = of_kind(kind, n, dtype), random_scores(n, ties=n % 2 == 1).to(dtype)
        labels = torch.from_numpy(rng.choice([0, 1, 2, -5, 2**62], n))
        for threshold in (0.0, 0.1, 0.5, 1.0):
            for classes in (None, labels):
                want = nms_on_cpu(boxes, scores, classes, threshold)
                assert nms(boxes, scores, classes, threshold) == want, (n, threshold, classes)
                dropped += n - len(want)
    assert dropped > 50, "the sets put it to the test"


def chain(n: int) -> Tensor:
    """Boxes that overlap their neighbours alone: each is decided by the one before it."""
    boxes = torch.zeros(n, 5)
    boxes[:, 0], boxes[:, 2:4] = 6 * torch.arange(n), 10
    return boxes


def in_one_cell(n: int) -> Tensor:
    """Boxes so far from the origin for their size that all are in the last cell."""
    boxes = of_kind("generic", n, torch.float64)
    boxes[:, 2:4] *= 1e-3
    boxes[:, :2] = boxes[:, :2] * 1e-3 + 1e6
    return boxes


def thin(n: int) -> Tensor:
    boxes = of_kind("generic", n)
    boxes[:, 3] *= 1e-3
    return boxes


def mixed_sizes(n: int) -> Tensor:
    boxes = of_kind("generic", n)
    boxes[:, 2:4] *= torch.from_numpy(np.exp(np.random.default_rng(0).uniform(-9, 9, (n, 1))))
    return boxes


def extreme_sizes(n: int) -> Tensor:
    """Sizes whose areas float32 cannot hold, and whose squares neither."""
    boxes = of_kind("clusters", n)
    boxes[:, :4] *= torch.tensor([1e-30, 1e-18, 1e18, 1e30]).repeat_interleave(math.ceil(n / 4))[:n, None]
    return boxes


def one_box(n: int) -> Tensor:
    return of_kind("generic", 1).repeat(n, 1)


SCENES: list[Callable[[int], Tensor]] = [chain, in_one_cell, thin, mixed_sizes, extreme_sizes, one_box]


@pytest.mark.parametrize("make", SCENES, ids=lambda make: make.__name__)
def test_nms_of_odd_scenes(make: Callable[[int], Tensor]) -> None:
    n = 100
    for dtype in (torch.float32, torch.float64):
        boxes = make(n).to(dtype)
        for scores in (random_scores(n), torch.zeros(n)):
            for threshold in (0.0, 0.2, 0.7):
                want = nms_on_cpu(boxes, scores, None, threshold)
                assert nms(boxes, scores, None, threshold) == want, (dtype, threshold)


def test_nms_of_many_boxes_at_the_density_of_images() -> None:
    rng = np.random.default_rng(0)
    n = 10_000
    objects = np.column_stack(
        [rng.uniform(0, 4000, (n // 8, 2)), rng.uniform(8, 90, (n // 8, 2)), rng.uniform(-2, 2, n // 8)]
    )
    boxes = torch.from_numpy(objects.repeat(8, axis=0) + rng.normal(0, 1, (n, 5)) * [2, 2, 2, 2, 0.05]).float()
    scores, labels = random_scores(n).float(), torch.from_numpy(rng.integers(0, 15, n // 8).repeat(8))
    want = nms_on_cpu(boxes, scores, labels, 0.1)
    assert 1000 < len(want) < 3000
    assert nms(boxes, scores, labels, 0.1) == want


@DTYPES
def test_nms_at_the_threshold_decides_as_float64_does(dtype: torch.dtype) -> None:
    """IoUs that are equal to the threshold, or nearer to it than float32 can tell."""
    pairs = torch.tensor([[0, 0, 4, 4, 0], [0, 1, 4, 2, 0]], dtype=dtype)
    assert nms(pairs, torch.tensor([0.9, 0.8]), None, 0.5) == [0, 1]
    assert nms(pairs, torch.tensor([0.9, 0.8]), None, math.nextafter(0.5, 0)) == [0]
    boxes = of_kind("clusters", 40, dtype)
    iou = geometry.box_iou(boxes.double().numpy(), boxes.double().numpy())
    for value in np.random.default_rng(3).choice(iou[(iou > 0.01) & (iou < 0.99)], 20):
        for threshold in (value - 1e-9, value + 1e-9):
            scores = random_scores(40)
            assert nms(boxes, scores, None, threshold) == nms_on_cpu(boxes, scores, None, threshold)


def test_nms_of_many_labels_that_share_hashes() -> None:
    n = 1200
    boxes, scores = of_kind("clusters", n), random_scores(n)
    labels = torch.from_numpy(np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 600).repeat(2))
    assert nms(boxes, scores, labels, 0.3) == nms_on_cpu(boxes, scores, labels, 0.3)


def test_nms_reads_strided_tensors_and_writes_nothing() -> None:
    boxes, scores, labels = of_kind("clusters", 60), random_scores(60), torch.arange(60) % 3
    strided = boxes.repeat_interleave(2, 1)[:, ::2], scores.repeat_interleave(2)[::2], labels.repeat_interleave(2)[::2]
    before = [values.clone() for values in strided]
    assert nms(*strided, 0.3) == nms_on_cpu(boxes, scores, labels, 0.3)
    assert all(map(torch.equal, strided, before))


@pytest.mark.parametrize("seed", range(5))
def test_nms_does_not_depend_on_the_order_of_threads(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTX_EMULATOR_SEED", str(seed))
    for kind in ("clusters", "duplicates"):
        boxes, scores = of_kind(kind, 300), random_scores(300)
        assert nms(boxes, scores, None, 0.3) == nms_on_cpu(boxes, scores, None, 0.3)


def test_public_ops_reach_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for CUDA tensors, but that the library is the emulated one."""
    monkeypatch.setattr(_cuda, "_load", lambda: "")
    cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
    boxes, scores, labels = of_kind("clusters", 60), random_scores(60), torch.arange(60) % 3 - 1
    quads = torch.from_numpy(geometry.rbox_to_quad(boxes.double().numpy()))
    for op, args in [
        ("box_iou_rotated", (boxes, boxes[:9])),
        ("box_iou_rotated", (boxes, boxes.flip(0), "iof", True)),
        ("box_iou_quadri", (quads, quads[:9], "iof")),
        ("nms_rotated", (boxes, scores, 0.3)),
        ("batched_nms_rotated", (boxes, scores, labels.to(torch.int8), 0.3)),
        ("batched_nms_rotated", (boxes.half(), scores.float(), (labels + 1).to(torch.uint8), 0.3)),
    ]:
        overload = getattr(torch.ops.rotx, op).default
        torch.testing.assert_close(overload.redispatch(cuda, *args), overload(*args), rtol=0, atol=1e-6)


TOLERANCE = {torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float32: 1e-6, torch.float64: 1e-12}
IOU = pytest.mark.parametrize(("op", "columns"), [("box_iou_rotated", 5), ("box_iou_quadri", 8)])


def shapes(kind: str, n: int, columns: int, dtype: torch.dtype) -> Tensor:
    boxes = of_kind(kind, n, torch.float64)
    return (boxes if columns == 5 else torch.from_numpy(geometry.rbox_to_quad(boxes.numpy()))).to(dtype)


@DTYPES
@IOU
def test_iou_of_every_size(op: str, columns: int, dtype: torch.dtype) -> None:
    kernel: Any = getattr(torch.ops.rotx_cuda, op)
    for n, m in [(0, 0), (0, 3), (3, 0), (1, 1), (31, 129), (32, 128), (33, 127), (70, 300)]:
        a, b = shapes("clusters", n, columns, dtype), shapes("clusters", m, columns, dtype)
        for mode in ("iou", "iof"):
            got, want = kernel(a, b, mode == "iof", False), getattr(ops, op)(a, b, mode)
            assert got.shape == (n, m) and got.dtype == dtype
            torch.testing.assert_close(got, want, rtol=0, atol=TOLERANCE[dtype])
            k = min(n, m)
            got = kernel(a[:k], b[:k], mode == "iof", True)
            torch.testing.assert_close(got, want[:k, :k].diagonal(), rtol=0, atol=TOLERANCE[dtype])


@IOU
def test_iou_of_strided_and_odd_boxes(op: str, columns: int) -> None:
    kernel: Any = getattr(torch.ops.rotx_cuda, op)
    a, b = shapes("generic", 50, columns, torch.float32), shapes("generic", 40, columns, torch.float32)
    a[::7, 0], a[::5, 1], b[::6, 2:] = math.nan, math.inf, 0
    want = getattr(ops, op)(a, b)
    assert not want.isnan().any() and want.count_nonzero() > 50
    got = kernel(a.repeat_interleave(2, 1)[:, ::2], b.T.contiguous().T, False, False)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)
