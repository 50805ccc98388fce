"""Detectors whose network predicts exactly the training targets: decoded, these must give the objects again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rotx import boxes as rotx_boxes
from rotx.boxes import BoxKind
from rotx.models import build_detector
from rotx.models.detectors import Detector
from rotx.models.detectors.two_stage import TwoStageOutputs
from rotx.models.heads.maps import Maps
from rotx.models.samplers.pseudo_sampler import PseudoSampler
from rotx.models.structures import Batch
from rotx.records import Instances
from small import small_config

#: A detector for objects of each kind.
DETECTORS = {
    "rbox": "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota",
    "hbox": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco",
    "quad": "rotated_reppoints/rotated-reppoints-qbox_r50_fpn_1x_dota",
    "points": "rotated_reppoints/rotated-reppoints-qbox_r50_fpn_1x_dota",
}
#: A logit of probability 1 in float32; its negative: 0.
SURE = 30.0


def detector_of(kind: BoxKind) -> Detector:
    """A small detector for objects of a kind."""
    model = small_config(DETECTORS[kind], num_classes=1)
    if kind in ("quad", "points"):
        model["bbox_head"]["candidate_form"] = "standard"  # it assigns to the points as they are
    return build_detector(model).eval()


def teach(detector: Detector, targets: Instances, batch: Batch) -> None:
    """Lets a detector know the objects of a batch of one image perfectly."""
    echo = {"rbox": _of_anchors, "hbox": _of_proposals}.get(targets.kind, _of_points)
    raw = echo(detector, targets, batch)
    detector.network = lambda images: raw  # type: ignore[method-assign]


def _sizes(batch: Batch, strides: list[int]) -> list[tuple[int, int]]:
    height, width = batch.images.shape[-2:]
    return [(height // stride, width // stride) for stride in strides]


def _map(rows: Tensor, size: tuple[int, int]) -> Tensor:
    """Rows of one image as a map (1, C, H, W)."""
    return rows.reshape(1, *size, -1).permute(0, 3, 1, 2)


def _echo_anchors(head: Any, targets: Instances, batch: Batch) -> Maps:
    sizes = _sizes(batch, [stride[0] for stride in head.anchor_generator.strides])
    goals = head.targeter(head.anchor_generator.grid_priors(sizes), sizes, batch, [targets])
    logits, deltas = [], []
    for goal, size in zip(goals, sizes, strict=True):
        scores = torch.full((len(goal.labels), head.num_classes), -SURE)
        scores[goal.rows, goal.labels[goal.rows]] = SURE
        encoded = torch.zeros(len(goal.labels), head.bbox_coder.encode_size)
        encoded[goal.rows] = goal.bbox_targets
        logits.append(_map(scores, size))
        deltas.append(_map(encoded, size))
    return logits, deltas


def _of_anchors(detector: Any, targets: Instances, batch: Batch) -> Maps:
    return _echo_anchors(detector.bbox_head, targets, batch)


def _of_proposals(detector: Any, targets: Instances, batch: Batch) -> TwoStageOutputs:
    """Both heads echo; the RoI head assigns the proposals that it gets to the objects."""
    roi_head = detector.roi_head
    box_head, mask_head = roi_head.bbox_head, roi_head.mask_head

    def assigned(rois: Tensor) -> Any:
        found = roi_head.assigner.assign(rois[:, 1:], targets)
        return PseudoSampler().sample(found, rois[:, 1:], targets, kind="hbox")

    def forward(features: object, rois: Tensor) -> tuple[Tensor, Tensor]:
        goals = box_head.targets([assigned(rois)])
        logits = torch.full((len(rois), box_head.num_classes + 1), -SURE)
        logits[torch.arange(len(rois)), goals.labels] = SURE
        deltas = torch.zeros(len(rois), box_head.num_classes, 4)
        deltas[goals.rows, goals.labels[goals.rows]] = goals.bbox_targets
        return logits, deltas.flatten(1)

    def mask_logits(features: object, rois: Tensor) -> Tensor:
        numbers = assigned(rois).gt_inds - 1
        cells: Tensor = mask_head.targets(rois[:, 1:], numbers, targets.masks.pixels, roi_head.mask_size)
        return ((cells * 2 - 1) * SURE)[:, None].expand(-1, mask_head.num_classes, -1, -1)

    roi_head.forward, roi_head._mask_logits = forward, mask_logits
    objects = Instances(targets.boxes, targets.kind, torch.zeros_like(targets.labels))
    return TwoStageOutputs([], _echo_anchors(detector.rpn_head, objects, batch))


def _of_points(detector: Any, targets: Instances, batch: Batch) -> Maps:
    """The corners of an object, again and again, at the places of the first stage; scores at those of the second."""
    head = detector.bbox_head
    sizes = _sizes(batch, head.point_strides)
    quads = rotx_boxes.convert(targets.boxes, targets.kind, "quad")
    corners = quads.reshape(-1, 4, 2)[:, torch.arange(head.num_points) % 4]
    places = head.points.grid_priors(sizes)
    first = [torch.zeros(len(level), head.num_points, 2) for level in places]
    logits = [torch.zeros(1, head.num_classes, *size) for size in sizes]

    def raw() -> Maps:
        maps = [_map(points, size) for points, size in zip(first, sizes, strict=True)]
        return logits, maps, maps

    lengths = [len(level) for level in places]
    numbers = head._assign(raw(), places, [targets], batch)[0][0].split_with_sizes(lengths)
    for points, level, of, stride in zip(first, places, numbers, head.point_strides, strict=True):
        at = (of > 0).nonzero().squeeze(1)
        points[at] = (corners[of[at] - 1] - level[at, None]).flip(-1) / stride  # y before x
    numbers = head._assign(raw(), places, [targets], batch)[1][0].split_with_sizes(lengths)
    for i, (of, size) in enumerate(zip(numbers, sizes, strict=True)):
        scores = torch.full((len(of), head.num_classes), -SURE)
        at = (of > 0).nonzero().squeeze(1)
        scores[at, targets.labels[of[at] - 1]] = SURE
        logits[i] = _map(scores, size)
    return raw()
