"""Converts scores to candidates (threshold, top-k) and candidates to detections (NMS)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rotx import boxes as rotx_boxes
from rotx.boxes import BoxKind
from rotx.models.structures import Candidates
from rotx.records import Instances

#: Boxes (N, D), scores (N,), labels (N,) and the kind of the boxes → indices (K,) of the kept boxes, best first.
Suppression = Callable[[Tensor, Tensor, Tensor, BoxKind], Tensor]


class NMS:
    """Non-maximum suppression within each label, by the IoU of the hboxes around the boxes.

    Args:
        iou_threshold: IoU in [0, 1] with a better box above which a box is suppressed.
    """

    def __init__(self, *, iou_threshold: float) -> None:
        self.iou_threshold = _fraction(iou_threshold)

    def __call__(self, boxes: Tensor, scores: Tensor, labels: Tensor, kind: BoxKind) -> Tensor:
        """Returns the indices (K,) of the boxes to keep, best first."""
        hboxes = rotx_boxes.convert(boxes, kind, "hbox")
        return rotx_boxes.nms(hboxes, scores, labels, "hbox", self.iou_threshold)


class NMSRotated:
    """Non-maximum suppression within each label, by the IoU of the boxes themselves, of any kind.

    Args:
        iou_threshold: IoU in [0, 1] with a better box above which a box is suppressed.
    """

    def __init__(self, *, iou_threshold: float) -> None:
        self.iou_threshold = _fraction(iou_threshold)

    def __call__(self, boxes: Tensor, scores: Tensor, labels: Tensor, kind: BoxKind) -> Tensor:
        """Returns the indices (K,) of the boxes to keep, best first."""
        return rotx_boxes.nms(boxes, scores, labels, kind, self.iou_threshold)


class Best(NamedTuple):
    """The k best pairs of row and class in each of B images, best first.

    Attributes:
        scores: Scores (B, k); −inf where too few pairs exceed the threshold.
        places: Row indices (B, k) int64.
        labels: Class indices (B, k) int64.
    """

    scores: Tensor
    places: Tensor
    labels: Tensor

    def of(self, rows: Tensor) -> Tensor:
        """Selects the rows (B, k, ...) of these pairs from all rows (B, N, ...)."""
        return take_rows(rows, self.places)


def best_pairs(scores: Tensor, score_thr: float, nms_pre: int) -> Best:
    """Selects the best pairs of row and class; their number does not depend on the scores.

    Equal scores are ordered by row, then by class, on every device.

    Args:
        scores: Scores (B, N, K) of N rows and K classes.
        score_thr: Threshold that scores must exceed.
        nms_pre: Maximum number of pairs to keep; all if not positive.
    """
    classes = scores.shape[2]
    number = scores.shape[1] if nms_pre <= 0 else min(nms_pre, scores.shape[1])
    scores = torch.where(scores > score_thr, scores, -torch.inf)
    # The best n pairs belong to the n rows with the best classes, so only these need sorting.
    places = scores.amax(dim=2).sort(dim=1, descending=True, stable=True).indices[:, :number]
    places = places.sort(dim=1).values
    ranked, order = take_rows(scores, places).flatten(1).sort(dim=1, descending=True, stable=True)
    if nms_pre > 0:
        ranked, order = ranked[:, :nms_pre], order[:, :nms_pre]
    return Best(ranked, places.gather(1, order // classes), order % classes)


def take_rows(values: Tensor, rows: Tensor) -> Tensor:
    """Selects rows (B, k, ...) of values (B, N, ...) by their indices (B, k)."""
    index = rows.reshape(*rows.shape, *[1] * (values.dim() - 2)).expand(-1, -1, *values.shape[2:])
    return values.gather(1, index)


def suppress(
    candidates: Candidates, *, nms: Suppression, max_per_img: int, min_bbox_size: float = -1
) -> list[Instances]:
    """Selects the detections of each image, best first.

    Args:
        candidates: Scored boxes.
        nms: Suppression, such as :class:`NMSRotated`.
        max_per_img: Maximum number of detections per image; all if not positive.
        min_bbox_size: Size in pixels that width and height must exceed; no limit if negative.
    """
    images, boxes, scores, labels = _sound(candidates, min_bbox_size)
    count = len(candidates.boxes)
    keep = nms(boxes, scores, labels * count + images, candidates.kind)
    found = []
    for i in range(count):
        own = keep[images[keep] == i]
        own = own[:max_per_img] if max_per_img > 0 else own
        found.append(Instances(boxes[own], candidates.kind, labels[own], scores=scores[own]))
    return found


def suppress_fixed(
    candidates: Candidates, *, nms: Suppression, max_per_img: int, min_bbox_size: float = -1
) -> Candidates:
    """Like :func:`suppress`, but returns a fixed number of places per image; unused places are empty.

    Args:
        candidates: Scored boxes.
        nms: Suppression, such as :class:`NMSRotated`.
        max_per_img: Number of places per image; as many as there are candidates if not positive.
        min_bbox_size: Size in pixels that width and height must exceed; no limit if negative.

    Returns:
        Candidates (B, n), best first, with n = ``max_per_img``, or the number of candidates if that is smaller.
    """
    count, number = candidates.scores.shape
    usable = _usable(candidates, min_bbox_size)
    scores = torch.where(usable, candidates.scores, -torch.inf)
    # Unusable boxes become boxes without area, which neither suppress nor are suppressed; they come last.
    boxes = torch.where(usable[..., None], candidates.boxes, 0)
    images = torch.arange(count, device=boxes.device)[:, None].expand(-1, number)
    groups = candidates.labels * count + images
    keep = nms(boxes.flatten(0, 1), scores.flatten(), groups.flatten(), candidates.kind)
    places = number if max_per_img <= 0 else min(max_per_img, number)
    image, row = keep // max(number, 1), keep % max(number, 1)
    # Rank of each kept box in its image; those beyond the last place share one extra place, which is cut off.
    ranks = (image[:, None] == torch.arange(count, device=keep.device)).cumsum(0) - 1
    at = (image, ranks.gather(1, image[:, None]).squeeze(1).clamp(max=places))
    kept = row.new_zeros((count, places + 1)).index_put(at, row)[:, :places]
    filled = row.new_zeros((count, places + 1)).index_put(at, torch.ones_like(row))[:, :places] > 0
    return Candidates(
        take_rows(boxes, kept),
        torch.where(filled, scores.gather(1, kept), -torch.inf),
        candidates.labels.gather(1, kept),
        candidates.kind,
    )


def _usable(candidates: Candidates, min_bbox_size: float) -> Tensor:
    # Boxes that are not finite come from a model that has diverged and are not detections.
    usable = candidates.boxes.isfinite().all(2) & candidates.scores.isfinite()
    if min_bbox_size >= 0:
        usable &= (rotx_boxes.sides(candidates.boxes, candidates.kind) > min_bbox_size).all(2)
    return usable


def _sound(candidates: Candidates, min_bbox_size: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns image, box, score and label of each usable candidate."""
    images, places = _usable(candidates, min_bbox_size).nonzero(as_tuple=True)
    values = (candidates.boxes, candidates.scores, candidates.labels)
    boxes, scores, labels = (value[images, places] for value in values)
    return images, boxes, scores, labels


def _fraction(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"iou_threshold: need a number in [0, 1], got {value}")
    return value
