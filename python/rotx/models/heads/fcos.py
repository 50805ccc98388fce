"""Rotated FCOS's head.

Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, with an output for the angle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rotx.boxes import AngleVersion, regularize
from rotx.models.coders.angle_coder import AngleCoder, PseudoAngleCoder
from rotx.models.coders.distance_angle_point import DistanceAnglePointCoder
from rotx.models.heads.maps import map_sizes, to_rows
from rotx.models.layers import GN, ConvModule, Norm, Scale, bias_for_probability, normal_init
from rotx.models.losses.reduce import Loss
from rotx.models.postprocess import Suppression, best_candidates, suppress
from rotx.models.priors.points import MlvlPointGenerator
from rotx.models.processes import mean_over_processes
from rotx.models.structures import Batch, Detections, Size, Targets

#: Farther than any object reaches, in pixels; a larger area than any, in square pixels.
INF = 1e8

#: How many objects are compared with all points at once; bounds the memory.
OBJECTS_AT_ONCE = 128


class PointTargets(NamedTuple):
    """What P points are to learn.

    Attributes:
        labels: (P,) int64; background is the number of classes.
        distances: (P, 4) left, top, right, bottom of the object, in its own frame, in pixels.
        angles: (P, 1) radians.
    """

    labels: Tensor
    distances: Tensor
    angles: Tensor


class RotatedFCOSHead(nn.Module):
    """Classifies every place and regresses the four sides of its object, their angle and its centerness.

    Args:
        num_classes: K.
        in_channels: of the features.
        stacked_convs: layers before each output.
        feat_channels: of those layers.
        strides: of each level, in pixels.
        regress_ranges: of each level, the least and greatest distance to a side that it is for, in pixels.
        center_sampling: only points near the centre of an object stand for it.
        center_sample_radius: how near, in strides.
        norm_on_bbox: distances are learnt in strides, not as logarithms of pixels.
        centerness_on_reg: the centerness comes from the layers of the regression.
        angle_version: ``"oc"``, ``"le90"`` or ``"le135"``.
        scale_angle: the angle has a learnt factor.
        norm_cfg: of the layers; None for none.
        angle_coder: what the angle's output holds.
        bbox_coder: points and distances to rboxes.
        loss_cls: of (N, K) logits, with a sigmoid.
        loss_bbox: of rboxes; of hboxes (distances without the angle) if ``use_hbbox_loss``.
        loss_centerness: of logits.
        loss_angle: of the angle's code; required with ``use_hbbox_loss``.
        use_hbbox_loss: angle and distances are learnt apart.
        nms_pre: the best of each level, before suppression.
        score_thr: class scores must exceed it.
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
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        regress_ranges: Sequence[Sequence[float]] = ((-1, 64), (64, 128), (128, 256), (256, 512), (512, INF)),
        center_sampling: bool = False,
        center_sample_radius: float = 1.5,
        norm_on_bbox: bool = False,
        centerness_on_reg: bool = False,
        angle_version: AngleVersion = "le90",
        scale_angle: bool = True,
        norm_cfg: Norm | None = GN(num_groups=32),  # noqa: B008
        angle_coder: AngleCoder | None = None,
        bbox_coder: DistanceAnglePointCoder,
        # Training
        loss_cls: Loss,
        loss_bbox: Loss,
        loss_centerness: Loss,
        loss_angle: Loss | None = None,
        use_hbbox_loss: bool = False,
        # Inference
        nms_pre: int = 2000,
        score_thr: float = 0.05,
        nms: Suppression,
        max_per_img: int = 2000,
        min_bbox_size: float = -1,
    ) -> None:
        super().__init__()
        if len(strides) != len(regress_ranges):
            raise ValueError(f"regress_ranges: need one for each of {len(strides)} strides, got {len(regress_ranges)}")
        if use_hbbox_loss and loss_angle is None:
            raise ValueError("use_hbbox_loss: needs loss_angle, or nothing would learn the angle")
        self.num_classes = num_classes
        self.strides = list(strides)
        self.regress_ranges = [tuple(limits) for limits in regress_ranges]
        self.center_sampling = center_sampling
        self.center_sample_radius = center_sample_radius
        self.norm_on_bbox = norm_on_bbox
        self.centerness_on_reg = centerness_on_reg
        self.angle_version = angle_version
        self.angle_coder = angle_coder or PseudoAngleCoder()
        self.bbox_coder = bbox_coder
        self.loss_cls = loss_cls
        self.loss_bbox = loss_bbox
        self.loss_centerness = loss_centerness
        self.loss_angle = loss_angle
        self.use_hbbox_loss = use_hbbox_loss
        self.nms_pre = nms_pre
        self.score_thr = score_thr
        self.nms = nms
        self.max_per_img = max_per_img
        self.min_bbox_size = min_bbox_size
        self.points = MlvlPointGenerator(strides)

        widths = [in_channels] + [feat_channels] * stacked_convs
        pairs = list(pairwise(widths))
        self.cls_convs = nn.ModuleList(ConvModule(a, b, 3, padding=1, norm=norm_cfg) for a, b in pairs)
        self.reg_convs = nn.ModuleList(ConvModule(a, b, 3, padding=1, norm=norm_cfg) for a, b in pairs)
        self.conv_cls = nn.Conv2d(feat_channels, num_classes, 3, padding=1)
        self.conv_reg = nn.Conv2d(feat_channels, 4, 3, padding=1)
        self.conv_centerness = nn.Conv2d(feat_channels, 1, 3, padding=1)
        self.conv_angle = nn.Conv2d(feat_channels, self.angle_coder.encode_size, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in strides)
        self.scale_angle = Scale() if scale_angle else None

    def init_weights(self) -> None:
        """Normal weights of standard deviation 0.01; every class starts with probability 0.01."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                normal_init(layer, std=0.01)
        normal_init(self.conv_cls, std=0.01, bias=bias_for_probability(0.01))

    def forward(
        self, features: Sequence[Tensor], in_pixels: bool = True
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Logits, distances, angle codes and centerness logits of each level, (B, channels, H, W).

        Args:
            features: of each level.
            in_pixels: distances in pixels; else as they are learnt: in strides, with ``norm_on_bbox``.
        """
        levels = []
        for x, scale, stride in zip(features, self.scales, self.strides, strict=True):
            cls, reg = x, x
            for layer in self.cls_convs:
                cls = layer(cls)
            for layer in self.reg_convs:
                reg = layer(reg)
            centerness = self.conv_centerness(reg if self.centerness_on_reg else cls)
            # In float32 from here on: half precision overflows.
            distances = scale(self.conv_reg(reg)).float()
            distances = distances.clamp(min=0) if self.norm_on_bbox else distances.exp()
            if self.norm_on_bbox and in_pixels:
                distances = distances * stride
            angle = self.conv_angle(reg)
            if self.scale_angle is not None:
                angle = self.scale_angle(angle).float()
            levels.append((self.conv_cls(cls), distances, angle, centerness))
        cls_maps, reg_maps, angle_maps, centerness_maps = (list(maps) for maps in zip(*levels, strict=True))
        return cls_maps, reg_maps, angle_maps, centerness_maps

    def loss(self, features: Sequence[Tensor], batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """The loss terms."""
        maps = self(features, in_pixels=False)
        sizes = map_sizes(maps[0])
        levels = self.points.grid_priors(sizes, dtype=torch.float32, device=maps[0][0].device)
        # From here on: (B × P) rows, the points of an image together.
        logits, distances, codes, centerness = (
            torch.cat([to_rows(x) for x in outputs], dim=1).flatten(0, 1) for outputs in maps
        )
        found = [self.point_targets(levels, target) for target in targets]
        labels, goals, angles = (torch.cat(values) for values in zip(*found, strict=True))
        lengths = [len(level) for level in levels]
        strides = torch.cat([goals.new_full((n, 1), stride) for n, stride in zip(lengths, self.strides, strict=True)])
        if self.norm_on_bbox:
            goals = goals / strides.repeat(len(targets), 1)

        at = (labels < self.num_classes).nonzero().squeeze(1)
        total = mean_over_processes(len(at), labels.device, at_least=1.0)
        losses = {"loss_cls": self.loss_cls(logits, labels, avg_factor=total)}
        points = torch.cat(levels).repeat(len(targets), 1)[at]
        losses |= self._object_losses(points, distances[at], codes[at], centerness[at], goals[at], angles[at], total)
        return losses

    def _object_losses(
        self,
        points: Tensor,
        distances: Tensor,
        codes: Tensor,
        centerness: Tensor,
        goals: Tensor,
        angles: Tensor,
        total: float,
    ) -> dict[str, Tensor]:
        """The loss terms of the points that stand for objects."""
        # Everything that predicts stays in the graph, also without objects: processes must agree on gradients.
        nothing = distances.sum() * 0 + codes.sum() * 0 + centerness.sum() * 0
        weights = centerness_targets(goals)
        weight_sum = mean_over_processes(weights.sum(), goals.device, at_least=1e-6)
        if self.use_hbbox_loss:
            predicted, wanted = _distances_to_hbox(points, distances), _distances_to_hbox(points, goals)
        else:
            decoded = self.angle_coder.decode(codes, keepdim=True)
            predicted = self.bbox_coder.decode(points, torch.cat([distances, decoded], dim=1))
            wanted = self.bbox_coder.decode(points, torch.cat([goals, angles], dim=1))
        if len(points) == 0:
            losses = {"loss_bbox": nothing, "loss_centerness": nothing}
            return losses if self.loss_angle is None else {**losses, "loss_angle": nothing}
        losses = {
            "loss_bbox": self.loss_bbox(predicted, wanted, weight=weights, avg_factor=weight_sum),
            "loss_centerness": self.loss_centerness(centerness.squeeze(1), weights, avg_factor=total),
        }
        if self.loss_angle is not None:
            losses["loss_angle"] = self.loss_angle(codes, self.angle_coder.encode(angles), avg_factor=total)
        return losses

    def point_targets(self, levels: list[Tensor], target: Targets) -> PointTargets:
        """What the points of an image are to learn: each the smallest object that holds it.

        Args:
            levels: (P_level, 2) points of each level.
            target: the objects.
        """
        points = torch.cat(levels)
        lengths = [len(level) for level in levels]
        limits = torch.cat(
            [points.new_tensor(range_).expand(n, 2) for n, range_ in zip(lengths, self.regress_ranges, strict=True)]
        )
        near = torch.cat(
            [
                points.new_full((n,), stride * self.center_sample_radius)
                for n, stride in zip(lengths, self.strides, strict=True)
            ]
        )
        boxes = regularize(target.boxes.to(points), self.angle_version)
        areas = boxes[:, 2] * boxes[:, 3]
        best_area = points.new_full((len(points),), INF)
        best = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        for start in range(0, len(boxes), OBJECTS_AT_ONCE):
            some = boxes[start : start + OBJECTS_AT_ONCE]
            x, y = _offsets(points[:, None], some[None])
            half_w, half_h = some[None, :, 2] / 2, some[None, :, 3] / 2
            holds = (half_w - x.abs() > 0) & (half_h - y.abs() > 0)
            if self.center_sampling:
                holds &= (x.abs() < near[:, None]) & (y.abs() < near[:, None])
            # The farthest side.
            reach = torch.maximum(half_w + x.abs(), half_h + y.abs())
            holds &= (reach >= limits[:, :1]) & (reach <= limits[:, 1:])
            area, index = torch.where(holds, areas[None, start : start + OBJECTS_AT_ONCE], INF).min(dim=1)
            smaller = area < best_area
            best_area = torch.where(smaller, area, best_area)
            best = torch.where(smaller, index + start, best)

        labels = torch.full_like(best, self.num_classes)
        if len(boxes) == 0:
            return PointTargets(labels, points.new_zeros((len(points), 4)), points.new_zeros((len(points), 1)))
        labels = torch.where(best_area < INF, target.labels[best], labels)
        chosen = boxes[best]
        x, y = _offsets(points, chosen)
        half_w, half_h = chosen[:, 2] / 2, chosen[:, 3] / 2
        distances = torch.stack([half_w + x, half_h + y, half_w - x, half_h - y], dim=1)
        return PointTargets(labels, distances, chosen[:, 4:5])

    @torch.no_grad()
    def predict(self, features: Sequence[Tensor], batch: Batch) -> list[Detections]:
        """The detections of each image, best first; scores are class score × centerness."""
        maps = self(features)
        sizes = map_sizes(maps[0])
        levels = self.points.grid_priors(sizes, dtype=torch.float32, device=maps[0][0].device)
        rows = [[to_rows(x) for x in outputs] for outputs in zip(*maps, strict=True)]
        found = []
        for i, size in enumerate(batch.sizes):
            candidates = [
                self._level_candidates([x[i] for x in outputs], points, size)
                for outputs, points in zip(rows, levels, strict=True)
            ]
            boxes, scores, labels = (torch.cat(values) for values in zip(*candidates, strict=True))
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

    def _level_candidates(self, rows: list[Tensor], points: Tensor, size: Size) -> tuple[Tensor, Tensor, Tensor]:
        logits, distances, codes, centerness = rows
        scores, places, labels = best_candidates(logits.sigmoid(), self.score_thr, self.nms_pre)
        angle = self.angle_coder.decode(codes[places], keepdim=True)
        boxes = self.bbox_coder.decode(points[places], torch.cat([distances[places], angle], dim=1), max_shape=size)
        return boxes, scores * centerness[places, 0].sigmoid(), labels


def centerness_targets(distances: Tensor) -> Tensor:
    """How central points lie, (N,) in [0, 1], from their distances (N, 4) to the sides (FCOS, eq. 3)."""
    left_right, top_bottom = distances[:, [0, 2]], distances[:, [1, 3]]
    ratio = left_right.amin(1) / left_right.amax(1) * (top_bottom.amin(1) / top_bottom.amax(1))
    return ratio.sqrt()


def _offsets(points: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Points (…, 2) in the frames of boxes (…, 5): x along the width, y along the height."""
    dx, dy = (points - boxes[..., :2]).unbind(-1)
    cos, sin = boxes[..., 4].cos(), boxes[..., 4].sin()
    return cos * dx + sin * dy, cos * dy - sin * dx


def _distances_to_hbox(points: Tensor, distances: Tensor) -> Tensor:
    return torch.cat([points - distances[:, :2], points + distances[:, 2:]], dim=1)
