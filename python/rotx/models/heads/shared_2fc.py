"""The box head of two-stage detectors: two shared layers, then a class and a box for each RoI.

Girshick, "Fast R-CNN", ICCV 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from rotx.models.coders.box_coder import BoxCoder
from rotx.models.layers import normal_init, xavier_init
from rotx.models.losses.reduce import Loss
from rotx.models.postprocess import Suppression, multiclass_nms
from rotx.models.processes import mean_over_processes
from rotx.models.samplers.sampler import Samples
from rotx.models.structures import Detections, Size


class RoITargets(NamedTuple):
    """What R RoIs are to learn.

    Attributes:
        labels: (R,) int64; background is the number of classes.
        label_weights: (R,).
        bbox_targets: (R, D) encoded boxes; 0 for the background.
    """

    labels: Tensor
    label_weights: Tensor
    bbox_targets: Tensor


class Shared2FCBBoxHead(nn.Module):
    """Classifies and regresses RoIs.

    Args:
        num_classes: K.
        in_channels: of the features.
        roi_feat_size: height and width of a RoI's features.
        fc_out_channels: of the two shared layers.
        bbox_coder: of rboxes relative to RoIs.
        reg_class_agnostic: one box for all classes of a RoI.
        loss_cls: of (R, K + 1) logits, with a softmax.
        loss_bbox: of encoded boxes, or of encoded and decoded ones: ``loss_bbox_type``.
        loss_bbox_type: ``"kfiou"``: the regression loss gets encoded and decoded boxes.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        roi_feat_size: int = 7,
        fc_out_channels: int = 1024,
        bbox_coder: BoxCoder,
        reg_class_agnostic: bool = False,
        # Training
        loss_cls: Loss,
        loss_bbox: Loss,
        loss_bbox_type: Literal["normal", "kfiou"] = "normal",
    ) -> None:
        super().__init__()
        if loss_bbox_type not in ("normal", "kfiou"):
            raise ValueError(f"loss_bbox_type: need 'normal' or 'kfiou', got {loss_bbox_type!r}")
        self.num_classes = num_classes
        self.bbox_coder = bbox_coder
        self.reg_class_agnostic = reg_class_agnostic
        self.loss_cls = loss_cls
        self.loss_bbox = loss_bbox
        self.loss_bbox_type = loss_bbox_type
        boxes = 1 if reg_class_agnostic else num_classes
        self.shared_fcs = nn.ModuleList(
            [
                nn.Linear(in_channels * roi_feat_size**2, fc_out_channels),
                nn.Linear(fc_out_channels, fc_out_channels),
            ]
        )
        self.fc_cls = nn.Linear(fc_out_channels, num_classes + 1)
        self.fc_reg = nn.Linear(fc_out_channels, boxes * bbox_coder.encode_size)

    def init_weights(self) -> None:
        """Xavier for the shared layers, small normal weights for the outputs."""
        for layer in self.shared_fcs:
            xavier_init(layer)
        normal_init(self.fc_cls, std=0.01)
        normal_init(self.fc_reg, std=0.001)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, K + 1) and encoded boxes (R, D or K × D) of features (R, C, h, w)."""
        x = x.flatten(1)
        for layer in self.shared_fcs:
            x = layer(x).relu()
        return self.fc_cls(x), self.fc_reg(x)

    def targets(self, samples: Sequence[Samples], pos_weight: float = -1) -> RoITargets:
        """What the sampled RoIs are to learn, the positive ones of each image before the others."""
        labels, weights, encoded = [], [], []
        for sample in samples:
            positives, negatives = len(sample.pos_inds), len(sample.neg_inds)
            background = sample.pos_gt_labels.new_full((negatives,), self.num_classes)
            labels.append(torch.cat([sample.pos_gt_labels, background]))
            like = sample.pos_priors
            weights.append(
                torch.cat(
                    [
                        like.new_full((positives,), pos_weight if pos_weight > 0 else 1.0),
                        like.new_ones(negatives),
                    ]
                )
            )
            goals = self.bbox_coder.encode(sample.pos_priors, sample.pos_gts)
            encoded.append(torch.cat([goals.to(like), like.new_zeros((negatives, self.bbox_coder.encode_size))]))
        return RoITargets(torch.cat(labels), torch.cat(weights), torch.cat(encoded))

    def loss(self, logits: Tensor, deltas: Tensor, rois: Tensor, goals: RoITargets) -> dict[str, Tensor]:
        """The loss terms, and the share of RoIs whose class is right, ``acc``, in percent."""
        labels = goals.labels
        logits, deltas = logits.float(), deltas.float()
        total = mean_over_processes((goals.label_weights > 0).sum(), labels.device, at_least=1.0)
        at = (labels < self.num_classes).nonzero().squeeze(1)
        predicted, wanted = self._own_class(deltas, labels.clamp(max=self.num_classes - 1))[at], goals.bbox_targets[at]
        count = mean_over_processes(len(labels), labels.device, at_least=1.0)
        if self.loss_bbox_type == "kfiou":
            boxes = self.bbox_coder.decode(rois[at, 1:], predicted)
            goal_boxes = self.bbox_coder.decode(rois[at, 1:], wanted)
            loss_bbox = self.loss_bbox(
                predicted, wanted, pred_decode=boxes, targets_decode=goal_boxes, avg_factor=count
            )
        else:
            loss_bbox = self.loss_bbox(predicted, wanted, avg_factor=count)
        right = (logits.detach().argmax(1) == labels).float()
        return {
            "loss_cls": self.loss_cls(logits, labels, goals.label_weights, avg_factor=total),
            "acc": right.sum() * 100 / max(len(labels), 1),
            "loss_bbox": loss_bbox,
        }

    def refine(self, boxes: Tensor, labels: Tensor, deltas: Tensor, size: Size) -> Tensor:
        """Boxes (R, 5) that RoIs become, by the class of each.

        Args:
            boxes: (R, 4) or (R, 5) RoIs of one image.
            labels: (R,) in 0..K-1.
            deltas: as forward returns them.
            size: of the image: boxes are clipped to it.
        """
        return self.bbox_coder.decode(boxes, self._own_class(deltas.float(), labels), max_shape=size)

    def predict(
        self,
        boxes: Tensor,
        logits: Tensor,
        deltas: Tensor,
        size: Size,
        *,
        score_thr: float,
        nms: Suppression,
        max_per_img: int,
    ) -> Detections:
        """The detections of one image.

        Args:
            boxes: (R, 4) or (R, 5) RoIs.
            logits: (R, K + 1).
            deltas: as forward returns them.
            size: of the image.
            score_thr: scores must exceed it.
            nms: suppression within each class.
            max_per_img: how many to keep.
        """
        scores = logits.float().softmax(dim=1)[:, :-1]
        deltas = deltas.float()
        if self.reg_class_agnostic:
            decoded = self.bbox_coder.decode(boxes, deltas, max_shape=size)
        else:
            rows = deltas.reshape(-1, self.bbox_coder.encode_size)
            decoded = self.bbox_coder.decode(boxes.repeat_interleave(self.num_classes, 0), rows, max_shape=size)
            decoded = decoded.reshape(len(boxes), self.num_classes, 5)
        return multiclass_nms(decoded, scores, score_thr=score_thr, nms=nms, max_per_img=max_per_img)

    def _own_class(self, deltas: Tensor, labels: Tensor) -> Tensor:
        """The encoded box (R, D) of each RoI's own class."""
        if self.reg_class_agnostic:
            return deltas
        per_class = deltas.reshape(len(deltas), self.num_classes, self.bbox_coder.encode_size)
        return per_class[torch.arange(len(deltas), device=deltas.device), labels]
