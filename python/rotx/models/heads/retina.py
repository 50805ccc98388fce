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

from rotx.models.assigners.max_iou import MaxIoUAssigner
from rotx.models.coders.box_coder import BoxCoder
from rotx.models.heads.anchor_targets import AnchorTargeter, AnchorTargets
from rotx.models.heads.maps import map_sizes, to_rows
from rotx.models.layers import ConvModule, bias_for_probability, normal_init
from rotx.models.losses.reduce import Loss
from rotx.models.postprocess import Suppression, best_candidates, suppress
from rotx.models.priors.anchors import AnchorGenerator
from rotx.models.samplers.pseudo_sampler import PseudoSampler
from rotx.models.samplers.sampler import Sampler
from rotx.models.structures import Batch, Detections, Size, Targets

#: Maps of each level, one list for each output of the head.
Maps = tuple[list[Tensor], ...]


class RetinaHead(nn.Module):
    """Classifies and regresses rotated anchors at every place.

    Args:
        num_classes: K.
        in_channels: of the features.
        stacked_convs: layers before each output.
        feat_channels: of those layers.
        anchor_generator: rotated anchors.
        bbox_coder: of rboxes relative to anchors.
        loss_cls: of (N, K) logits, with a sigmoid.
        loss_bbox: of encoded boxes, of decoded ones, or of both; see ``reg_decoded_bbox``, ``loss_bbox_type``.
        reg_decoded_bbox: the regression loss compares boxes, in pixels, not their encoding.
        loss_bbox_type: ``"kfiou"``: the regression loss gets encoded and decoded boxes.
        assigner: of objects to anchors.
        sampler: all anchors take part by default, as the focal loss needs.
        allowed_border: anchors that reach further out of the image, in pixels, do not learn; all do if negative.
        pos_weight: of positive anchors in the classification; 1 if not positive.
        nms_pre: the best of each level, before suppression.
        score_thr: scores must exceed it.
        nms: suppression within each class.
        max_per_img: how many detections to keep.
        min_bbox_size: width and height, in pixels, must exceed it; no limit if negative.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        stacked_convs: int = 4,
        feat_channels: int = 256,
        anchor_generator: AnchorGenerator,
        bbox_coder: BoxCoder,
        # Training
        loss_cls: Loss,
        loss_bbox: Loss,
        reg_decoded_bbox: bool = False,
        loss_bbox_type: Literal["normal", "kfiou"] = "normal",
        assigner: MaxIoUAssigner,
        sampler: Sampler | None = None,
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
        """What the outputs of classification and of regression are made from, of one level."""
        cls, reg = x, x
        for layer in self.cls_convs:
            cls = layer(cls)
        for layer in self.reg_convs:
            reg = layer(reg)
        return cls, reg

    def loss(self, features: Sequence[Tensor], batch: Batch, targets: Sequence[Targets]) -> dict[str, list[Tensor]]:
        """The loss terms, each a list with a value for each level."""
        maps = self(features)
        sizes = map_sizes(maps[0])
        anchors = self.anchor_generator.grid_priors(sizes, dtype=torch.float32, device=maps[0][0].device)
        goals = self.targeter(anchors, sizes, batch, targets).levels([len(level) for level in anchors])
        losses: dict[str, list[Tensor]] = {}
        for outputs, priors, goal in zip(zip(*maps, strict=True), anchors, goals, strict=True):
            rows = tuple(to_rows(output, self.num_anchors).flatten(0, 1) for output in outputs)
            repeated = priors.repeat(len(batch.sizes), 1)[goal.positive]
            for name, value in self.level_loss(rows, repeated, goal).items():
                losses.setdefault(name, []).append(value)
        return losses

    def level_loss(self, rows: tuple[Tensor, ...], anchors: Tensor, goal: AnchorTargets) -> dict[str, Tensor]:
        """The loss terms of one level.

        Args:
            rows: each output with a row for each anchor of each image.
            anchors: (P, 5) those that stand for an object.
            goal: what to learn.
        """
        logits, deltas = rows[:2]
        at, total = goal.positive, goal.avg_factor
        predicted, wanted = deltas[at], goal.bbox_targets[at]
        decoded = self.reg_decoded_bbox or self.loss_bbox_type == "kfiou"
        boxes = self.bbox_coder.decode(anchors, predicted) if decoded else predicted
        if self.loss_bbox_type == "kfiou":
            goals = wanted if self.reg_decoded_bbox else self.bbox_coder.decode(anchors, wanted)
            loss_bbox = self.loss_bbox(predicted, wanted, pred_decode=boxes, targets_decode=goals, avg_factor=total)
        else:
            loss_bbox = self.loss_bbox(boxes, wanted, avg_factor=total)
        loss_cls = self.loss_cls(logits, goal.labels, goal.label_weights, avg_factor=total)
        return {"loss_cls": loss_cls, "loss_bbox": loss_bbox}

    @torch.no_grad()
    def predict(self, features: Sequence[Tensor], batch: Batch) -> list[Detections]:
        """The detections of each image, best first."""
        maps = self(features)
        sizes = map_sizes(maps[0])
        anchors = self.anchor_generator.grid_priors(sizes, dtype=torch.float32, device=maps[0][0].device)
        flat = [[to_rows(output, self.num_anchors) for output in outputs] for outputs in zip(*maps, strict=True)]
        found = []
        for i, size in enumerate(batch.sizes):
            levels = [
                self._level_candidates(tuple(output[i] for output in outputs), priors, size)
                for outputs, priors in zip(flat, anchors, strict=True)
            ]
            boxes, scores, labels = (torch.cat(values) for values in zip(*levels, strict=True))
            found.append(
                suppress(
                    boxes,
                    scores,
                    labels,
                    nms=self.nms,
                    max_per_img=self.max_per_img,
                    min_bbox_size=self.min_bbox_size,
                )
            )
        return found

    def _level_candidates(self, rows: tuple[Tensor, ...], anchors: Tensor, size: Size) -> tuple[Tensor, Tensor, Tensor]:
        scores, places, labels = best_candidates(rows[0].sigmoid(), self.score_thr, self.nms_pre)
        boxes = self.decode(tuple(values[places] for values in rows[1:]), anchors[places], size)
        return boxes, scores, labels

    def decode(self, outputs: tuple[Tensor, ...], anchors: Tensor, size: Size) -> Tensor:
        """Boxes (N, 5) from the outputs besides the scores, a row for each anchor."""
        return self.bbox_coder.decode(anchors, outputs[0], max_shape=size)
