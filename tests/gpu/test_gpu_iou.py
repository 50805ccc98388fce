"""IoU on the GPU: the numbers of the CPU op, in every dtype, for any number of pairs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

import exact_area
import test_geometry as geometry_tests
import test_nms as nms_tests
from conftest import GOLDENS
from rotx import geometry

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx import ops  # noqa: E402

pytestmark = pytest.mark.gpu
Number = Callable[[int], int]
#: float32 is computed in float32; half types too, and rounded once.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
COLUMNS = pytest.mark.parametrize(("name", "columns"), [("box_iou_rotated", 5), ("box_iou_quadri", 8)])


def tensors(columns: int, device: torch.device, dtype: torch.dtype, *arrays: np.ndarray) -> list[torch.Tensor]:
    with np.errstate(invalid="ignore"):
        kinds = [a if columns == 5 else geometry.rbox_to_quad(a) for a in arrays]
    return [torch.from_numpy(a).to(device, dtype) for a in kinds]


@DTYPES
@COLUMNS
@pytest.mark.parametrize("kind", geometry_tests.KINDS)
def test_pairs(kind: str, name: str, columns: int, dtype: torch.dtype, device: torch.device, many: Number) -> None:
    pairs = geometry_tests.pairs(kind, many(200_000), np.random.default_rng(0))
    a, b = tensors(columns, device, dtype, *pairs)
    op = getattr(torch.ops.rotx, name)
    for mode in ("iou", "iof"):
        found = op(a, b, mode, True)
        assert found.device == a.device
        assert found.dtype == dtype
        want = op(a.cpu().double(), b.cpu().double(), mode, True)
        torch.testing.assert_close(found.cpu().double(), want, rtol=0, atol=TOLERANCES[dtype])
        assert found.min() >= 0
        assert found.max() <= 1
    assert torch.equal(op(a, b, "iou", True), op(b, a, "iou", True))


@DTYPES
@COLUMNS
@pytest.mark.parametrize("kind", nms_tests.KINDS)
def test_all_pairs(kind: str, name: str, columns: int, dtype: torch.dtype, device: torch.device, many: Number) -> None:
    scene = nms_tests.scene(kind, many(1500), np.random.default_rng(1))
    # There the CPU op's bounds, rounded, are empty: a box does not even meet itself.
    scene = scene[~(np.abs(scene[:, :2]) > 1e300).any(axis=1)]
    (boxes,) = tensors(columns, device, dtype, scene)
    op = getattr(torch.ops.rotx, name)
    for a, b in ((boxes, boxes[:1000]), (boxes[:7], boxes), (boxes[:0], boxes), (boxes, boxes[:0])):
        found = op(a, b)
        want = op(a.cpu().double(), b.cpu().double())
        torch.testing.assert_close(found.cpu().double(), want, rtol=0, atol=TOLERANCES[dtype])


@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 1 - 1e-5), (torch.float64, 1 - 1e-9)], ids=str)
def test_one_box_in_two_encodings(dtype: torch.dtype, least: float, device: torch.device, many: Number) -> None:
    rng = np.random.default_rng(2)
    boxes = geometry_tests.rboxes(rng, many(1_000_000))
    boxes[:, 4] = rng.uniform(-math.pi / 2, math.pi / 2, len(boxes))
    # In float32 the second encoding has another angle, which tells where a box is long and thin.
    boxes[:, 3] = boxes[:, 2] * rng.uniform(0.2, 1, len(boxes))
    a, b = tensors(5, device, dtype, boxes, geometry_tests.swapped(boxes, rng))
    found = ops.box_iou_rotated(a, b, aligned=True)
    assert found.min() >= least
    assert found.max() <= 1
    assert ops.box_iou_rotated(a, a, aligned=True).min() >= least


def test_published_cases(device: torch.device) -> None:
    for case in json.loads(geometry_tests.PUBLISHED.read_text()):
        a, b = (torch.tensor([case[k]], dtype=torch.float64, device=device) for k in "ab")
        op = ops.box_iou_rotated if a.shape[1] == 5 else ops.box_iou_quadri
        assert op(a, b).item() == pytest.approx(exact_area.iou(case["a"], case["b"]), rel=0, abs=1e-9), case["name"]


def test_goldens(device: torch.device) -> None:
    with np.load(GOLDENS / "ops/box_iou_rotated.npz") as file:
        a, b, near = (torch.from_numpy(file[k]).to(device) for k in ("A", "B", "NEAR"))
        for mode in ("iou", "iof"):
            want = torch.from_numpy(file[f"pairwise_{mode}"])
            torch.testing.assert_close(ops.box_iou_rotated(a, b, mode).cpu(), want, rtol=0, atol=3e-6)
        for name in ("plus_pi", "swapped", "same"):
            other = torch.from_numpy(file[f"near_{name}_boxes"]).to(device)
            want = ops.box_iou_rotated(near.cpu().double(), other.cpu().double(), aligned=True)
            found = ops.box_iou_rotated(near, other, aligned=True).cpu().double()
            torch.testing.assert_close(found, want, rtol=0, atol=1e-6)


@COLUMNS
def test_boxes_without_area_or_finite_numbers(name: str, columns: int, device: torch.device) -> None:
    (good,) = tensors(columns, device, torch.float32, nms_tests.scene("generic", 40, np.random.default_rng(3)))
    bad = good[:4].clone()
    bad[0, 0], bad[1, 1], bad[2, 2:], bad[3] = math.nan, math.inf, 0, 0
    op = getattr(torch.ops.rotx, name)
    assert op(bad, good).count_nonzero() == op(good, bad, "iof").count_nonzero() == 0
    assert op(bad, bad, "iof", True).count_nonzero() == 0


def test_more_pairs_than_32_bits_count(memory: Callable[[float], None], gpu: torch.device) -> None:
    memory(10)
    boxes = geometry_tests.rboxes(np.random.default_rng(4), 47_000)
    (a,) = tensors(5, gpu, torch.float16, boxes)
    found = ops.box_iou_rotated(a, a)
    assert found.numel() > 2**31
    torch.testing.assert_close(found[-3:], ops.box_iou_rotated(a[-3:], a), rtol=0, atol=0)
    torch.testing.assert_close(found[:, -3:], ops.box_iou_rotated(a, a[-3:]), rtol=0, atol=0)
