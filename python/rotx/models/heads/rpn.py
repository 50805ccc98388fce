"""The region proposal network, horizontal and oriented.

Ren et al., "Faster R-CNN", NeurIPS 2015; Xie et al., "Oriented R-CNN for Object Detection", ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from rotx.boxes import AngleVersion, BoxKind
from rotx.models.assigners.assignment import Assigner
from rotx.models.coders.box_coder import BoxCoder
from rotx.models.heads.anchor_targets import AnchorTargeter
from rotx.models.heads.maps import Maps, map_sizes, to_rows
from rotx.models.layers import normal_init
from rotx.models.losses.reduce import Loss
from rotx.models.postprocess import Suppression, best_pairs, suppress_fixed
from rotx.models.priors.prior_generator import PriorGenerator
from rotx.models.samplers.sampler import PriorSampler
from rotx.models.structures import Batch, Candidates, join
from rotx.records import Instances


class Proposals:
    """Settings for selecting the proposals of an image.

    Args:
        nms: Suppression rule; it applies within each level.
        nms_pre: Number of candidates to keep in each level, before suppression.
        max_per_img: Number of proposals to keep in an image.
        min_bbox_size: Boxes need a width and a height above this, in pixels; negative: no limit.
    """

    def __init__(
        self, *, nms: Suppression, nms_pre: int = 2000, max_per_img: int = 2000, min_bbox_size: float = -1
    ) -> None:
        self.nms = nms
        self.nms_pre = nms_pre
        self.max_per_img = max_per_img
        self.min_bbox_size = min_bbox_size


class RPNHead(nn.Module):
    """Proposes hboxes, or rboxes where the coder decodes them (:class:`MidpointOffsetCoder`).

    Suppression compares the horizontal boxes of oriented proposals too.

    Args:
        in_channels: Number of input channels.
        feat_channels: Number of channels of the hidden layer.
        anchor_generator: Generator of horizontal anchors.
        bbox_coder: Coder of boxes relative to anchors.
        loss_cls: Loss of the objectness logits, with a sigmoid.
        loss_bbox: Loss of encoded boxes.
        assigner: Assigner of objects to anchors.
        sampler: Sampler of anchors.
        allowed_border: Pixels by which an anchor may reach out of the image without being ignored; negative: any.
        pos_weight: Weight of positive anchors in the classification loss; 1 if not positive.
        train_proposals: Settings for the proposals that train the RoI head.
        test_proposals: Settings for the proposals of predictions.
    """

    num_classes = 1

    def __init__(
        self,
        *,
        in_channels: int,
        feat_channels: int = 256,
        anchor_generator: PriorGenerator,
        bbox_coder: BoxCoder,
        # Training
        loss_cls: Loss,
        loss_bbox: Loss,
        assigner: Assigner,
        sampler: PriorSampler,
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
            num_classes=self.num_classes,
            allowed_border=allowed_border,
            pos_weight=pos_weight,
        )
        anchors = self.num_anchors = anchor_generator.num_base_priors[0]
        self.rpn_conv = nn.Conv2d(in_channels, feat_channels, 3, padding=1)
        self.rpn_cls = nn.Conv2d(feat_channels, anchors, 1)
        self.rpn_reg = nn.Conv2d(feat_channels, anchors * bbox_coder.encode_size, 1)

    @property
    def box_kind(self) -> BoxKind:
        """Kind of the proposals."""
        return self.bbox_coder.box_kind

    @property
    def angle_version(self) -> AngleVersion | None:
        """Angle version of the proposals; None for boxes without an angle."""
        version: AngleVersion | None = getattr(self.bbox_coder, "angle_version", None)
        return version

    @property
    def nms(self) -> Suppression:
        """Suppression rule of the proposals in predictions."""
        return self.test_proposals.nms

    def init_weights(self) -> None:
        """Normal weights of standard deviation 0.01."""
        for layer in (self.rpn_conv, self.rpn_cls, self.rpn_reg):
            normal_init(layer, std=0.01)

    def forward(self, features: Sequence[Tensor]) -> Maps:
        """Logits (B, anchors, H, W) and encoded boxes (B, anchors × encode_size, H, W) of each level."""
        hidden = [self.rpn_conv(x).relu() for x in features]
        return [self.rpn_cls(x) for x in hidden], [self.rpn_reg(x) for x in hidden]

    def loss(self, raw: Maps, targets: Sequence[Instances], batch: Batch) -> dict[str, list[Tensor]]:
        """The loss terms, each a list with one value per level."""
        # The RPN knows one class: object.
        objects = [replace(target, labels=torch.zeros_like(target.labels)) for target in targets]
        goals = self.targeter(self._anchors(raw), map_sizes(raw[0]), batch, objects)
        losses: dict[str, list[Tensor]] = {"loss_rpn_cls": [], "loss_rpn_bbox": []}
        for *outputs, goal in zip(*raw, goals, strict=True):
            logits, deltas = (to_rows(x, self.num_anchors).flatten(0, 1) for x in outputs)
            total = goal.avg_factor
            losses["loss_rpn_cls"].append(self.loss_cls(logits, goal.labels, goal.label_weights, avg_factor=total))
            predicted = deltas.index_select(0, goal.rows)
            losses["loss_rpn_bbox"].append(self.loss_bbox(predicted, goal.bbox_targets, avg_factor=total))
        return losses

    @torch.no_grad()
    def decode(self, raw: Maps, batch: Batch, how: Proposals | None = None) -> Candidates:
        """The best candidates of each level, labelled with the level's index.

        Args:
            raw: Outputs of ``forward``.
            batch: Batch, for the sizes of its images.
            how: Settings for the proposals; None: those of predictions.
        """
        levels = []
        for number, (logits, deltas, anchors) in enumerate(zip(*raw, self._anchors(raw), strict=True)):
            scores = to_rows(logits, self.num_anchors).sigmoid()
            best = best_pairs(scores, score_thr=-1, nms_pre=(how or self.test_proposals).nms_pre)
            values = best.of(to_rows(deltas, self.num_anchors))
            boxes = [
                self.bbox_coder.decode(own, encoded, max_shape=size)
                for own, encoded, size in zip(anchors[best.places], values, batch.sizes, strict=True)
            ]
            labels = torch.full_like(best.labels, number)
            levels.append(Candidates(torch.stack(boxes), best.scores, labels, self.box_kind))
        return join(levels)

    @torch.no_grad()
    def propose(self, candidates: Candidates, how: Proposals | None = None) -> Candidates:
        """A fixed number of proposals per image, sorted by falling score, all of class 0.

        Args:
            candidates: Candidates of ``decode``.
            how: Settings for the proposals; None: those of predictions.
        """
        how = how or self.test_proposals
        kept = suppress_fixed(candidates, nms=how.nms, max_per_img=how.max_per_img, min_bbox_size=how.min_bbox_size)
        return kept._replace(labels=torch.zeros_like(kept.labels))

    def suppress(self, candidates: Candidates) -> list[Instances]:
        """The proposals of each image, sorted by falling score."""
        return self.propose(candidates).instances()

    def _anchors(self, raw: Maps) -> list[Tensor]:
        return self.anchor_generator.grid_priors(map_sizes(raw[0]), dtype=torch.float32, device=raw[0][0].device)
