"""What the anchors of a batch are to learn: labels and boxes for the dense heads with anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rotx.boxes import rbox2hbox
from rotx.models.assigners.max_iou import MaxIoUAssigner
from rotx.models.coders.box_coder import BoxCoder
from rotx.models.priors.anchors import AnchorGenerator
from rotx.models.processes import mean_over_processes
from rotx.models.samplers.sampler import Sampler
from rotx.models.structures import Batch, Size, Targets


class AnchorTargets(NamedTuple):
    """Targets of the A anchors of B images, levels one after another; B × A rows each.

    Attributes:
        labels: (B, A) int64; background is the number of classes.
        label_weights: (B, A); 0 where an anchor is ignored or was not sampled.
        positive: (B, A) bool: anchors that stand for an object.
        bbox_targets: (B, A, D) encoded, or boxes if the regression is decoded; 0 where not positive.
        gt_boxes: (B, A, 5) the objects; 0 where not positive.
        avg_factor: what sums of losses are divided by, the mean over all processes.
    """

    labels: Tensor
    label_weights: Tensor
    positive: Tensor
    bbox_targets: Tensor
    gt_boxes: Tensor
    avg_factor: float

    def levels(self, sizes: Sequence[int]) -> list[AnchorTargets]:
        """The same, a level each, with B × A_level rows."""
        found, start = [], 0
        for size in sizes:
            level = slice(start, start + size)
            found.append(
                AnchorTargets(
                    self.labels[:, level].flatten(0, 1),
                    self.label_weights[:, level].flatten(0, 1),
                    self.positive[:, level].flatten(0, 1),
                    self.bbox_targets[:, level].flatten(0, 1),
                    self.gt_boxes[:, level].flatten(0, 1),
                    self.avg_factor,
                )
            )
            start += size
        return found


class AnchorTargeter:
    """Assigns objects to anchors, samples, and encodes.

    Args:
        anchor_generator: makes the anchors.
        bbox_coder: encodes objects relative to anchors.
        assigner: decides which anchor stands for which object.
        sampler: decides which anchors take part.
        num_classes: how many, and the label of the background.
        reg_decoded_bbox: targets are boxes, not encoded.
        allowed_border: anchors that reach further out of the image, in pixels, take no part; all do if negative.
        pos_weight: of positive anchors in the classification; 1 if not positive.
    """

    def __init__(
        self,
        *,
        anchor_generator: AnchorGenerator,
        bbox_coder: BoxCoder,
        assigner: MaxIoUAssigner,
        sampler: Sampler,
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

    def __call__(
        self, anchors: list[Tensor], featmap_sizes: list[Size], batch: Batch, targets: Sequence[Targets]
    ) -> AnchorTargets:
        """Targets for all anchors of all images.

        Args:
            anchors: of each level, (A_level, 4) or (A_level, 5).
            featmap_sizes: height and width of each level.
            batch: for the sizes of the images.
            targets: the objects of each image.
        """
        flat = torch.cat(anchors)
        images = []
        total = 0
        for size, pad_size, target in zip(batch.sizes, batch.pad_sizes, targets, strict=True):
            valid = torch.cat(self.anchor_generator.valid_flags(featmap_sizes, pad_size, flat.device))
            values, count = self._image(flat, valid & self._inside(flat, size), target)
            images.append(values)
            total += count
        labels, weights, positive, encoded, gts = (torch.stack(values) for values in zip(*images, strict=True))
        return AnchorTargets(labels, weights, positive, encoded, gts, mean_over_processes(total, flat.device))

    def _image(self, flat: Tensor, usable: Tensor, target: Targets) -> tuple[tuple[Tensor, ...], int]:
        labels = torch.full((len(flat),), self.num_classes, dtype=torch.int64, device=flat.device)
        weights = flat.new_zeros(len(flat))
        positive = torch.zeros_like(usable)
        columns = 5 if self.reg_decoded_bbox else self.bbox_coder.encode_size
        encoded = flat.new_zeros((len(flat), columns))
        gts = flat.new_zeros((len(flat), 5))

        rows = usable.nonzero().squeeze(1)
        anchors = flat[rows]
        assignment = self.assigner.assign(anchors, target.boxes, target.labels, target.ignored)
        samples = self.sampler.sample(assignment, anchors, target.boxes, target.labels)
        at, background = rows[samples.pos_inds], rows[samples.neg_inds]
        if len(at):
            labels[at] = samples.pos_gt_labels
            positive[at] = True
            gts[at] = samples.pos_gts.to(flat)
            goals = (
                samples.pos_gts
                if self.reg_decoded_bbox
                else self.bbox_coder.encode(samples.pos_priors, samples.pos_gts)
            )
            encoded[at] = goals.to(flat)
        weights[at] = self.pos_weight
        weights[background] = 1.0
        return (labels, weights, positive, encoded, gts), samples.avg_factor

    def _inside(self, anchors: Tensor, size: Size) -> Tensor:
        if self.allowed_border < 0:
            return torch.ones(len(anchors), dtype=torch.bool, device=anchors.device)
        boxes = rbox2hbox(anchors) if anchors.shape[1] == 5 else anchors
        x1, y1, x2, y2 = boxes.unbind(1)
        height, width = size
        border = self.allowed_border
        return (x1 >= -border) & (y1 >= -border) & (x2 < width + border) & (y2 < height + border)
