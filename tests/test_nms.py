"""`rotx.geometry.nms` against its definition on all pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from rotx import geometry

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def by_definition(boxes: Floats, scores: Floats, threshold: float, labels: Integers | None) -> list[int]:
    """Best first; a box is dropped if its IoU with a kept box of its label is greater than the threshold."""
    iou = geometry.box_iou(boxes, boxes)
    last = np.isnan(scores)
    # The least important key first: index, score, and whether there is a score at all.
    order = np.lexsort((np.arange(len(boxes)), -np.where(last, 0, scores), last))
    keep: list[int] = []
    for i in order.tolist():
        rivals = [k for k in keep if labels is None or labels[k] == labels[i]]
        if not (iou[i, rivals] > threshold).any():
            keep.append(i)
    return keep


def scene(kind: str, n: int, rng: np.random.Generator) -> Floats:
    """Rotated boxes of one kind of scene."""
    centre = rng.uniform(0, 300, (n, 2))
    sides = rng.uniform(5, 60, (n, 2))
    angle = rng.uniform(-4, 4, n)
    boxes = np.column_stack([centre, sides, angle])
    if kind == "duplicates":
        boxes = boxes[rng.integers(0, max(n // 3, 1), n)]
        swap = rng.random(n) < 0.3
        boxes[swap] = boxes[swap][:, [0, 1, 3, 2, 4]] + [0, 0, 0, 0, math.pi / 2]
    elif kind == "sizes":
        boxes[:, 2:4] *= np.exp(rng.uniform(np.log(0.01), np.log(100), (n, 1)))
    elif kind == "outliers":
        far = rng.random(n) < 0.2
        boxes[far, :2] += rng.choice([-1e9, 1e9], (far.sum(), 2))
        boxes[rng.random(n) < 0.05, 2] = 1e9
    elif kind == "clusters":
        boxes[:, :2] = 100 * rng.integers(0, 3, (n, 2)) + rng.normal(0, 3, (n, 2))
        boxes[:, 4] = rng.normal(0.3, 0.05, n)
    elif kind == "integers":
        boxes = np.column_stack([rng.integers(0, 20, (n, 2)), rng.integers(1, 7, (n, 2)), np.zeros(n)]).astype(float)
    elif kind == "degenerate":
        bad = rng.random(n) < 0.3
        bads = [0, -1, np.nan, np.inf, -np.inf, 1e308, 1e-308]
        boxes[bad, rng.integers(0, 5, bad.sum())] = rng.choice(bads, bad.sum())
    return boxes


KINDS = ["generic", "duplicates", "sizes", "outliers", "clusters", "integers", "degenerate"]


@pytest.mark.parametrize("kind", KINDS)
def test_keep_list_is_that_of_all_pairs(kind: str) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    suppressed = 0
    for _ in range(30):
        n = int(rng.choice([1, 2, 20, 150]))
        boxes = scene(kind, n, rng)
        scores = rng.random(n) if rng.random() < 0.5 else rng.choice([0.25, 0.5, 0.75, 0, -0.0, np.nan, np.inf], n)
        labels = rng.choice([0, 1, 2, -5, 2**62], n)
        with np.errstate(invalid="ignore"):
            quads = geometry.rbox_to_quad(boxes)
        for array in (boxes, quads):
            iou = geometry.box_iou(array, array)
            # Two thresholds that some pair meets to the bit: IoU equal to the threshold does not suppress.
            exact = rng.choice(iou[(iou > 0) & (iou < 1)], 2) if ((iou > 0) & (iou < 1)).any() else []
            for threshold in [0, 0.1, 0.5, 1, *exact]:
                for classes in (None, labels):
                    want = by_definition(array, scores, threshold, classes)
                    got = geometry.nms(array, scores, threshold, classes)
                    assert got.dtype == np.int64
                    assert got.tolist() == want, (kind, threshold, array.tolist(), scores.tolist(), classes)
                    suppressed += n - len(want)
    assert suppressed > 500, "the sets put it to the test"


def test_order_is_score_then_index_then_nan() -> None:
    boxes = [[10.0 * i, 0, 4, 4, 0] for i in range(7)]
    scores = [0.5, np.nan, 0.9, -1, 0.5, -0.0, 0]
    assert geometry.nms(boxes, scores, 0.5).tolist() == [2, 0, 4, 5, 6, 3, 1]


def test_a_pair_at_the_threshold_is_kept() -> None:
    boxes = [[0, 0, 4, 4, 0], [0, 1, 4, 2, 0]]
    assert geometry.nms(boxes, [0.9, 0.8], 0.5).tolist() == [0, 1]
    assert geometry.nms(boxes, [0.9, 0.8], np.nextafter(0.5, 0)).tolist() == [0]


def test_published_float16_boxes() -> None:
    """open-mmlab/mmcv#1663: nothing was suppressed in float16."""
    boxes = np.array(
        [
            [233.25, 276.0, 160.0, 50.625, -3.0371],
            [233.625, 276.75, 160.875, 52.6562, -2.998],
            [261.0, 326.25, 146.625, 46.4062, -2.9844],
            [261.0, 326.75, 147.375, 47.9062, -2.9648],
        ]
    )
    for dtype in (np.float16, np.float32, np.float64):
        assert geometry.nms(boxes.astype(dtype), [0.9858, 0.6021, 0.9854, 0.9453], 0.5).tolist() == [0, 2]


def test_empty_and_wrong_input() -> None:
    for columns in (5, 8):
        keep = geometry.nms(np.zeros((0, columns)), [], 0.5, [])
        assert keep.shape == (0,)
        assert keep.dtype == np.int64
    boxes = np.ones((3, 5))
    for call, text in [
        (lambda: geometry.nms(boxes, [1, 2], 0.5), "scores and labels: need one per box, for 3 boxes"),
        (lambda: geometry.nms(boxes, [1, 2, 3], 0.5, [0]), "scores and labels: need one per box, for 3 boxes"),
        (lambda: geometry.nms(boxes, [1, 2, 3], 1.5), r"iou_threshold: need a number in \[0, 1\], got 1.5"),
        (lambda: geometry.nms(boxes, [1, 2, 3], math.nan), "iou_threshold"),
        (lambda: geometry.nms(np.ones((3, 6)), [1, 2, 3], 0.5), r"boxes: need rboxes .*\(3, 6\)"),
    ]:
        with pytest.raises(ValueError, match=text):
            call()


def test_input_is_not_changed() -> None:
    rng = np.random.default_rng(0)
    boxes, scores, labels = scene("generic", 50, rng), rng.random(50), rng.integers(0, 3, 50)
    copies = boxes.copy(), scores.copy(), labels.copy()
    want = geometry.nms(boxes, scores, 0.3, labels)
    for array, copy in zip((boxes, scores, labels), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    strided = np.repeat(boxes, 2, axis=0)[::2], np.repeat(scores, 2)[::2], labels.astype(np.int32)
    np.testing.assert_array_equal(geometry.nms(strided[0], strided[1], 0.3, strided[2]), want)
