"""From scored boxes to detections: thresholds, the best of each level, suppression."""

from __future__ import annotations

from collections.abc import Callable

import torchvision
from torch import Tensor

from rotx import ops
from rotx.boxes import rbox2hbox
from rotx.models.structures import Detections

#: Boxes, scores and labels → the indices of what stays, best first.
Suppression = Callable[[Tensor, Tensor, Tensor], Tensor]


class NMS:
    """Non-maximum suppression of hboxes within each label; rboxes are compared by their hboxes.

    Args:
        iou_threshold: a box is dropped if its IoU with a better one is greater.
    """

    def __init__(self, *, iou_threshold: float) -> None:
        self.iou_threshold = _fraction(iou_threshold)

    def __call__(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """The indices (K,) of the boxes to keep, best first."""
        # Half precision cannot hold the coordinates.
        hboxes = (rbox2hbox(boxes) if boxes.shape[-1] == 5 else boxes).float()
        if len(hboxes):
            # torchvision moves the labels apart by the greatest coordinate, and forgets that some are negative.
            hboxes = hboxes - hboxes.min()
        keep: Tensor = torchvision.ops.batched_nms(hboxes, scores.float(), labels, self.iou_threshold)
        return keep


class NMSRotated:
    """Non-maximum suppression of rboxes within each label.

    Args:
        iou_threshold: a box is dropped if its rotated IoU with a better one is greater.
    """

    def __init__(self, *, iou_threshold: float) -> None:
        self.iou_threshold = _fraction(iou_threshold)

    def __call__(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """The indices (K,) of the boxes to keep, best first."""
        return ops.batched_nms_rotated(boxes, scores, labels, self.iou_threshold)


def best_candidates(scores: Tensor, score_thr: float, nms_pre: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs of place and class that score more than a threshold, the best ``nms_pre`` of them.

    Args:
        scores: (N, K).
        score_thr: scores must exceed it.
        nms_pre: how many to keep at most; all if not positive.

    Returns:
        Scores, places and labels, each (C,), best first.
    """
    places, labels = (scores > score_thr).nonzero(as_tuple=True)
    chosen = scores[places, labels]
    # Stable: equal scores keep the order of places, whatever the device.
    ranked, order = chosen.sort(descending=True, stable=True)
    if nms_pre > 0:
        ranked, order = ranked[:nms_pre], order[:nms_pre]
    return ranked, places[order], labels[order]


def suppress(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, nms: Suppression, max_per_img: int, min_bbox_size: float = -1
) -> Detections:
    """Drops small boxes, suppresses, and keeps the best ``max_per_img`` (all if not positive).

    Args:
        boxes: (N, 4) or (N, 5).
        scores: (N,).
        labels: (N,): boxes of different labels do not suppress each other.
        nms: such as :class:`NMSRotated`.
        max_per_img: how many to keep.
        min_bbox_size: width and height, in pixels, must exceed it; no limit if negative.
    """
    # A box that is not finite comes from a model that has diverged: it is no detection.
    sound = boxes.isfinite().all(1) & scores.isfinite()
    if min_bbox_size >= 0:
        sides = boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]
        sound &= (sides > min_bbox_size).all(1)
    boxes, scores, labels = boxes[sound], scores[sound], labels[sound]
    keep = nms(boxes, scores, labels)
    if max_per_img > 0:
        keep = keep[:max_per_img]
    return Detections(boxes[keep], scores[keep], labels[keep])


def multiclass_nms(
    boxes: Tensor, scores: Tensor, *, score_thr: float, nms: Suppression, max_per_img: int
) -> Detections:
    """Suppression within each class of boxes that have a score for each.

    Args:
        boxes: (N, D) boxes that serve all classes, or (N, K, D) with one for each.
        scores: (N, K).
        score_thr: scores must exceed it.
        nms: such as :class:`NMSRotated`.
        max_per_img: how many to keep.
    """
    ranked, places, labels = best_candidates(scores, score_thr, nms_pre=-1)
    chosen = boxes[places] if boxes.dim() == 2 else boxes[places, labels]
    return suppress(chosen, ranked, labels, nms=nms, max_per_img=max_per_img)


def _fraction(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"iou_threshold: need a number in [0, 1], got {value}")
    return value
