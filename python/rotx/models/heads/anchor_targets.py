"""Training targets of anchors: labels and boxes for dense heads with anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rotx import boxes as rotx_boxes
from rotx.models.assigners.assignment import Assigner, assign_usable
from rotx.models.coders.box_coder import BoxCoder
from rotx.models.coders.deltas import at_least_float32
from rotx.models.heads.maps import priors_at, where_true
from rotx.models.priors.prior_generator import PriorGenerator
from rotx.models.processes import mean_over_processes
from rotx.models.samplers.sampler import PriorSampler
from rotx.models.structures import Batch, Size
from rotx.records import Instances


class AnchorTargets(NamedTuple):
    """Targets of the B × A anchors of one level of B images, P of them positive.

    Attributes:
        labels: Classes (B · A,) int64; background is the number of classes.
        label_weights: Weights (B · A,) in the classification loss; 0 for anchors that are ignored or not sampled.
        rows: Indices (P,) int64 of the positive anchors.
        anchors: Positive anchors (P, D).
        gt_boxes: Box of each one's object, (P, D'), of the coder's kind.
        bbox_targets: Encoded boxes (P, encode_size), or ``gt_boxes`` if the loss compares decoded boxes.
        avg_factor: Divisor of the losses of all levels, a scalar tensor: the mean over all processes.
    """

    labels: Tensor
    label_weights: Tensor
    rows: Tensor
    anchors: Tensor
    gt_boxes: Tensor
    bbox_targets: Tensor
    avg_factor: Tensor


class AnchorTargeter:
    """Assigns objects to anchors, samples anchors and encodes the targets.

    Args:
        anchor_generator: Generator of the anchors; it knows which of them belong to an image.
        bbox_coder: Coder of boxes relative to anchors.
        assigner: Assigner of objects to anchors.
        sampler: Sampler of anchors.
        num_classes: Number of classes; also the label of the background.
        reg_decoded_bbox: Whether the targets are boxes instead of encoded boxes.
        allowed_border: Pixels by which an anchor may reach out of the image without being ignored; negative: any.
        pos_weight: Weight of positive anchors in the classification loss; 1 if not positive.
    """

    def __init__(
        self,
        *,
        anchor_generator: PriorGenerator,
        bbox_coder: BoxCoder,
        assigner: Assigner,
        sampler: PriorSampler,
        num_classes: int,
        reg_decoded_bbox: bool = False,
        allowed_border: float = -1,
        pos_weight: float = -1,
    ) -> None:
        self.anchor_generator = anchor_generator
        self.bbox_coder = bbox_coder
        self.assigner = assigner
        self.sampler = sampler
        self.num_classes = num_classes
        self.reg_decoded_bbox = reg_decoded_bbox
        self.allowed_border = allowed_border
        self.pos_weight = pos_weight if pos_weight > 0 else 1.0

    @torch.no_grad()
    def __call__(
        self, priors: Sequence[Tensor], featmap_sizes: Sequence[Size], batch: Batch, targets: Sequence[Instances]
    ) -> list[AnchorTargets]:
        """Targets for all anchors of all images, level by level.

        Args:
            priors: Anchors of each level, (A, D) for all images or (B, A, D) with those of each.
            featmap_sizes: Height and width of each level.
            batch: Batch, for the sizes of its images.
            targets: Objects of each image.
        """
        gt_inds, numbers, count = self._assign(priors, featmap_sizes, batch, targets)
        # One spare entry: a batch without objects needs no special case.
        classes = torch.cat([*(target.labels for target in targets), numbers.new_zeros(1)])
        labels = torch.where(gt_inds > 0, classes[numbers.clamp(min=0)], self.num_classes)
        weights = torch.where(gt_inds > 0, self.pos_weight, 1.0) * (gt_inds >= 0)
        avg_factor = mean_over_processes(count, gt_inds.device)

        lengths = [level.shape[-2] for level in priors]

        def levels(values: Tensor) -> list[Tensor]:
            return [level.flatten() for level in values.split_with_sizes(lengths, dim=1)]

        rows = where_true(levels(gt_inds > 0))
        counts = [len(some) for some in rows]
        anchors = torch.cat(
            [
                priors_at(level, some // length, some % length)
                for level, some, length in zip(priors, rows, lengths, strict=True)
            ]
        )
        kind = self.bbox_coder.box_kind
        objects = at_least_float32(torch.cat([rotx_boxes.convert(t.boxes, t.kind, kind) for t in targets]))
        own_numbers = [level[some] for level, some in zip(levels(numbers), rows, strict=True)]
        gts = objects[torch.cat(own_numbers)].to(anchors.dtype)
        goals = gts if self.reg_decoded_bbox else self.bbox_coder.encode(anchors, gts)
        own = [values.split_with_sizes(counts) for values in (anchors, gts, goals)]
        return [
            AnchorTargets._make((*level, avg_factor))
            for level in zip(levels(labels), levels(weights), rows, *own, strict=True)
        ]

    def _assign(
        self, priors: Sequence[Tensor], featmap_sizes: Sequence[Size], batch: Batch, targets: Sequence[Instances]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Assigns the objects of each image to its anchors.

        Returns:
            Index plus one of the object of each anchor, (B, A), 0: background, −1: ignored; the index of the
            object in the batch, (B, A); and the number of anchors sampled.
        """
        found, numbers, total = [], [], torch.zeros((), device=priors[0].device)
        flat = torch.cat(list(priors), dim=-2)
        start = 0
        for i, target in enumerate(targets):
            own = flat if flat.dim() == 2 else flat[i]
            usable = self._usable(own, featmap_sizes, batch.sizes[i], batch.pad_sizes[i], batch)
            assignment = assign_usable(self.assigner, own, usable, target)
            samples = self.sampler.sample(assignment, own, target, kind=self.anchor_generator.box_kind)
            gt_inds = torch.full_like(assignment.gt_inds, -1).scatter(0, samples.rows, samples.gt_inds)
            found.append(gt_inds)
            numbers.append(gt_inds + (start - 1))
            total = total + samples.avg_factor
            start += len(target)
        return torch.stack(found), torch.stack(numbers), total

    def _usable(
        self, anchors: Tensor, featmap_sizes: Sequence[Size], size: Size, pad_size: Size, batch: Batch
    ) -> Tensor | None:
        """Which anchors (A, D) may be assigned to objects of an image, (A,) bool; None: all."""
        usable = None
        if pad_size != tuple(batch.images.shape[-2:]):
            usable = torch.cat(self.anchor_generator.valid_flags(featmap_sizes, pad_size, anchors.device))
        if self.allowed_border >= 0:
            x1, y1, x2, y2 = rotx_boxes.convert(anchors, self.anchor_generator.box_kind, "hbox").unbind(1)
            height, width = size
            border = self.allowed_border
            inside = (x1 >= -border) & (y1 >= -border) & (x2 < width + border) & (y2 < height + border)
            usable = inside if usable is None else usable & inside
        return usable
