"""Merge rules: how each object on overlapping windows counts once.

- ``nms``: rotated suppression within each class over the whole image, as MMRotate and the DOTA devkit merge patches.
- ``seams``: detections cut off by a window are left to a window that sees them whole; then the same suppression, see
  `rotx.tiling.seams`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rotx import boxes as rotx_boxes
from rotx.boxes import BoxKind
from rotx.tiling.seams import resolve

MergeRule = Literal["nms", "seams"]
#: Names of all rules.
RULES: tuple[MergeRule, ...] = get_args(MergeRule)

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class WindowSet:
    """Windows of several images.

    Attributes:
        areas: Windows (W, 4) x0, y0, x1, y1, in pixels of their images; NaN: unknown.
        image: Index of each window's image, (W,).
        sizes: Width and height of each image, (I, 2).
    """

    areas: NDArray[np.float64]
    image: NDArray[np.int64]
    sizes: NDArray[np.float64]

    @classmethod
    def of_image(cls, areas: NDArray[np.int64], size: tuple[int, int]) -> WindowSet:
        """Makes the set of windows (W, 4) of one image with a width and height."""
        return cls(areas.astype(np.float64), np.zeros(len(areas), np.int64), np.array([size], np.float64))


def check_rule(rule: str, windows: WindowSet | None = None) -> None:
    """Raises ValueError for an unknown rule, and for ``seams`` if a window is unknown."""
    if rule not in RULES:
        raise ValueError(f"merge rule: need {' or '.join(map(repr, RULES))}, got {rule!r}")
    if rule == "seams" and windows is not None and not np.isfinite(windows.areas).all():
        raise ValueError(
            "merge rule 'seams': patches named as the DOTA devkit does, <image>__<rate>__<x>___<y>, do not say how "
            "large they are: merge them by the rule 'nms'"
        )


def merge_rows(
    boxes: Floats,
    kind: BoxKind,
    scores: Floats,
    labels: NDArray[np.integer],
    window: NDArray[np.integer],
    windows: WindowSet,
    *,
    rule: MergeRule,
    iou_threshold: float,
) -> Rows:
    """Selects the detections on windows to keep.

    Args:
        boxes: Boxes (N, D) in pixels of their images.
        kind: Kind of the boxes; ``seams`` uses the rectangles around them.
        scores: Scores (N,).
        labels: Labels (N,).
        window: Index of each box's window, (N,).
        windows: The windows.
        rule: Name of the rule.
        iou_threshold: Of two detections of a class and image with a greater IoU, the better one is kept.

    Returns:
        Indices (K,) int64 of the kept detections; those of an image best first.

    Raises:
        ValueError: For an unknown rule; for ``seams`` if a window is unknown.
    """
    check_rule(rule, windows)
    image = windows.image[window]
    if rule == "nms":
        group = image * (int(labels.max(initial=0)) + 1) + labels
        return rotx_boxes.nms(boxes, scores, group, kind, iou_threshold)
    rboxes = rotx_boxes.convert(boxes, kind, "rbox")
    order = np.lexsort((window, image))
    kept = [np.zeros(0, np.int64)]
    # The windows of each image are found once, not by a look at all windows for every image.
    by_image = np.argsort(windows.image, kind="stable")
    starts = np.searchsorted(windows.image[by_image], np.arange(len(windows.sizes) + 1))
    for rows in np.split(order, np.flatnonzero(np.diff(image[order])) + 1):
        if len(rows):
            here = int(image[rows[0]])
            mine = by_image[starts[here] : starts[here + 1]]
            places = np.searchsorted(mine, window[rows])
            parts = (rboxes[rows], scores[rows], labels[rows].astype(np.int64), places, windows.areas[mine])
            kept.append(rows[resolve(*parts, windows.sizes[here], iou_threshold)])
    return np.concatenate(kept)
