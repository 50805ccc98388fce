"""The ops in plain torch equal those in Rust: on the scenes of their own tests, for all options and dtypes."""

from __future__ import annotations

import math

import numpy as np
import pytest

import test_geometry as geometry_tests
import test_nms as nms_tests
from rotx import geometry

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx.ops import _plain, _plain_roi_align  # noqa: E402
from test_roi_align import images, rois  # noqa: E402

FORWARD = torch.ops.rotx.roi_align_rotated
BACKWARD = torch.ops.rotx.roi_align_rotated_backward
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few boxes are many chunks."""
    for module, name, value in (
        (_plain, "_CANDIDATES", 1000),
        (_plain, "_PAIRS", 300),
        (_plain, "_BLOCK", 16),
        (_plain_roi_align, "_FEATURES", 500),
    ):
        monkeypatch.setattr(module, name, value)


def columns_of(boxes: np.ndarray, columns: int) -> torch.Tensor:
    with np.errstate(invalid="ignore"):
        return torch.from_numpy(boxes if columns == 5 else geometry.rbox_to_quad(boxes))


@pytest.mark.parametrize("columns", [5, 8])
@pytest.mark.parametrize("kind", geometry_tests.KINDS)
def test_iou_of_pairs(kind: str, columns: int) -> None:
    a, b = (columns_of(v, columns) for v in geometry_tests.pairs(kind, 2000, np.random.default_rng(0)))
    for mode in ("iou", "iof"):
        want = torch.from_numpy(geometry.box_iou_aligned(a, b, mode))
        found = _plain.box_iou(a, b, mode, aligned=True)
        torch.testing.assert_close(found, want, rtol=0, atol=1e-12)
        assert torch.equal(found == 0, want == 0)
    assert torch.equal(_plain.box_iou(b, a, "iou", aligned=True), _plain.box_iou(a, b, "iou", aligned=True))


@pytest.mark.parametrize("columns", [5, 8])
@pytest.mark.parametrize("kind", nms_tests.KINDS)
def test_iou_of_all_pairs(kind: str, columns: int) -> None:
    boxes = columns_of(nms_tests.scene(kind, 90, np.random.default_rng(1)), columns)
    for a, b, mode in ((boxes, boxes[:70], "iou"), (boxes[:70], boxes, "iof"), (boxes[:0], boxes, "iou")):
        want = torch.from_numpy(geometry.box_iou(a, b, mode))
        torch.testing.assert_close(_plain.box_iou(a, b, mode, aligned=False), want, rtol=0, atol=1e-12)
    assert _plain.box_iou(boxes, boxes[:0], "iou", aligned=False).shape == (90, 0)
    assert _plain.box_iou(boxes[:0], boxes[:0], "iou", aligned=True).shape == (0,)


def test_iou_of_quads_of_any_shape() -> None:
    rng = np.random.default_rng(7)
    a, b = (
        np.where(rng.random((900, 1)) < 0.5, rng.integers(0, 7, (900, 8)), rng.uniform(0, 7, (900, 8))) for _ in "ab"
    )
    want = torch.from_numpy(geometry.box_iou_aligned(a, b))
    assert 200 < want.count_nonzero() < 900
    found = _plain.box_iou(torch.from_numpy(a), torch.from_numpy(b), "iou", aligned=True)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("name", "columns"), [("box_iou_rotated", 5), ("box_iou_quadri", 8)])
def test_iou_is_computed_in_float64(name: str, columns: int, dtype: torch.dtype) -> None:
    boxes = columns_of(nms_tests.scene("clusters", 60, np.random.default_rng(2)), columns).to(dtype)
    want = getattr(torch.ops.rotx, name)(boxes, boxes[:40])
    found = _plain.box_iou(boxes.requires_grad_(), boxes[:40], "iou", aligned=False)
    assert found.dtype == dtype
    assert not found.requires_grad
    # Rounded once: at most to a neighbour, where sines differ in the last bit.
    torch.testing.assert_close(found, want, rtol=torch.finfo(dtype).eps, atol=1e-12)


@pytest.mark.parametrize("kind", nms_tests.KINDS)
def test_nms(kind: str) -> None:
    rng = np.random.default_rng(3)
    suppressed = 0
    for n in (0, 1, 2, 20, 150, 150):
        boxes, ties = nms_tests.scene(kind, n, rng), rng.choice([0.25, 0.5, 0, -0.0, np.nan, np.inf, -np.inf], n)
        labels = rng.choice([0, 1, 2, -5, 2**62], n)
        for scores in (rng.random(n), ties):
            for threshold in (0, 0.1, 0.5, 1):
                for classes in (None, labels):
                    want = geometry.nms(boxes, scores, threshold, classes)
                    tensors = (None if v is None else torch.from_numpy(v) for v in (boxes, scores, classes))
                    found = _plain.nms(*tensors, threshold)
                    assert found.dtype == torch.int64
                    assert found.tolist() == want.tolist()
                    suppressed += n - len(want)
                    quads = columns_of(boxes, 8)
                    want = geometry.nms(quads, scores, threshold, classes)
                    tensors = (None if v is None else torch.from_numpy(v) for v in (scores, classes))
                    assert _plain.nms(quads, *tensors, threshold).tolist() == want.tolist()
    assert suppressed > 100


def test_nms_at_the_threshold_and_in_a_chain() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4, 0], [0, 1, 4, 2, 0]])
    scores = torch.tensor([0.9, 0.8])
    assert _plain.nms(boxes, scores, None, 0.5).tolist() == [0, 1]
    assert _plain.nms(boxes, scores, None, math.nextafter(0.5, 0)).tolist() == [0]
    # Each overlaps the next one: every other is kept, and what is settled travels along the whole chain.
    row = torch.stack([torch.tensor([6.0 * i, 0, 10, 4, 0]) for i in range(100)])
    assert _plain.nms(row, -torch.arange(100.0), None, 0.1).tolist() == list(range(0, 100, 2))


@pytest.mark.parametrize("clockwise", [True, False])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 3])
def test_roi_align(sampling_ratio: int, aligned: bool, clockwise: bool) -> None:
    x, boxes = images(2, 3, 10, 13), rois(12)
    boxes[0, 3:5] = 0  # without size
    boxes[1, 1:3] = 1000  # far away
    boxes[2, 3:5] = torch.tensor([300.0, 200.0])  # larger than the image
    boxes[3, 3], boxes[4, 5], boxes[5, 1] = -3, math.nan, math.inf
    options = 0.3, sampling_ratio, aligned, clockwise
    want = FORWARD(x, boxes, (2, 3), *options)
    torch.testing.assert_close(_plain_roi_align.roi_align_rotated(x, boxes, (2, 3), *options), want, rtol=0, atol=1e-12)
    grad = torch.randn_like(want)
    found = _plain_roi_align.roi_align_rotated_backward(grad, boxes, x.shape, *options)
    torch.testing.assert_close(found, BACKWARD(grad, boxes, x.shape, *options), rtol=0, atol=1e-12)


def test_roi_align_of_bins_with_more_samples_than_a_chunk() -> None:
    x, boxes, options = images(2, 3, 10, 13), rois(4, side=10), (1.0, 9, True, True)
    chunks = [len(bins) for bins, _, _ in _plain_roi_align._samples(boxes, x.shape, (2, 1), *options)]
    assert len(chunks) > 50 and max(chunks) <= 500 // _plain_roi_align._PER_SAMPLE
    found = _plain_roi_align.roi_align_rotated(x, boxes, (2, 1), *options)
    torch.testing.assert_close(found, FORWARD(x, boxes, (2, 1), *options), rtol=0, atol=1e-12)


def test_roi_align_of_huge_boxes() -> None:
    x, boxes = images(1, 2, 30, 40), torch.tensor([0, 20, 15, 8, 6, 0.3]).repeat(8, 1)
    for i, size in enumerate((1e3, 1e5, 1e9, 1e30)):
        boxes[2 * i, 3:5] = size
        boxes[2 * i + 1, 3] = size
    want = FORWARD(x, boxes, (3, 2))
    found = _plain_roi_align.roi_align_rotated(x, boxes, (3, 2), 1.0, 0, True, True)
    torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_roi_align_dtypes_and_layouts(dtype: torch.dtype) -> None:
    x, boxes = images(2, 3, 20, 24, dtype=dtype), rois(9)
    last = x.to(memory_format=torch.channels_last)
    grad = images(9, 3, 2, 3, dtype=dtype)
    options = 0.5, 0, True, True
    want, back = FORWARD(x, boxes, (2, 3), *options), BACKWARD(grad, boxes, x.shape, *options)
    tolerance = {"rtol": torch.finfo(dtype).eps, "atol": 1e-12 if dtype == torch.float64 else 1e-6}
    for same in (x, last):
        found = _plain_roi_align.roi_align_rotated(same, boxes, (2, 3), *options)
        assert found.dtype == dtype
        assert found.is_contiguous()
        torch.testing.assert_close(found, want, **tolerance)
    found = _plain_roi_align.roi_align_rotated_backward(grad.mT.contiguous().mT, boxes, x.shape, *options)
    assert found.dtype == dtype
    assert found.is_contiguous()
    torch.testing.assert_close(found, back, **tolerance)


def test_roi_align_of_nothing() -> None:
    for n, c, h, k in ((2, 3, 9, 0), (0, 3, 9, 0), (2, 0, 9, 5), (2, 3, 0, 5)):
        x, boxes = images(n, c, h, 8), rois(k)
        found = _plain_roi_align.roi_align_rotated(x, boxes, (4, 4), 1.0, 0, True, True)
        assert torch.equal(found, FORWARD(x, boxes, (4, 4)))
        back = _plain_roi_align.roi_align_rotated_backward(found, boxes, x.shape, 1.0, 0, True, True)
        assert back.shape == x.shape
        assert back.count_nonzero() == 0


@pytest.mark.parametrize("bad", [2, -1, 0.5, math.nan])
def test_roi_align_of_an_image_outside_the_batch(bad: float) -> None:
    boxes = rois(4)
    boxes[3, 0] = bad
    for call in (FORWARD, _plain_roi_align.roi_align_rotated):
        with pytest.raises(ValueError, match=r"rois: row 3 has image index .*, need an integer from 0 to below 2, the"):
            call(images(2, 3, 9, 8), boxes, (2, 2), 1.0, 0, True, True)
