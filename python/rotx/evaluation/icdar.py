"""Precision, recall and Hmean of text detection without scores, by the rules of ICDAR 2015 (challenge 4, task 1).

Objects with the text ``###`` are ignored ("don't care"), and so are detections with more than half of their area in
one of them. Each other object, in the order of the files, matches the first unmatched detection whose IoU exceeds the
threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx import geometry
from rotx.evaluation.score import known
from rotx.records import InstanceTable

#: A detection is ignored if more than this fraction of its area lies in a don't-care object.
DONT_CARE_IOF = 0.5

FALSE, HIT, IGNORED = 0, 1, 2


@dataclass(frozen=True)
class TextEvaluation:
    """Counts at each of T IoU thresholds, and the verdict on every detection.

    ``verdict`` (T, M) is 0 for a false positive, 1 for a match, 2 for an ignored detection. ``truth`` (M,) is the
    object matched at the first threshold, or else the one with the greatest IoU (−1: none), and ``overlap`` (M,) is
    its IoU.
    """

    annotations: InstanceTable
    results: InstanceTable
    iou: tuple[float, ...]
    verdict: NDArray[np.uint8]
    truth: NDArray[np.int64]
    overlap: NDArray[np.float64]

    @property
    def gts(self) -> int:
        """Number of objects to find."""
        return int((self.annotations.difficult == 0).sum())

    @property
    def dets(self) -> NDArray[np.int64]:
        """Numbers (T,) of detections that are not ignored."""
        counted: NDArray[np.int64] = (self.verdict != IGNORED).sum(1)
        return counted

    @property
    def hits(self) -> NDArray[np.int64]:
        """Numbers (T,) of matches."""
        found: NDArray[np.int64] = (self.verdict == HIT).sum(1)
        return found

    @property
    def precision(self) -> NDArray[np.float64]:
        """Matches divided by detections (T,); NaN if there are no detections."""
        return np.where(self.dets > 0, self.hits / np.maximum(self.dets, 1), np.nan)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Matches divided by objects (T,); NaN if there are no objects."""
        return self.hits / (self.gts or np.nan)

    @property
    def hmean(self) -> NDArray[np.float64]:
        """Harmonic mean (T,) of precision and recall: 2 matches / (objects + detections); NaN without objects."""
        return 2 * self.hits / (self.gts + self.dets) if self.gts else np.full(len(self.iou), np.nan)

    @property
    def notices(self) -> tuple[str, ...]:
        """Notices about what was skipped or assumed during reading."""
        return (*self.annotations.notices, *self.results.notices)

    def to_dict(self) -> dict[str, Any] | list[dict[str, Any]]:
        """Returns the content of ``--json``: a record, or a list of records for several IoU thresholds."""
        records = [
            {
                "protocol": "icdar2015",
                "iou": iou,
                "precision": known(self.precision[t]),
                "recall": known(self.recall[t]),
                "hmean": known(self.hmean[t]),
                "gts": self.gts,
                "dets": int(self.dets[t]),
            }
            for t, iou in enumerate(self.iou)
        ]
        return records if len(records) > 1 else records[0]


def evaluate_text(
    annotations: InstanceTable, results: InstanceTable, iou: Sequence[float] | None = None
) -> TextEvaluation:
    """Scores text detections of a single class, regardless of their scores.

    Args:
        annotations: Annotations; difficult objects are ignored.
        results: Detections, in the order in which they are matched.
        iou: IoU thresholds; None: 0.5.

    Raises:
        ValueError: If there is more than one class.
    """
    classes = {*annotations.classes, *results.classes}
    if len(classes) > 1:
        raise ValueError(f"icdar2015 needs a single class, but the files have {', '.join(sorted(classes))}")
    thresholds = tuple(iou) if iou is not None else (0.5,)
    count = len(results.scores)
    verdict = np.full((len(thresholds), count), FALSE, dtype=np.uint8)
    truth, overlap = np.full(count, -1, dtype=np.int64), np.zeros(count)
    objects, found = _by_image(annotations.image), _by_image(results.image)
    truth_quads, quads = annotations.quads, results.quads
    for image, rows in found.items():
        gts = objects.get(image)
        if gts is None:
            continue
        care = annotations.difficult[gts] == 0
        ious = geometry.box_iou(truth_quads[gts], quads[rows], jobs=1)
        best = ious.argmax(0)
        overlap[rows] = ious[best, np.arange(len(rows))]
        truth[rows] = np.where(overlap[rows] > 0, gts[best], -1)
        inside = geometry.box_iou(quads[rows], truth_quads[gts[~care]], mode="iof", jobs=1)
        ignored = (inside > DONT_CARE_IOF).any(1)
        for t, threshold in enumerate(thresholds):
            free = np.logical_not(ignored)
            verdict[t, rows[ignored]] = IGNORED
            for i in np.flatnonzero(care):
                fits = np.flatnonzero(free & (ious[i] > threshold))
                if len(fits):
                    free[fits[0]] = False
                    verdict[t, rows[fits[0]]] = HIT
                    if t == 0:
                        truth[rows[fits[0]]], overlap[rows[fits[0]]] = gts[i], ious[i, fits[0]]
    return TextEvaluation(annotations, results, thresholds, verdict, truth, overlap)


def _by_image(image: NDArray[np.int32]) -> dict[int, NDArray[np.int64]]:
    """Returns the rows of each image that has any, in order."""
    rows = np.argsort(image, kind="stable")
    names, starts = np.unique(image[rows], return_index=True)
    return dict(zip(names.tolist(), np.split(rows, starts[1:]), strict=True)) if len(names) else {}
