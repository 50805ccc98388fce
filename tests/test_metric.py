"""The metric object of training loops gives what the files give."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from rotx import geometry
from rotx.evaluation import DetectionMetric
from test_evaluation import random_set, score


def fill(metric: DetectionMetric, truth, results, images) -> None:
    for i in images:
        t, r = truth.image == i, results.image == i
        metric.update(
            f"P{i}",
            results.quads[r],
            results.scores[r],
            results.label[r],
            truth.quads[t],
            truth.label[t],
            truth.difficult[t],
            kind="quad",
        )


@pytest.mark.parametrize("protocol", ["voc07", "coco", "mmrotate"])
def test_same_as_all_at_once(protocol: str) -> None:
    truth, results = random_set(2)
    metric = DetectionMetric(truth.classes, protocol)
    fill(metric, truth, results, range(len(truth.images)))
    assert (metric.compute().ap == score(truth, results, protocol).ap).all()
    assert metric.compute().to_dict() == metric.compute().to_dict()


def test_merge_across_processes_counts_each_image_once() -> None:
    truth, results = random_set(4)
    whole = DetectionMetric(truth.classes, "voc07")
    fill(whole, truth, results, range(8))
    ranks = []
    for rank in range(3):
        part = DetectionMetric(truth.classes, "voc07")
        fill(part, truth, results, {*range(rank, 8, 3), 7})  # image 7 pads every rank
        ranks.append(pickle.loads(pickle.dumps(part)))
    merged = ranks[2]
    merged.merge(ranks[0])
    merged.merge(ranks[1])
    assert len(merged) == 8
    assert (merged.compute().ap == whole.compute().ap).all()


def test_rboxes_and_quads_and_torch_tensors() -> None:
    rng = np.random.default_rng(0)
    boxes = np.column_stack([rng.uniform(0, 500, (20, 2)), rng.uniform(10, 50, (20, 2)), rng.uniform(-1, 1, 20)])
    found = boxes + rng.normal(0, 1, boxes.shape) * [1, 1, 1, 1, 0.02]
    scores, labels = rng.random(20), rng.integers(2, size=20)
    torch = pytest.importorskip("torch")
    results = []
    for convert in (lambda x: x, geometry.rbox_to_quad, torch.from_numpy, lambda x: x.tolist()):
        metric = DetectionMetric(["a", "b"])
        kind = "quad" if convert is geometry.rbox_to_quad else None
        metric.update(0, convert(found), scores, labels, convert(boxes), labels, kind=kind)
        results.append(metric.compute().map)
    metric = DetectionMetric(["a", "b"])
    with pytest.warns(DeprecationWarning, match="boxes: quads without kind='quad' are deprecated"):
        metric.update(0, geometry.rbox_to_quad(found), scores, labels, boxes, labels)
    results.append(metric.compute().map)
    assert results[0] > 0.5 and len(set(results)) == 1


def test_the_arrays_are_copied() -> None:
    boxes, scores = np.array([[5.0, 5, 4, 4, 0]]), np.array([0.9])
    metric = DetectionMetric(["a"])
    metric.update("x", boxes, scores, [0], boxes, [0])
    boxes[:], scores[:] = 0, 0
    assert metric.compute().map == pytest.approx(1)


def test_images_without_objects_or_detections() -> None:
    metric = DetectionMetric(["a"])
    assert metric.compute().map == 0
    metric.update(0, np.zeros((0, 5)), [], [], np.zeros((0, 5)), [])
    metric.update(1, [], [], [], [[5, 5, 4, 4, 0]], [0])
    metric.update((2, "b"), [[5, 5, 4, 4, 0]], [0.5], [0], [], [])
    result = metric.compute()
    assert result.map == 0 and result.gts.tolist() == [1] and result.dets.tolist() == [1]


def test_bad_arguments() -> None:
    metric = DetectionMetric(["a", "b"])
    box = [[5, 5, 4, 4, 0]]
    for message, arguments in {
        "boxes: need rboxes": ([[1, 2, 3, 4]], [0.9], [0], box, [0]),
        "scores: need one per box": (box, [0.9, 0.8], [0], box, [0]),
        "gt_labels: need one per box": (box, [0.9], [0], box, [0, 1]),
        "labels: need 0 to 1, got 2": (box, [0.9], [2], box, [0]),
        "gt_labels: need 0 to 1, got -1": (box, [0.9], [0], box, [-1]),
    }.items():
        with pytest.raises(ValueError, match=message):
            metric.update("x", *arguments)
    metric.update("x", box, [0.9], [0], box, [0])
    with pytest.raises(ValueError, match="image 'x' was added before"):
        metric.update("x", box, [0.9], [0], box, [0])
    with pytest.raises(ValueError, match="the same classes"):
        metric.merge(DetectionMetric(["a"]))
    with pytest.raises(ValueError, match="unknown protocol"):
        DetectionMetric(["a"], "kitti")
