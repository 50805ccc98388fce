"""Average precision of detections under a protocol: matches in Rust, then accumulates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx import _rust, geometry
from rotx.evaluation.protocols import Protocol
from rotx.records import InstanceTable

Floats = NDArray[np.float64]

#: Areas in square pixels between small, medium and large objects (COCO).
SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e5**2)}


@dataclass(frozen=True)
class Problem:
    """Objects and detections of the scored classes, with the boxes that a protocol compares."""

    truth: tuple[Floats, NDArray[np.uint32], NDArray[np.uint32]]
    ignore: NDArray[np.bool_]
    detections: tuple[Floats, NDArray[np.uint32], NDArray[np.uint32]]
    scores: Floats
    #: Row of each object and detection in the original annotations and results.
    truth_rows: NDArray[np.int64]
    detection_rows: NDArray[np.int64]
    classes: tuple[str, ...]
    images: int


@dataclass(frozen=True)
class Evaluation:
    """Scores of detections under a protocol.

    ``ap`` and ``recall`` are (T, C) for T IoU thresholds and C classes: the average precision, and the recall of all
    detections; both are 0 for a class without objects. ``gts`` (C,) counts the objects to find, ``dets`` (C,) the
    detections.
    """

    protocol: Protocol
    task: int
    annotations: InstanceTable
    results: InstanceTable
    problem: Problem
    matches: _rust.Matches
    ap: Floats
    recall: Floats
    gts: NDArray[np.int64]
    dets: NDArray[np.int64]
    notices: tuple[str, ...] = ()
    jobs: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        return self.problem.classes

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Mask (C,) of the classes in the mean."""
        if self.protocol.empty_class == "zero":
            return np.ones(len(self.classes), dtype=bool)
        return self.gts > 0

    @property
    def defined(self) -> bool:
        """Whether any class is in the mean; without one, outputs show no number instead of 0."""
        return bool(self.counted.any())

    @property
    def maps(self) -> Floats:
        """Mean average precision (T,) at each IoU threshold; 0 if it is undefined."""
        return _mean(self.ap[:, self.counted])

    @property
    def map(self) -> float:
        """Mean average precision, averaged over all IoU thresholds; 0 if it is undefined."""
        return float(self.maps.mean())

    @cached_property
    def sizes(self) -> dict[str, Evaluation]:
        """Separate evaluations of small, medium and large objects, by the area of their quads.

        Classes without objects of a size are left out of its mean.
        """
        protocol = replace(self.protocol, empty_class="skip")
        return {
            name: _evaluate(self.annotations, self.results, self.problem, protocol, self.task, self.jobs, area)
            for name, area in SIZES.items()
        }

    def curve(self, label: int, threshold: int = 0) -> tuple[Floats, Floats]:
        """Returns recall (K,) and precision (K,) of a class over its K detections that are not ignored, best first.

        Args:
            label: Index of the class.
            threshold: Index of the IoU threshold.
        """
        return self.matches.curve(label, threshold)

    def interval(self, level: float = 0.95, samples: int = 1000, seed: int = 0) -> tuple[float, float]:
        """Returns a bootstrap confidence interval of ``map``; images are drawn with replacement.

        Args:
            level: Confidence level, in (0, 1).
            samples: Number of bootstrap samples.
            seed: Seed of the random draws.
        """
        images = self.problem.images
        draws = np.random.default_rng(seed).integers(images, size=(samples, images))
        weights = np.stack([np.bincount(draw, minlength=images) for draw in draws]).astype(np.uint32)
        has_objects = self.gts > 0
        total = np.zeros(samples)
        for threshold in range(len(self.protocol.iou)):
            ap = self.matches.bootstrap(
                self.problem.truth,
                self.problem.ignore,
                self.problem.detections[1],
                weights,
                threshold,
                self.protocol.average,
                self.jobs,
            )
            ap[:, ~has_objects] = 0.0
            # A class without objects in a sample is left out of that sample's mean.
            present = ap[:, self.counted]
            known = ~np.isnan(present)
            total += np.where(known, present, 0.0).sum(1) / np.maximum(known.sum(1), 1)
        low, high = np.quantile(total / len(self.protocol.iou), [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any] | list[dict[str, Any]]:
        """Returns the content of ``--json``: a record, or a list of records for several IoU thresholds.

        For ``coco`` the list starts with the mean over the thresholds.
        """
        records = [self._record(t, iou) for t, iou in enumerate(self.protocol.iou)]
        if self.protocol.average == "coco" and len(records) > 1:
            records.insert(0, self._coco_record())
        return records if len(records) > 1 else records[0]

    def _record(self, threshold: int, iou: float) -> dict[str, Any]:
        return {
            "protocol": self.protocol.name,
            "task": self.task,
            "iou": iou,
            "map": known(self.maps[threshold], self.defined),
            "classes": self._classes(self.ap[threshold], self.recall[threshold]),
        }

    def _coco_record(self) -> dict[str, Any]:
        span = f"{self.protocol.iou[0]:.2f}:{self.protocol.iou[-1]:.2f}"
        sizes = {f"map_{name}": known(size.map, size.defined) for name, size in self.sizes.items()}
        return {
            "protocol": self.protocol.name,
            "task": self.task,
            "iou": span,
            "map": known(self.map, self.defined),
            "ar": known(self.average_recall, self.defined),
            **sizes,
            "classes": self._classes(self.ap.mean(0), self.recall.mean(0)),
        }

    @property
    def average_recall(self) -> float:
        """Recall averaged over the IoU thresholds and the classes in the mean; 0 if it is undefined."""
        return float(_mean(self.recall[:, self.counted]).mean())

    def _classes(self, ap: Floats, recall: Floats) -> dict[str, dict[str, Any]]:
        columns = zip(self.classes, ap, self.gts, self.dets, recall, self.counted, strict=True)
        return {
            name: {"ap": known(a, there), "gts": int(g), "dets": int(d), "recall": known(r, there)}
            for name, a, g, d, r, there in columns
        }


def evaluate_boxes(
    annotations: InstanceTable,
    results: InstanceTable,
    protocol: Protocol,
    *,
    task: int = 1,
    iou: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    jobs: int | None = None,
) -> Evaluation:
    """Scores detections in memory; for the arguments see `rotx.evaluate`."""
    if iou is not None:
        if not iou or not all(0 < t <= 1 for t in iou) or len(iou) > 32:
            raise ValueError(f"iou: need 1 to 32 thresholds in (0, 1], got {list(iou)}")
        protocol = replace(protocol, iou=tuple(iou))
    if classes is not None:
        protocol = replace(protocol, classes=tuple(classes))
    if task not in (1, 2):
        raise ValueError(f"task: need 1 (rotated boxes) or 2 (horizontal boxes), got {task}")
    problem = pose(annotations, results, protocol, task)
    return _evaluate(annotations, results, problem, protocol, task, geometry.thread_count(jobs), None)


def _evaluate(
    annotations: InstanceTable,
    results: InstanceTable,
    problem: Problem,
    protocol: Protocol,
    task: int,
    jobs: int,
    area: tuple[float, float] | None,
) -> Evaluation:
    if task == 2:
        measure = "horizontal-pixels" if protocol.pixels else "horizontal"
    else:
        measure = "devkit" if protocol.rounding == "devkit" else "quad"
    matches = _rust.match_detections(
        problem.truth,
        problem.ignore,
        problem.detections,
        problem.scores,
        len(problem.classes),
        problem.images,
        thresholds=list(protocol.iou),
        strict=protocol.strict,
        second_choice=protocol.second_choice,
        measure=measure,
        max_detections=protocol.max_detections or 0,
        area=area,
        jobs=jobs,
    )
    scored = matches.average_precision(protocol.average, jobs)
    return Evaluation(
        protocol=protocol,
        task=task,
        annotations=annotations,
        results=results,
        problem=problem,
        matches=matches,
        ap=scored[..., 0],
        recall=scored[..., 1],
        gts=matches.positives.astype(np.int64),
        dets=np.bincount(problem.detections[2], minlength=len(problem.classes)),
        notices=(*annotations.notices, *results.notices),
        jobs=jobs,
    )


def pose(annotations: InstanceTable, results: InstanceTable, protocol: Protocol, task: int) -> Problem:
    """Selects the scored classes and converts the boxes to the shape that the protocol compares."""
    classes = protocol.classes or tuple(dict.fromkeys((*annotations.classes, *results.classes)))
    truth_label, truth_rows = _relabel(annotations.classes, annotations.label, classes)
    label, rows = _relabel(results.classes, results.label, classes)
    truth_quads = _shape(annotations.quads[truth_rows], protocol, task)
    if task == 2 and protocol.pixels:
        truth_quads = np.trunc(truth_quads)
    difficult = annotations.difficult[truth_rows] > 0
    return Problem(
        truth=(truth_quads, annotations.image[truth_rows].astype(np.uint32), truth_label),
        ignore=difficult if protocol.difficult == "ignore" else np.zeros_like(difficult),
        detections=(
            _shape(results.quads[rows], protocol, task),
            results.image[rows].astype(np.uint32),
            label,
        ),
        scores=results.scores[rows],
        truth_rows=truth_rows,
        detection_rows=rows,
        classes=classes,
        images=max(len(annotations.images), len(results.images)),
    )


def _relabel(
    names: Sequence[str], label: NDArray[np.int32], classes: Sequence[str]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Returns labels as indices into ``classes``, and the rows whose class is among them."""
    index = {name: i for i, name in enumerate(classes)}
    lookup = np.array([index.get(name, -1) for name in names] or [-1], dtype=np.int64)
    new = lookup[label]
    rows = np.flatnonzero(new >= 0)
    return new[rows].astype(np.uint32), rows


def _shape(quads: Floats, protocol: Protocol, task: int) -> Floats:
    if task == 2:
        x, y = quads[:, 0::2], quads[:, 1::2]
        x0, y0, x1, y1 = x.min(1), y.min(1), x.max(1), y.max(1)
        return np.stack([x0, y0, x1, y0, x1, y1, x0, y1], axis=1)
    if protocol.boxes == "min-area-rect":
        return geometry.rbox_to_quad(geometry.quad_to_rbox(quads))
    return quads


def _mean(ap: Floats) -> Floats:
    means: Floats = ap.mean(1) if ap.shape[1] else np.zeros(len(ap))
    return means


def known(value: float, defined: bool = True) -> float | None:
    """A number for JSON and CSV; None if it is undefined."""
    return float(value) if defined and not np.isnan(value) else None
