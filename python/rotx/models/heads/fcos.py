"""Rotated FCOS's head.

Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, with an output for the angle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rotx import boxes as rotx_boxes
from rotx.boxes import AngleVersion, BoxKind, regularize
from rotx.models.coders.angle_coder import AngleCoder, PseudoAngleCoder
from rotx.models.coders.distance_angle_point import DistanceAnglePointCoder
from rotx.models.heads.maps import Maps, map_sizes, to_rows
from rotx.models.layers import GN, ConvModule, Norm, Scale, bias_for_probability, normal_init
from rotx.models.losses.reduce import Loss
from rotx.models.postprocess import Suppression, best_pairs, suppress
from rotx.models.priors.cache import PriorCache
from rotx.models.priors.points import MlvlPointGenerator
from rotx.models.processes import mean_over_processes
from rotx.models.structures import Batch, Candidates, join
from rotx.records import Instances

#: A distance in pixels, and an area in square pixels, beyond that of any object.
INF = 1e8

#: Number of objects compared with all points at once; it bounds memory.
OBJECTS_AT_ONCE = 128


class PointTargets(NamedTuple):
    """Targets of P points.

    Attributes:
        labels: Classes (P,) int64; background is the number of classes.
        gts: Index of the object of each point, (P,) int64; 0 where there is none.
    """

    labels: Tensor
    gts: Tensor


class RotatedFCOSHead(nn.Module):
    """Predicts at every place a class, the distances to the four sides of an object, its angle and a centerness.

    Args:
        num_classes: Number of classes, K.
        in_channels: Number of input channels.
        stacked_convs: Number of convolutions before each output.
        feat_channels: Number of channels of these convolutions.
        strides: Stride of each level, in pixels.
        regress_ranges: Range of the distance to the farthest side, in pixels, that each level is trained for.
        center_sampling: Whether only points near the centre of an object are assigned to it.
        center_sample_radius: Radius of the centre region, in strides.
        norm_on_bbox: Whether distances are predicted in strides instead of as logarithms of pixels.
        centerness_on_reg: Whether the centerness is predicted from the regression features.
        angle_version: ``"oc"``, ``"le90"`` or ``"le135"``.
        scale_angle: Whether a learnable factor scales the angle.
        norm_cfg: Normalisation of the layers; None for none.
        angle_coder: Coder of angles; by default the angle is regressed directly.
        bbox_coder: Coder of points and distances to rboxes.
        loss_cls: Loss of (N, K) logits, with a sigmoid.
        loss_bbox: Loss of rboxes, or of hboxes (the distances without the angle) with ``use_hbbox_loss``.
        loss_centerness: Loss of the centerness logits.
        loss_angle: Loss of the encoded angle; ``use_hbbox_loss`` needs it.
        use_hbbox_loss: Whether angle and distances have separate losses.
        nms_pre: Number of candidates to keep in each level, before suppression.
        score_thr: Candidates need a class score above this.
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
        self._cache = PriorCache()

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

    @property
    def box_kind(self) -> BoxKind:
        """Kind of the boxes that the head predicts."""
        return self.bbox_coder.box_kind

    def init_weights(self) -> None:
        """Normal weights of standard deviation 0.01; every class starts with probability 0.01."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                normal_init(layer, std=0.01)
        normal_init(self.conv_cls, std=0.01, bias=bias_for_probability(0.01))

    def forward(self, features: Sequence[Tensor]) -> Maps:
        """Logits, distances in pixels, angle codes and centerness logits of each level, (B, channels, H, W)."""
        levels = []
        for x, scale, stride in zip(features, self.scales, self.strides, strict=True):
            cls, reg = x, x
            for layer in self.cls_convs:
                cls = layer(cls)
            for layer in self.reg_convs:
                reg = layer(reg)
            centerness = self.conv_centerness(reg if self.centerness_on_reg else cls)
            # float32 from here on: half precision overflows.
            distances = scale(self.conv_reg(reg)).float()
            distances = distances.clamp(min=0) * stride if self.norm_on_bbox else distances.exp()
            angle = self.conv_angle(reg)
            if self.scale_angle is not None:
                angle = self.scale_angle(angle).float()
            levels.append((self.conv_cls(cls), distances, angle, centerness))
        return tuple(list(maps) for maps in zip(*levels, strict=True))

    def loss(self, raw: Maps, targets: Sequence[Instances], batch: Batch) -> dict[str, Tensor]:
        """The loss terms."""
        levels = self._points(raw)
        # B × P rows from here on, image by image.
        logits, distances, codes, centerness = (
            torch.cat([to_rows(x) for x in outputs], dim=1).flatten(0, 1) for outputs in raw
        )
        found = [self.point_targets(levels, target) for target in targets]
        labels = torch.cat([values.labels for values in found])
        starts = accumulate([0, *(len(target) for target in targets[:-1])])
        gts = torch.cat([values.gts + start for values, start in zip(found, starts, strict=True)])

        at = (labels < self.num_classes).nonzero().squeeze(1)
        total = mean_over_processes(len(at), labels.device, at_least=1.0)
        points = torch.cat(levels)
        places = at % max(len(points), 1)
        boxes = torch.cat([self._boxes(target, points) for target in targets])[gts[at]]
        strides = self._places(levels)[1][places] if self.norm_on_bbox else 1.0
        distances, codes, centerness = (values.index_select(0, at) for values in (distances, codes, centerness))
        return {
            "loss_cls": self.loss_cls(logits, labels, avg_factor=total),
            **self._object_losses(points[places], boxes, strides, distances, codes, centerness, total),
        }

    def _object_losses(
        self,
        points: Tensor,
        boxes: Tensor,
        strides: Tensor | float,
        distances: Tensor,
        codes: Tensor,
        centerness: Tensor,
        total: Tensor,
    ) -> dict[str, Tensor]:
        """The loss terms of positive points."""
        # All outputs stay in the graph, even without objects: distributed processes need the same gradients.
        nothing = distances.sum() * 0 + codes.sum() * 0 + centerness.sum() * 0
        encoded = self.bbox_coder.encode(points, boxes)
        goals, angles = encoded[:, :4] / strides, encoded[:, 4:]
        distances = distances / strides
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

    @torch.no_grad()
    def point_targets(self, levels: Sequence[Tensor], target: Instances) -> PointTargets:
        """Targets of the points of one image: each point gets the smallest object that contains it.

        Args:
            levels: Points (P_level, 2) of each level.
            target: Objects of the image.
        """
        points = torch.cat(list(levels))
        limits, strides = self._places(levels)
        boxes = self._boxes(target, points)
        areas = boxes[:, 2] * boxes[:, 3]
        if target.ignored is not None:
            areas = torch.where(target.ignored, INF, areas)
        best_area = points.new_full((len(points),), INF)
        best = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        for start in range(0, len(boxes), OBJECTS_AT_ONCE):
            some = boxes[start : start + OBJECTS_AT_ONCE]
            x, y = _offsets(points[:, None], some[None])
            half_w, half_h = some[None, :, 2] / 2, some[None, :, 3] / 2
            holds = (half_w - x.abs() > 0) & (half_h - y.abs() > 0)
            if self.center_sampling:
                near = strides * self.center_sample_radius
                holds &= (x.abs() < near) & (y.abs() < near)
            # Distance to the farthest side.
            reach = torch.maximum(half_w + x.abs(), half_h + y.abs())
            holds &= (reach >= limits[:, :1]) & (reach <= limits[:, 1:])
            area, index = torch.where(holds, areas[None, start : start + OBJECTS_AT_ONCE], INF).min(dim=1)
            smaller = area < best_area
            best_area = torch.where(smaller, area, best_area)
            best = torch.where(smaller, index + start, best)
        if len(boxes) == 0:
            return PointTargets(torch.full_like(best, self.num_classes), best)
        return PointTargets(torch.where(best_area < INF, target.labels[best], self.num_classes), best)

    @torch.no_grad()
    def decode(self, raw: Maps, batch: Batch) -> Candidates:
        """The best candidates of each level; a score is class score × centerness."""
        levels = []
        for outputs, points in zip(zip(*raw, strict=True), self._points(raw), strict=True):
            logits, *others = (to_rows(x) for x in outputs)
            best = best_pairs(logits.sigmoid(), self.score_thr, self.nms_pre)
            distances, codes, centerness = map(best.of, others)
            angle = self.angle_coder.decode(codes, keepdim=True)
            boxes = self.bbox_coder.decode(points[best.places], torch.cat([distances, angle], dim=2))
            scores = best.scores * centerness.squeeze(2).sigmoid()
            scores = torch.where(best.scores > -torch.inf, scores, -torch.inf)
            levels.append(Candidates(boxes, scores, best.labels, self.box_kind))
        return join(levels)

    def suppress(self, candidates: Candidates) -> list[Instances]:
        """The detections of each image, sorted by falling score."""
        return suppress(candidates, nms=self.nms, max_per_img=self.max_per_img, min_bbox_size=self.min_bbox_size)

    def _points(self, raw: Maps) -> list[Tensor]:
        return self.points.grid_priors(map_sizes(raw[0]), dtype=torch.float32, device=raw[0][0].device)

    def _boxes(self, target: Instances, like: Tensor) -> Tensor:
        """The objects as rboxes (M, 5) of the head's angle version."""
        rboxes = rotx_boxes.convert(target.boxes, target.kind, "rbox")
        regular: Tensor = regularize(rboxes.to(like), self.angle_version)
        return regular

    def _places(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The distance ranges (P, 2) of the points, and their strides (P, 1)."""
        lengths, points = [len(level) for level in levels], levels[0]

        def make() -> tuple[Tensor, Tensor]:
            ranges, strides = points.new_tensor(self.regress_ranges), points.new_tensor(self.strides)
            repeats = torch.tensor(lengths, device=points.device)
            return ranges.repeat_interleave(repeats, dim=0), strides[:, None].repeat_interleave(repeats, dim=0)

        return self._cache.get((tuple(lengths), points.dtype, str(points.device)), make)


def centerness_targets(distances: Tensor) -> Tensor:
    """Centerness (N,) in [0, 1] of points from their distances (N, 4) to the sides (FCOS, eq. 3)."""
    left_right, top_bottom = distances[:, 0::2], distances[:, 1::2]
    ratio = left_right.amin(1) / left_right.amax(1) * (top_bottom.amin(1) / top_bottom.amax(1))
    return ratio.sqrt()


def _offsets(points: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Points (…, 2) in the frames of boxes (…, 5): x along the width, y along the height."""
    dx, dy = (points - boxes[..., :2]).unbind(-1)
    cos, sin = boxes[..., 4].cos(), boxes[..., 4].sin()
    return cos * dx + sin * dy, cos * dy - sin * dx


def _distances_to_hbox(points: Tensor, distances: Tensor) -> Tensor:
    return torch.cat([points - distances[:, :2], points + distances[:, 2:]], dim=1)
