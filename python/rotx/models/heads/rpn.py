"""The region proposal network, horizontal and oriented.

Ren et al., "Faster R-CNN", NeurIPS 2015; Xie et al., "Oriented R-CNN for Object Detection", ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from rotx.models.assigners.max_iou import MaxIoUAssigner
from rotx.models.coders.box_coder import BoxCoder
from rotx.models.heads.anchor_targets import AnchorTargeter, AnchorTargets
from rotx.models.heads.maps import map_sizes, to_rows
from rotx.models.layers import normal_init
from rotx.models.losses.reduce import Loss
from rotx.models.postprocess import Suppression, suppress
from rotx.models.priors.anchors import AnchorGenerator
from rotx.models.samplers.sampler import Sampler
from rotx.models.structures import Batch, Detections, Size, Targets


class Proposals:
    """How proposals are chosen among the anchors of an image.

    Args:
        nms_pre: the best of each level, before suppression.
        max_per_img: how many to keep.
        nms: suppression within each level.
        min_bbox_size: width and height, in pixels, must exceed it; no limit if negative.
    """

    def __init__(
        self, *, nms: Suppression, nms_pre: int = 2000, max_per_img: int = 2000, min_bbox_size: float = -1
    ) -> None:
        self.nms = nms
        self.nms_pre = nms_pre
        self.max_per_img = max_per_img
        self.min_bbox_size = min_bbox_size


class RPNHead(nn.Module):
    """Proposes boxes: hboxes, or rboxes with a coder that makes those (:class:`MidpointOffsetCoder`).

    Oriented proposals, too, are suppressed by their horizontal boxes.

    Args:
        in_channels: of the features.
        feat_channels: of the hidden layer.
        anchor_generator: horizontal anchors.
        bbox_coder: its ``encode_size`` is the number of outputs for an anchor.
        loss_cls: of object against background, with a sigmoid.
        loss_bbox: of encoded boxes.
        assigner: of objects to anchors.
        sampler: of anchors.
        allowed_border: anchors that reach further out of the image, in pixels, do not learn; all do if negative.
        pos_weight: of positive anchors in the classification; 1 if not positive.
        train_proposals: how proposals for the RoI head are chosen while it learns.
        test_proposals: likewise, for predictions.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        feat_channels: int = 256,
        anchor_generator: AnchorGenerator,
        bbox_coder: BoxCoder,
        # Training
        loss_cls: Loss,
        loss_bbox: Loss,
        assigner: MaxIoUAssigner,
        sampler: Sampler,
        allowed_border: float = -1,
        pos_weight: float = -1,
        train_proposals: Proposals,
        # Inference
        test_proposals: Proposals,
    ) -> None:
        super().__init__()
        self.anchor_generator = anchor_generator
        self.bbox_coder = bbox_coder
        self.loss_cls = loss_cls
        self.loss_bbox = loss_bbox
        self.train_proposals = train_proposals
        self.test_proposals = test_proposals
        self.targeter = AnchorTargeter(
            anchor_generator=anchor_generator,
            bbox_coder=bbox_coder,
            assigner=assigner,
            sampler=sampler,
            num_classes=1,
            allowed_border=allowed_border,
            pos_weight=pos_weight,
        )
        anchors = self.num_anchors = anchor_generator.num_base_priors[0]
        self.rpn_conv = nn.Conv2d(in_channels, feat_channels, 3, padding=1)
        self.rpn_cls = nn.Conv2d(feat_channels, anchors, 1)
        self.rpn_reg = nn.Conv2d(feat_channels, anchors * bbox_coder.encode_size, 1)

    def init_weights(self) -> None:
        """Normal weights of standard deviation 0.01."""
        for layer in (self.rpn_conv, self.rpn_cls, self.rpn_reg):
            normal_init(layer, std=0.01)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Scores (B, anchors, H, W) and encoded boxes (B, anchors × encode_size, H, W) of each level."""
        hidden = [self.rpn_conv(x).relu() for x in features]
        return [self.rpn_cls(x) for x in hidden], [self.rpn_reg(x) for x in hidden]

    def loss_and_proposals(
        self, features: Sequence[Tensor], batch: Batch, targets: Sequence[Targets]
    ) -> tuple[dict[str, list[Tensor]], list[Detections]]:
        """The losses of each level, and the proposals that the RoI head learns from."""
        scores, deltas = self(features)
        sizes = map_sizes(scores)
        anchors = self._anchors(sizes, scores[0])
        # An object is an object here, whatever its class.
        objects = [replace(target, labels=torch.zeros_like(target.labels)) for target in targets]
        goals = self.targeter(anchors, sizes, batch, objects).levels([len(level) for level in anchors])
        terms = [self._level_loss(*level) for level in zip(scores, deltas, goals, strict=True)]
        losses = {"loss_rpn_cls": [term[0] for term in terms], "loss_rpn_bbox": [term[1] for term in terms]}
        return losses, self._choose(scores, deltas, anchors, batch.sizes, self.train_proposals)

    def predict(self, features: Sequence[Tensor], batch: Batch) -> list[Detections]:
        """The proposals of each image, best first: (N, 4) hboxes or (N, 5) rboxes."""
        scores, deltas = self(features)
        anchors = self._anchors(map_sizes(scores), scores[0])
        return self._choose(scores, deltas, anchors, batch.sizes, self.test_proposals)

    def _anchors(self, sizes: list[Size], like: Tensor) -> list[Tensor]:
        return self.anchor_generator.grid_priors(sizes, dtype=torch.float32, device=like.device)

    def _level_loss(self, scores: Tensor, deltas: Tensor, goals: AnchorTargets) -> tuple[Tensor, Tensor]:
        logits, predicted = (to_rows(x, self.num_anchors).flatten(0, 1) for x in (scores, deltas))
        loss_cls = self.loss_cls(logits, goals.labels, goals.label_weights, avg_factor=goals.avg_factor)
        at = goals.positive
        loss_bbox = self.loss_bbox(predicted[at], goals.bbox_targets[at], avg_factor=goals.avg_factor)
        return loss_cls, loss_bbox

    @torch.no_grad()
    def _choose(
        self,
        scores: list[Tensor],
        deltas: list[Tensor],
        anchors: list[Tensor],
        sizes: list[Size],
        how: Proposals,
    ) -> list[Detections]:
        rows = [[to_rows(x, self.num_anchors) for x in maps] for maps in (scores, deltas)]
        found = []
        for i, size in enumerate(sizes):
            levels = [
                _level_candidates(logits[i, :, 0], encoded[i], priors, how.nms_pre)
                for logits, encoded, priors in zip(*rows, anchors, strict=True)
            ]
            best, encoded, priors = (torch.cat(values) for values in zip(*levels, strict=True))
            ids = torch.cat([torch.full_like(level[0], n, dtype=torch.int64) for n, level in enumerate(levels)])
            boxes = self.bbox_coder.decode(priors, encoded, max_shape=size)
            kept = suppress(boxes, best, ids, nms=how.nms, max_per_img=how.max_per_img, min_bbox_size=how.min_bbox_size)
            found.append(replace(kept, labels=torch.zeros_like(kept.labels)))
        return found


def _level_candidates(logits: Tensor, encoded: Tensor, anchors: Tensor, nms_pre: int) -> tuple[Tensor, Tensor, Tensor]:
    best, order = logits.sigmoid().sort(descending=True, stable=True)
    if nms_pre > 0:
        best, order = best[:nms_pre], order[:nms_pre]
    return best, encoded[order], anchors[order]
