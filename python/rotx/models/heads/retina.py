"""Rotated RetinaNet's head.

Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017. With losses on decoded boxes: Yang et al., GWD
(ICML 2021), KLD (NeurIPS 2021), KFIoU (ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from rotx.boxes import AngleVersion, BoxKind
from rotx.models.assigners.assignment import Assigner
from rotx.models.coders.box_coder import BoxCoder
from rotx.models.heads.anchor_targets import AnchorTargeter, AnchorTargets
from rotx.models.heads.maps import Maps, image_rows, map_sizes, priors_at, to_rows
from rotx.models.layers import ConvModule, bias_for_probability, normal_init
from rotx.models.losses.reduce import Loss
from rotx.models.postprocess import Suppression, best_pairs, suppress
from rotx.models.priors.prior_generator import PriorGenerator
from rotx.models.samplers.pseudo_sampler import PseudoSampler
from rotx.models.samplers.sampler import PriorSampler
from rotx.models.structures import Batch, Candidates, Size, join
from rotx.records import Instances


class RetinaHead(nn.Module):
    """Classifies and regresses anchors at every place.

    ``priors`` holds the anchors of each level, (B, A, D), where another head predicts them; by default they come
    from ``anchor_generator``.

    Args:
        num_classes: Number of classes, K.
        in_channels: Number of input channels.
        stacked_convs: Number of convolutions before each output.
        feat_channels: Number of channels of these convolutions.
        anchor_generator: Generator of the anchors.
        bbox_coder: Coder of boxes relative to anchors.
        loss_cls: Loss of (N, K) logits, with a sigmoid.
        loss_bbox: Loss of encoded boxes, of decoded ones, or of both; see ``reg_decoded_bbox``, ``loss_bbox_type``.
        reg_decoded_bbox: Whether the regression loss compares decoded boxes, in pixels, instead of encoded ones.
        loss_bbox_type: ``"kfiou"``: the regression loss takes both encoded and decoded boxes.
        assigner: Assigner of objects to anchors.
        sampler: Sampler of anchors; by default it takes all, as focal loss needs.
        allowed_border: Pixels by which an anchor may reach out of the image without being ignored; negative: any.
        pos_weight: Weight of positive anchors in the classification loss; 1 if not positive.
        nms_pre: Number of candidates to keep in each level, before suppression.
        score_thr: Candidates need a score above this.
        nms: Suppression rule; it applies within each class.
        max_per_img: Number of detections to keep in an image.
        min_bbox_size: Boxes need a width and a height above this, in pixels; negative: no limit.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        stacked_convs: int = 4,
        feat_channels: int = 256,
        anchor_generator: PriorGenerator,
        bbox_coder: BoxCoder,
        # Training
        loss_cls: Loss,
        loss_bbox: Loss,
        reg_decoded_bbox: bool = False,
        loss_bbox_type: Literal["normal", "kfiou"] = "normal",
        assigner: Assigner,
        sampler: PriorSampler | None = None,
        allowed_border: float = -1,
        pos_weight: float = -1,
        # Inference
        nms_pre: int = 2000,
        score_thr: float = 0.05,
        nms: Suppression,
        max_per_img: int = 2000,
        min_bbox_size: float = -1,
    ) -> None:
        super().__init__()
        if loss_bbox_type not in ("normal", "kfiou"):
            raise ValueError(f"loss_bbox_type: need 'normal' or 'kfiou', got {loss_bbox_type!r}")
        self.num_classes = num_classes
        self.anchor_generator = anchor_generator
        self.bbox_coder = bbox_coder
        self.loss_cls = loss_cls
        self.loss_bbox = loss_bbox
        self.reg_decoded_bbox = reg_decoded_bbox
        self.loss_bbox_type = loss_bbox_type
        self.nms_pre = nms_pre
        self.score_thr = score_thr
        self.nms = nms
        self.max_per_img = max_per_img
        self.min_bbox_size = min_bbox_size
        self.targeter = AnchorTargeter(
            anchor_generator=anchor_generator,
            bbox_coder=bbox_coder,
            assigner=assigner,
            sampler=sampler or PseudoSampler(),
            num_classes=num_classes,
            reg_decoded_bbox=reg_decoded_bbox,
            allowed_border=allowed_border,
            pos_weight=pos_weight,
        )
        self.num_anchors = anchor_generator.num_base_priors[0]
        widths = [in_channels] + [feat_channels] * stacked_convs
        self.cls_convs = nn.ModuleList(ConvModule(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.reg_convs = nn.ModuleList(ConvModule(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.retina_cls = nn.Conv2d(feat_channels, self.num_anchors * num_classes, 3, padding=1)
        self.retina_reg = nn.Conv2d(feat_channels, self.num_anchors * bbox_coder.encode_size, 3, padding=1)

    @property
    def box_kind(self) -> BoxKind:
        """Kind of the boxes that the head predicts."""
        return self.bbox_coder.box_kind

    @property
    def angle_version(self) -> AngleVersion | None:
        """Angle version of the boxes; None for boxes without an angle."""
        version: AngleVersion | None = getattr(self.bbox_coder, "angle_version", None)
        return version

    def init_weights(self) -> None:
        """Normal weights of standard deviation 0.01; every class starts with probability 0.01."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                normal_init(layer, std=0.01)
        normal_init(self.retina_cls, std=0.01, bias=bias_for_probability(0.01))

    def forward(self, features: Sequence[Tensor]) -> Maps:
        """Logits (B, anchors × K, H, W) and encoded boxes (B, anchors × encode_size, H, W) of each level."""
        return tuple(map(list, zip(*map(self.forward_level, features), strict=True)))

    def forward_level(self, x: Tensor) -> tuple[Tensor, ...]:
        """The outputs of one level."""
        cls, reg = self.towers(x)
        return self.retina_cls(cls), self.retina_reg(reg)

    def towers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The features that the classification and the regression outputs of one level are computed from."""
        cls, reg = x, x
        for layer in self.cls_convs:
            cls = layer(cls)
        for layer in self.reg_convs:
            reg = layer(reg)
        return cls, reg

    def loss(
        self, raw: Maps, targets: Sequence[Instances], batch: Batch, priors: Sequence[Tensor] | None = None
    ) -> dict[str, list[Tensor]]:
        """The loss terms, each a list with one value per level."""
        sizes = map_sizes(raw[0])
        goals = self.targeter(self._priors(raw) if priors is None else priors, sizes, batch, targets)
        losses: dict[str, list[Tensor]] = {}
        for outputs, goal in zip(zip(*raw, strict=True), goals, strict=True):
            rows = tuple(to_rows(output, self.num_anchors).flatten(0, 1) for output in outputs)
            for name, value in self.level_loss(rows, goal).items():
                losses.setdefault(name, []).append(value)
        return losses

    def level_loss(self, rows: tuple[Tensor, ...], goal: AnchorTargets) -> dict[str, Tensor]:
        """The loss terms of one level.

        Args:
            rows: The outputs of the level, one row per anchor of each image.
            goal: Targets of the level.
        """
        logits, predicted = rows[0], rows[1].index_select(0, goal.rows)
        wanted, total = goal.bbox_targets, goal.avg_factor
        decoded = self.reg_decoded_bbox or self.loss_bbox_type == "kfiou"
        boxes = self.bbox_coder.decode(goal.anchors, predicted) if decoded else predicted
        if self.loss_bbox_type == "kfiou":
            goals = wanted if self.reg_decoded_bbox else self.bbox_coder.decode(goal.anchors, wanted)
            loss_bbox = self.loss_bbox(predicted, wanted, pred_decode=boxes, targets_decode=goals, avg_factor=total)
        else:
            loss_bbox = self.loss_bbox(boxes, wanted, avg_factor=total)
        loss_cls = self.loss_cls(logits, goal.labels, goal.label_weights, avg_factor=total)
        return {"loss_cls": loss_cls, "loss_bbox": loss_bbox}

    @torch.no_grad()
    def decode(self, raw: Maps, batch: Batch, priors: Sequence[Tensor] | None = None) -> Candidates:
        """The best candidates of each level."""
        levels = []
        for outputs, level in zip(zip(*raw, strict=True), priors or self._priors(raw), strict=True):
            logits, *others = (to_rows(output, self.num_anchors) for output in outputs)
            best = best_pairs(logits.sigmoid(), self.score_thr, self.nms_pre)
            anchors = priors_at(level, image_rows(best.places), best.places)
            boxes = [
                self.to_boxes(values, own, size)
                for *values, own, size in zip(*map(best.of, others), anchors, batch.sizes, strict=True)
            ]
            levels.append(Candidates(torch.stack(boxes), best.scores, best.labels, self.box_kind))
        return join(levels)

    def suppress(self, candidates: Candidates) -> list[Instances]:
        """The detections of each image, sorted by falling score."""
        return suppress(candidates, nms=self.nms, max_per_img=self.max_per_img, min_bbox_size=self.min_bbox_size)

    @torch.no_grad()
    def refine(self, raw: Maps, priors: Sequence[Tensor] | None = None) -> list[Tensor]:
        """The decoded box of the best anchor of each place, (B, H × W, D) for each level: priors of the next head."""
        refined = []
        for outputs, level in zip(zip(*raw, strict=True), priors or self._priors(raw), strict=True):
            logits, deltas = (to_rows(output, self.num_anchors) for output in outputs[:2])
            scores = logits.amax(dim=2).reshape(len(logits), -1, self.num_anchors)  # (B, H × W, anchors)
            best = scores.argmax(dim=2) + torch.arange(scores.shape[1], device=scores.device) * self.num_anchors
            images = image_rows(best)
            refined.append(self.bbox_coder.decode(priors_at(level, images, best), deltas[images, best]))
        return refined

    def to_boxes(self, outputs: Sequence[Tensor], anchors: Tensor, size: Size) -> Tensor:
        """Boxes (N, D) of one image.

        Args:
            outputs: The outputs other than the logits, one row per anchor.
            anchors: Anchors (N, D).
            size: Size of the image.
        """
        return self.bbox_coder.decode(anchors, outputs[0], max_shape=size)

    def _priors(self, raw: Maps) -> list[Tensor]:
        return self.anchor_generator.grid_priors(map_sizes(raw[0]), dtype=torch.float32, device=raw[0][0].device)
