"""A metric for training loops: add images one by one, merge across processes, compute."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rotx import geometry
from rotx.evaluation.protocols import get_protocol
from rotx.evaluation.score import Evaluation, evaluate_boxes
from rotx.records import InstanceTable


class DetectionMetric:
    """Average precision of detections that are given image by image.

    The object can be pickled; each process fills its own and one of them merges the others.

    Args:
        classes: the names of the classes, in the order of the labels.
        protocol: a name in `rotx.evaluation.PROTOCOLS`.
        iou: IoU thresholds; None: those of the protocol.
        jobs: number of threads; None: one a core.
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
        self._images: dict[Hashable, _Image] = {}

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
    ) -> None:
        """Adds an image. The arrays are copied.

        Args:
            image_id: anything hashable; each image once.
            boxes: detections, rboxes (N, 5) or quads (N, 8).
            scores: (N,).
            labels: (N,) indices into ``classes``.
            gt_boxes: objects, rboxes (M, 5) or quads (M, 8).
            gt_labels: (M,).
            difficult: (M,); true or a number above 0 marks difficult objects. None: none is.

        Raises:
            ValueError: for arrays of another shape, a label out of range, or an image added before.
        """
        if image_id in self._images:
            raise ValueError(f"image {image_id!r} was added before")
        image = _Image(boxes, scores, labels, gt_boxes, gt_labels, difficult)
        for name, labels_ in (("labels", image.labels), ("gt_labels", image.gt_labels)):
            if len(labels_) and (labels_.min() < 0 or labels_.max() >= len(self.classes)):
                raise ValueError(f"{name}: need 0 to {len(self.classes) - 1}, got {labels_.min()} to {labels_.max()}")
        self._images[image_id] = image

    def merge(self, other: DetectionMetric) -> None:
        """Adds the images of another metric. Images that both hold count once, as padded samplers need.

        Raises:
            ValueError: if the classes, the protocol or the thresholds differ.
        """
        if (self.classes, self.protocol, self.iou) != (other.classes, other.protocol, other.iou):
            raise ValueError("merge: need the same classes, protocol and IoU thresholds")
        for image_id, image in other._images.items():
            self._images.setdefault(image_id, image)

    def compute(self) -> Evaluation:
        """The score of all images added so far."""
        # Sorted, so that tied scores resolve alike however the images were spread over processes.
        items = sorted(self._images.items(), key=lambda item: (str(item[0]), repr(item[0])))
        images = [image for _, image in items]
        names = [str(image_id) for image_id, _ in items]
        gt_image, gt_quads, gt_labels = _stack([(i.gt_boxes, i.gt_labels) for i in images])
        image, quads, labels = _stack([(i.boxes, i.labels) for i in images])
        truth = InstanceTable(
            images=names,
            classes=list(self.classes),
            boxes=gt_quads,
            kind="quad",
            image=gt_image,
            label=gt_labels,
            difficult=_join([i.difficult for i in images], np.uint8),
        )
        results = InstanceTable(
            images=names,
            classes=list(self.classes),
            boxes=quads,
            kind="quad",
            scores=_join([i.scores for i in images], np.float64),
            image=image,
            label=labels,
        )
        return evaluate_boxes(truth, results, self.protocol, iou=self.iou, classes=self.classes, jobs=self.jobs)


class _Image:
    """The arrays of one image, checked and copied."""

    def __init__(
        self,
        boxes: ArrayLike,
        scores: ArrayLike,
        labels: ArrayLike,
        gt_boxes: ArrayLike,
        gt_labels: ArrayLike,
        difficult: ArrayLike | None,
    ) -> None:
        self.boxes = _boxes("boxes", boxes)
        self.scores = _column("scores", scores, len(self.boxes), np.float64)
        self.labels = _column("labels", labels, len(self.boxes), np.int32)
        self.gt_boxes = _boxes("gt_boxes", gt_boxes)
        self.gt_labels = _column("gt_labels", gt_labels, len(self.gt_boxes), np.int32)
        if difficult is None:
            difficult = np.zeros(len(self.gt_boxes), dtype=np.uint8)
        self.difficult = _column("difficult", difficult, len(self.gt_boxes), np.uint8)


def _boxes(name: str, boxes: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(boxes, dtype=np.float64).copy()
    if array.size == 0:
        array = array.reshape(0, 5)
    if array.ndim != 2 or array.shape[1] not in (5, 8):
        raise ValueError(f"{name}: need rboxes (N, 5) or quads (N, 8), got shape {array.shape}")
    return array


def _column(name: str, values: ArrayLike, length: int, dtype: Any) -> NDArray[Any]:
    array = np.asarray(values, dtype=dtype).reshape(-1).copy()
    if len(array) != length:
        raise ValueError(f"{name}: need one a box, got {len(array)} for {length} boxes")
    return array


def _stack(
    images: list[tuple[NDArray[np.float64], NDArray[np.int32]]],
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    """The image index, quad and label of all boxes; rboxes become quads."""
    counts = np.array([len(labels) for _, labels in images], dtype=np.int64)
    image = np.repeat(np.arange(len(images), dtype=np.int32), counts)
    quads = np.empty((counts.sum(), 8))
    columns = np.repeat(np.array([boxes.shape[1] for boxes, _ in images], dtype=np.int64), counts)
    for kind in (5, 8):
        parts = [boxes for boxes, _ in images if boxes.shape[1] == kind]
        if parts:
            joined = np.concatenate(parts)
            quads[columns == kind] = geometry.rbox_to_quad(joined) if kind == 5 else joined
    return image, quads, _join([labels for _, labels in images], np.int32)


def _join(arrays: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=dtype)
