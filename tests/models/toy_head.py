"""A detector that docs/models.md leads to: the one file that a new head needs, as a plug-in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rotx import register
from rotx.models.coders.distance_angle_point import DistanceAnglePointCoder
from rotx.models.layers import bias_for_probability, normal_init
from rotx.models.losses.reduce import Loss
from rotx.models.postprocess import Suppression, best_pairs, suppress
from rotx.models.priors.points import MlvlPointGenerator
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances

#: Logits (B, K, H, W), and distances and angles (B, 5, H, W).
Raw = tuple[Tensor, Tensor]


@register
class ToyHead(nn.Module):
    """Every place of one feature map finds the smallest object that it lies in.

    Args:
        num_classes: Number of classes K.
        in_channels: Number of input channels.
        stride: Stride of the map, in pixels.
        bbox_coder: Coder of points and distances to rboxes.
        loss_cls: Loss of (N, K) logits, with a sigmoid.
        loss_bbox: Loss of distances, in strides, and angles, (P, 5).
        score_thr: Scores must exceed it.
        nms: Suppression within each class.
        max_per_img: Number of detections to keep.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        stride: int,
        bbox_coder: DistanceAnglePointCoder,
        loss_cls: Loss,
        loss_bbox: Loss,
        score_thr: float,
        nms: Suppression,
        max_per_img: int,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.box_kind, self.angle_version = bbox_coder.box_kind, bbox_coder.angle_version
        self.stride = stride
        self.points = MlvlPointGenerator([stride])
        self.bbox_coder = bbox_coder
        self.loss_cls = loss_cls
        self.loss_bbox = loss_bbox
        self.score_thr = score_thr
        self.nms = nms
        self.max_per_img = max_per_img
        self.conv_cls = nn.Conv2d(in_channels, num_classes, 3, padding=1)
        self.conv_reg = nn.Conv2d(in_channels, 5, 3, padding=1)

    def init_weights(self) -> None:
        """Small normal weights; every class starts with probability 0.01."""
        normal_init(self.conv_reg, std=0.01)
        normal_init(self.conv_cls, std=0.01, bias=bias_for_probability(0.01))

    def forward(self, features: Sequence[Tensor]) -> Raw:
        """Logits (B, K, H, W), and distances and angles (B, 5, H, W), of the first map."""
        return self.conv_cls(features[0]), self.conv_reg(features[0])

    def loss(self, raw: Raw, targets: Sequence[Instances], batch: Batch) -> dict[str, Tensor]:
        """The loss terms."""
        (logits, values), points = self._rows(raw)
        goals = [self._goals(points, target) for target in targets]
        labels, wanted = (torch.cat(rows) for rows in zip(*goals, strict=True))
        at = (labels < self.num_classes).nonzero().squeeze(1)
        total = max(len(at), 1)
        return {
            "loss_cls": self.loss_cls(logits.flatten(0, 1), labels, avg_factor=total),
            "loss_bbox": self.loss_bbox(values.flatten(0, 1)[at], wanted[at], avg_factor=total),
        }

    @torch.no_grad()
    def decode(self, raw: Raw, batch: Batch) -> Candidates:
        """The best candidates of each image."""
        (logits, values), points = self._rows(raw)
        best = best_pairs(logits.sigmoid(), self.score_thr, nms_pre=1000)
        encoded = best.of(values) * self._units(values)
        return Candidates(self.bbox_coder.decode(points[best.places], encoded), best.scores, best.labels, self.box_kind)

    def suppress(self, candidates: Candidates) -> list[Instances]:
        """The detections of each image, best first."""
        return suppress(candidates, nms=self.nms, max_per_img=self.max_per_img, min_bbox_size=0)

    def _rows(self, raw: Raw) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Both outputs as (B, H × W, C), in float32, and the points (H × W, 2)."""
        (points,) = self.points.grid_priors([tuple(raw[0].shape[-2:])], torch.float32, raw[0].device)
        logits, values = (x.permute(0, 2, 3, 1).flatten(1, 2).float() for x in raw)
        return (logits, values), points

    def _goals(self, points: Tensor, target: Instances) -> tuple[Tensor, Tensor]:
        """Labels (P,), background K, and distances and angles (P, 5) that the points are to learn."""
        labels = torch.full((len(points),), self.num_classes, device=points.device)
        if len(target.boxes) == 0:
            return labels, points.new_zeros((len(points), 5))
        pairs = (len(points), len(target.boxes), -1)
        boxes = target.boxes.to(points)[None].expand(pairs)
        encoded = self.bbox_coder.encode(points[:, None].expand(pairs), boxes)  # (P, M, 5)
        areas = torch.where(encoded[..., :4].amin(2) > 0, boxes[..., 2] * boxes[..., 3], torch.inf)
        area, nearest = areas.min(dim=1)
        labels = torch.where(area < torch.inf, target.labels[nearest], labels)
        return labels, encoded[torch.arange(len(points)), nearest] / self._units(points)

    def _units(self, like: Tensor) -> Tensor:
        """What the five values are multiples of: strides, and radians."""
        return like.new_tensor([self.stride] * 4 + [1])
