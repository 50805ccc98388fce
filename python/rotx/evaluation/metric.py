"""A metric for training loops: add images one by one, merge across processes, compute."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rotx.boxes import BoxKind, check_boxes, width
from rotx.boxes.kinds import kind_by_width
from rotx.evaluation.protocols import get_protocol
from rotx.evaluation.score import Evaluation, evaluate_boxes
from rotx.records import ImageRecord, Instances, InstanceTable


class DetectionMetric:
    """Average precision of detections that are added image by image.

    The object can be pickled: each process fills its own, and one process merges them.

    Args:
        classes: Class names in the order of the labels.
        protocol: Name in `rotx.evaluation.PROTOCOLS`.
        iou: IoU thresholds; None: those of the protocol.
        jobs: Number of threads; None: one per core.
    """

    def __init__(
        self,
        classes: Sequence[str],
        protocol: str = "dota-v1.0",
        *,
        iou: Sequence[float] | None = None,
        jobs: int | None = None,
    ) -> None:
        self.classes = tuple(classes)
        self.protocol = get_protocol(protocol)
        self.iou = None if iou is None else tuple(iou)
        self.jobs = jobs
        #: The detections and the objects of each image.
        self._images: dict[Hashable, tuple[Instances, Instances]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def update(
        self,
        image_id: Hashable,
        boxes: ArrayLike,
        scores: ArrayLike,
        labels: ArrayLike,
        gt_boxes: ArrayLike,
        gt_labels: ArrayLike,
        difficult: ArrayLike | None = None,
        *,
        kind: BoxKind | None = None,
    ) -> None:
        """Adds an image. The arrays are copied.

        Args:
            image_id: Hashable identifier of the image; each image can be added once.
            boxes: Boxes (N, D) of the detections.
            scores: Scores (N,) of the detections.
            labels: Indices (N,) of the detections' classes in ``classes``.
            gt_boxes: Boxes (M, D) of the objects.
            gt_labels: Indices (M,) of the objects' classes in ``classes``.
            difficult: Difficulty (M,) of the objects; True or a number above 0 is difficult. None: none is difficult.
            kind: Kind of all boxes; None: rboxes (N, 5). Passing quads (N, 8) without it is deprecated.

        Raises:
            ValueError: If an array has a wrong shape, a label is out of range, or the image was added before.
        """
        if image_id in self._images:
            raise ValueError(f"image {image_id!r} was added before")
        found, objects = _boxes("boxes", boxes, kind), _boxes("gt_boxes", gt_boxes, kind)
        count = len(objects[0])
        marks = np.zeros(count, np.uint8) if difficult is None else _column("difficult", difficult, count, np.uint8)
        columns = (
            self._labels("labels", labels, len(found[0])),
            _column("scores", scores, len(found[0]), np.float64),
            self._labels("gt_labels", gt_labels, count),
        )
        self._images[image_id] = (
            Instances(*found, columns[0], scores=columns[1]),
            Instances(*objects, columns[2], difficult=marks),
        )

    def merge(self, other: DetectionMetric) -> None:
        """Adds the images of another metric. Images in both count once, since padded samplers repeat images.

        Args:
            other: Metric with the same classes, protocol and IoU thresholds.

        Raises:
            ValueError: If the classes, the protocol or the thresholds differ.
        """
        if (self.classes, self.protocol, self.iou) != (other.classes, other.protocol, other.iou):
            raise ValueError("merge: need the same classes, protocol and IoU thresholds")
        for image_id, image in other._images.items():
            self._images.setdefault(image_id, image)

    def compute(self) -> Evaluation:
        """Scores all images added so far."""
        # Sorted, so that ties do not depend on the distribution of images over processes.
        items = sorted(self._images.items(), key=lambda item: (str(item[0]), repr(item[0])))
        results, truth = (self._table([(str(name), pair[i]) for name, pair in items]) for i in range(2))
        if results.scores is None:  # nothing was found
            results.scores = np.zeros(0)
        return evaluate_boxes(truth, results, self.protocol, iou=self.iou, classes=self.classes, jobs=self.jobs)

    def _table(self, named: Sequence[tuple[str, Instances]]) -> InstanceTable:
        return InstanceTable.of_records([ImageRecord(name, Path(name), one) for name, one in named], self.classes)

    def _labels(self, name: str, values: ArrayLike, length: int) -> NDArray[np.int64]:
        labels = _column(name, values, length, np.int64)
        if len(labels) and (labels.min() < 0 or labels.max() >= len(self.classes)):
            raise ValueError(f"{name}: need 0 to {len(self.classes) - 1}, got {labels.min()} to {labels.max()}")
        return labels


def _boxes(name: str, boxes: ArrayLike, kind: BoxKind | None) -> tuple[NDArray[np.float64], BoxKind]:
    """Returns a copy of boxes, and their kind."""
    array = np.asarray(boxes, dtype=np.float64).copy()
    if array.size == 0:
        array = array.reshape(0, width(kind or "rbox", 2))
    kind = kind or kind_by_width(array, name)
    try:
        check_boxes(array, kind, name)
    except ValueError:
        shapes = {"hbox": "hboxes (N, 4)", "rbox": "rboxes (N, 5), or another kind", "quad": "quads (N, 8)"}
        raise ValueError(f"{name}: need {shapes.get(kind, kind)}, got shape {array.shape}") from None
    return array, kind


def _column(name: str, values: ArrayLike, length: int, dtype: Any) -> NDArray[Any]:
    array = np.asarray(values, dtype=dtype).reshape(-1).copy()
    if len(array) != length:
        raise ValueError(f"{name}: need one per box, got {len(array)} for {length} boxes")
    return array
