"""Confusion matrix of the classes: matches detections with objects regardless of class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rotx import _rust
from rotx.evaluation.score import Evaluation

#: Lowest IoU of a match.
IOU = 0.5
#: Default of the lowest score of the detections that count.
SCORE = 0.3


def confusion_matrix(evaluation: Evaluation, score: float = SCORE) -> NDArray[np.int64]:
    """Counts objects by their class (rows) and the class they are detected as (columns).

    Detections with at least ``score`` are processed by descending score. Each is matched with the unmatched object of
    any class that has the greatest IoU, at least 0.5. Ignored (difficult) objects are left out, and so are detections
    that match only an ignored object.

    Args:
        evaluation: Scored detections, with boxes of the kind that the protocol compares.
        score: Lowest score of the detections that count.

    Returns:
        Counts (C + 1, C + 1): the last row counts detections without an object, the last column objects without a
        detection; the corner is 0.
    """
    problem, protocol = evaluation.problem, evaluation.protocol
    kept = np.flatnonzero(problem.scores >= score)
    quads, image, label = problem.detections
    quads, image, label = quads[kept], image[kept], label[kept]
    truth_quads, truth_image, truth_label = problem.truth
    horizontal = "horizontal-pixels" if protocol.pixels else "horizontal"
    matches = _rust.match_detections(
        (truth_quads, truth_image, np.zeros_like(truth_label)),
        problem.ignore,
        (quads, image, np.zeros_like(label)),
        problem.scores[kept],
        1,
        problem.images,
        thresholds=[IOU],
        strict=False,
        second_choice=True,
        measure=horizontal if evaluation.task == 2 else "quad",
        max_detections=0,
        area=None,
        jobs=evaluation.jobs,
    )
    hit, ignored = matches.hit > 0, matches.ignored > 0
    found = matches.truth[hit]
    missed = ~problem.ignore
    missed[found] = False
    background = len(problem.classes)
    matrix = np.zeros((background + 1, background + 1), dtype=np.int64)
    np.add.at(matrix, (truth_label[found], label[hit]), 1)
    matrix[background, :background] = np.bincount(label[~hit & ~ignored], minlength=background)
    matrix[:background, background] = np.bincount(truth_label[missed], minlength=background)
    return matrix
