"""The box head of two-stage detectors: two shared layers, then a class and a box for each RoI.

Girshick, "Fast R-CNN", ICCV 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from rotx import boxes as rotx_boxes
from rotx.boxes import AngleVersion, BoxKind
from rotx.models.coders.box_coder import BoxCoder
from rotx.models.layers import normal_init, xavier_init
from rotx.models.losses.reduce import Loss
from rotx.models.processes import mean_over_processes
from rotx.models.samplers.sampler import SampledPriors, indices_in_batch
from rotx.models.structures import Candidates, Size


class RoITargets(NamedTuple):
    """Targets of R RoIs, P of them positive.

    Attributes:
        labels: Classes (R,) int64; background is the number of classes.
        label_weights: Weights (R,) in the classification loss; 0 for empty slots.
        rows: Indices (P,) int64 of the positive RoIs.
        bbox_targets: Encoded boxes (P, D) of their objects.
    """

    labels: Tensor
    label_weights: Tensor
    rows: Tensor
    bbox_targets: Tensor


class Shared2FCBBoxHead(nn.Module):
    """Classifies and regresses RoIs.

    Args:
        num_classes: Number of classes, K.
        in_channels: Number of input channels.
        roi_feat_size: Height and width of the features of a RoI.
        fc_out_channels: Number of channels of the two shared layers.
        bbox_coder: Coder of boxes relative to RoIs.
        reg_class_agnostic: Whether a RoI has one box for all classes instead of one for each.
        loss_cls: Loss of (R, K + 1) logits, with a softmax.
        loss_bbox: Loss of encoded boxes, or of encoded and decoded ones; see ``loss_bbox_type``.
        loss_bbox_type: ``"kfiou"``: the regression loss takes both encoded and decoded boxes.
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

    @torch.no_grad()
    def targets(self, samples: Sequence[SampledPriors], pos_weight: float = -1) -> RoITargets:
        """Targets of the sampled RoIs of all images.

        Args:
            samples: The samples of each image.
            pos_weight: Weight of positive RoIs in the classification loss; 1 if not positive.
        """
        gt_inds = torch.cat([sample.gt_inds for sample in samples])
        numbers = indices_in_batch(samples)
        # One spare entry: a batch without objects needs no special case.
        classes = torch.cat([*(sample.targets.labels for sample in samples), numbers.new_zeros(1)])
        labels = torch.where(gt_inds > 0, classes[numbers.clamp(min=0)], self.num_classes)
        weights = torch.where(gt_inds > 0, pos_weight if pos_weight > 0 else 1.0, 1.0) * (gt_inds >= 0)
        rows = (gt_inds > 0).nonzero().squeeze(1)
        priors = torch.cat([sample.boxes for sample in samples])[rows]
        gts = torch.cat([rotx_boxes.convert(s.targets.boxes, s.targets.kind, self.box_kind) for s in samples])
        return RoITargets(labels, weights, rows, self.bbox_coder.encode(priors, gts[numbers[rows]]).to(priors.dtype))

    def loss(self, logits: Tensor, deltas: Tensor, rois: Tensor, goals: RoITargets) -> dict[str, Tensor]:
        """The loss terms, and ``acc``, the share of RoIs classified correctly, in percent."""
        labels, at, wanted = goals.labels, goals.rows, goals.bbox_targets
        logits, deltas = logits.float(), deltas.float()
        total = mean_over_processes((goals.label_weights > 0).sum(), labels.device, at_least=1.0)
        predicted = self._own_class(deltas.index_select(0, at), labels[at])
        if self.loss_bbox_type == "kfiou":
            boxes = self.bbox_coder.decode(rois[at, 1:], predicted)
            goal_boxes = self.bbox_coder.decode(rois[at, 1:], wanted)
            loss_bbox = self.loss_bbox(
                predicted, wanted, pred_decode=boxes, targets_decode=goal_boxes, avg_factor=total
            )
        else:
            loss_bbox = self.loss_bbox(predicted, wanted, avg_factor=total)
        used = goals.label_weights > 0
        right = (logits.detach().argmax(1) == labels) & used
        return {
            "loss_cls": self.loss_cls(logits, labels, goals.label_weights, avg_factor=total),
            "acc": right.sum() * 100 / used.sum().clamp(min=1),
            "loss_bbox": loss_bbox,
        }

    def refine(self, boxes: Tensor, labels: Tensor, deltas: Tensor, size: Size) -> Tensor:
        """The refined boxes (R, D') of RoIs of given classes.

        Args:
            boxes: RoIs (R, D) of one image.
            labels: Classes (R,) in 0..K-1.
            deltas: Encoded boxes of ``forward``.
            size: Size of the image; boxes are clipped to it.
        """
        return self.bbox_coder.decode(boxes, self._own_class(deltas.float(), labels), max_shape=size)

    def decode(
        self,
        proposals: Candidates,
        logits: Tensor,
        deltas: Tensor,
        sizes: Sequence[Size],
        score_thr: float,
    ) -> Candidates:
        """One candidate per class and proposal, (B, N × K).

        Args:
            proposals: N RoIs of each image.
            logits: Logits (B × N, K + 1).
            deltas: Encoded boxes of ``forward``, B × N rows.
            sizes: Size of each image.
            score_thr: Candidates need a score above this.
        """
        count, number = proposals.scores.shape
        scores = logits.float().softmax(dim=1)[:, :-1].reshape(count, number, self.num_classes)
        scores = torch.where((scores > score_thr) & proposals.valid[..., None], scores, -torch.inf)
        deltas = deltas.float().reshape(count, number, -1)
        boxes = torch.stack([self._class_boxes(*image) for image in zip(proposals.boxes, deltas, sizes, strict=True)])
        labels = torch.arange(self.num_classes, device=scores.device).expand_as(scores)
        return Candidates(boxes, scores.flatten(1), labels.flatten(1), self.box_kind)

    def _class_boxes(self, rois: Tensor, deltas: Tensor, size: Size) -> Tensor:
        """The box of each class of each RoI of an image, (N × K, D)."""
        if self.reg_class_agnostic:
            return self.bbox_coder.decode(rois, deltas, max_shape=size).repeat_interleave(self.num_classes, 0)
        rows = deltas.reshape(-1, self.bbox_coder.encode_size)
        return self.bbox_coder.decode(rois.repeat_interleave(self.num_classes, 0), rows, max_shape=size)

    def _own_class(self, deltas: Tensor, labels: Tensor) -> Tensor:
        """The encoded box (R, D) of each RoI's own class."""
        if self.reg_class_agnostic:
            return deltas
        per_class = deltas.reshape(len(deltas), self.num_classes, self.bbox_coder.encode_size)
        return per_class[torch.arange(len(deltas), device=deltas.device), labels]
