"""Rotated RepPoints' head.

Yang et al., "RepPoints: Point Set Representation for Object Detection", ICCV 2019, for rotated objects: boxes and
losses come from the convex hulls of the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotx import boxes as rotx_boxes
from rotx.boxes import AngleVersion, BoxKind, rectangle2rbox, regularize
from rotx.models.assigners.assignment import Assigner, assign_usable
from rotx.models.coders.deltas import at_least_float32
from rotx.models.heads.maps import Maps, map_sizes, to_rows, where_true
from rotx.models.layers import ConvModule, DeformConv2d, Norm, bias_for_probability, normal_init
from rotx.models.losses.reduce import Loss
from rotx.models.postprocess import Suppression, best_pairs, suppress
from rotx.models.priors.points import MlvlPointGenerator
from rotx.models.processes import mean_over_processes
from rotx.models.structures import Batch, Candidates, join
from rotx.ops import min_area_rect
from rotx.records import Instances


class RotatedRepPointsHead(nn.Module):
    """Predicts a point set at every place, refines it, and classifies the features sampled at the first points.

    Raw outputs are the logits, the refined points and the first points of each level. Points are offsets from their
    place, in strides, y before x, in the order of the kernel's entries, as a deformable convolution takes them.

    Args:
        num_classes: Number of classes, K.
        in_channels: Number of input channels.
        stacked_convs: Number of convolutions before each output.
        feat_channels: Number of channels of these convolutions.
        point_feat_channels: Number of channels of the features sampled at the points.
        num_points: Number of points in a set, k: 1, 9, 25 and so on.
        gradient_mul: Share of the gradient of the features sampled at the first points that reaches these points.
        point_strides: Stride of each level, in pixels.
        point_base_scale: Unit of the point losses, in strides.
        norm_cfg: Normalisation of the layers; None for none.
        loss_cls: Loss of (N, K) logits, with a sigmoid.
        loss_bbox_init: Loss of the first points: (N, 2k) point sets and (N, 8) quads.
        loss_bbox_refine: Loss of the refined points.
        init_assigner: Assigner of objects to places ``x, y, stride``, for the first points.
        refine_assigner: Assigner of objects to the first point sets, for the refined points and the classes.
        refine_pos_weight: Weight of positive places in the classification loss; 1 if not positive.
        candidate_form: ``"mmrotate"``: the assigner of the second stage sees the first points with x and y of each
            offset exchanged, mirrored about a diagonal through their place, as published models were trained;
            ``"standard"``: it sees the points.
        nms_pre: Number of candidates to keep in each level, before suppression.
        score_thr: Candidates need a score above this.
        nms: Suppression rule; it applies within each class.
        max_per_img: Number of detections to keep in an image.
        min_bbox_size: Boxes need a width and a height above this, in pixels; negative: no limit.

    Raises:
        ValueError: If ``num_points`` is not the square of an odd number, or ``candidate_form`` is unknown.
    """

    box_kind: BoxKind = "rbox"
    target_kind: BoxKind = "quad"
    angle_version: AngleVersion = "le90"

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        stacked_convs: int = 4,
        feat_channels: int = 256,
        point_feat_channels: int = 256,
        num_points: int = 9,
        gradient_mul: float = 0.1,
        point_strides: Sequence[int] = (8, 16, 32, 64, 128),
        point_base_scale: float = 4,
        norm_cfg: Norm | None = None,
        # Training
        loss_cls: Loss,
        loss_bbox_init: Loss,
        loss_bbox_refine: Loss,
        init_assigner: Assigner,
        refine_assigner: Assigner,
        refine_pos_weight: float = -1,
        candidate_form: Literal["mmrotate", "standard"] = "mmrotate",
        # Inference
        nms_pre: int = 2000,
        score_thr: float = 0.05,
        nms: Suppression,
        max_per_img: int = 2000,
        min_bbox_size: float = -1,
    ) -> None:
        super().__init__()
        size = round(num_points**0.5)
        if size * size != num_points or size % 2 == 0:
            raise ValueError(f"num_points: need the square of an odd number, got {num_points}")
        if candidate_form not in ("mmrotate", "standard"):
            raise ValueError(f"candidate_form: need 'mmrotate' or 'standard', got {candidate_form!r}")
        self.num_classes = num_classes
        self.num_points = num_points
        self.gradient_mul = gradient_mul
        self.point_strides = list(point_strides)
        self.point_base_scale = point_base_scale
        self.loss_cls = loss_cls
        self.loss_bbox_init = loss_bbox_init
        self.loss_bbox_refine = loss_bbox_refine
        self.init_assigner = init_assigner
        self.refine_assigner = refine_assigner
        self.refine_pos_weight = refine_pos_weight if refine_pos_weight > 0 else 1.0
        self.candidate_form = candidate_form
        self.nms_pre = nms_pre
        self.score_thr = score_thr
        self.nms = nms
        self.max_per_img = max_per_img
        self.min_bbox_size = min_bbox_size
        self.points = MlvlPointGenerator(point_strides, offset=0.0)

        widths = [in_channels] + [feat_channels] * stacked_convs
        pairs = list(pairwise(widths))
        self.cls_convs = nn.ModuleList(ConvModule(a, b, 3, padding=1, norm=norm_cfg) for a, b in pairs)
        self.reg_convs = nn.ModuleList(ConvModule(a, b, 3, padding=1, norm=norm_cfg) for a, b in pairs)
        self.reppoints_cls_conv = DeformConv2d(feat_channels, point_feat_channels, size)
        self.reppoints_cls_out = nn.Conv2d(point_feat_channels, num_classes, 1)
        self.reppoints_pts_init_conv = nn.Conv2d(feat_channels, point_feat_channels, 3, padding=1)
        self.reppoints_pts_init_out = nn.Conv2d(point_feat_channels, 2 * num_points, 1)
        self.reppoints_pts_refine_conv = DeformConv2d(feat_channels, point_feat_channels, size)
        self.reppoints_pts_refine_out = nn.Conv2d(point_feat_channels, 2 * num_points, 1)
        # y and x of the kernel's entries without offsets.
        along = torch.arange(size, dtype=torch.float32) - size // 2
        usual = torch.stack(torch.meshgrid(along, along, indexing="ij"), dim=-1)
        self.register_buffer("kernel_places", usual.reshape(1, -1, 1, 1), persistent=False)
        self.kernel_places: Tensor

    def init_weights(self) -> None:
        """Normal weights of standard deviation 0.01; every class starts with probability 0.01."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                normal_init(layer, std=0.01)
        normal_init(self.reppoints_cls_out, std=0.01, bias=bias_for_probability(0.01))

    def forward(self, features: Sequence[Tensor]) -> Maps:
        """Logits (B, K, H, W), refined and first points (B, 2k, H, W) of each level."""
        return tuple(map(list, zip(*map(self.forward_level, features), strict=True)))

    def forward_level(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The outputs of one level."""
        cls, reg = x, x
        for layer in self.cls_convs:
            cls = layer(cls)
        for layer in self.reg_convs:
            reg = layer(reg)
        # Half precision is too coarse for coordinates.
        first = at_least_float32(self.reppoints_pts_init_out(F.relu(self.reppoints_pts_init_conv(reg))))
        # The same value with a share of the gradient.
        damped = (1 - self.gradient_mul) * first.detach() + self.gradient_mul * first
        offsets = damped - self.kernel_places
        logits = self.reppoints_cls_out(F.relu(self.reppoints_cls_conv(cls, offsets)))
        change = self.reppoints_pts_refine_out(F.relu(self.reppoints_pts_refine_conv(reg, offsets)))
        return logits, at_least_float32(change) + first.detach(), first

    def loss(self, raw: Maps, targets: Sequence[Instances], batch: Batch) -> dict[str, list[Tensor]]:
        """The loss terms, each a list with one value per level."""
        places = self._places(raw)
        rows = [[to_rows(x).flatten(0, 1) for x in outputs] for outputs in raw]
        quads = torch.cat([rotx_boxes.convert(t.boxes, t.kind, "quad").float() for t in targets])
        first, refined = self._assign(raw, places, targets, batch)
        counts = torch.stack([(gt_inds > 0).sum(dim=1).clamp(min=1).sum() for gt_inds in (first, refined)])
        totals = mean_over_processes(counts, counts.device)

        lengths = [len(level) for level in places]
        levels = [[x.flatten() for x in gt_inds.split_with_sizes(lengths, dim=1)] for gt_inds in (first, refined)]
        positive = where_true([level > 0 for stage in levels for level in stage])
        # One spare entry: a batch without objects needs no special case.
        classes = torch.cat([*(target.labels for target in targets), first.new_zeros(1)])
        losses: dict[str, list[Tensor]] = {"loss_cls": [], "loss_pts_init": [], "loss_pts_refine": []}
        for i, stride in enumerate(self.point_strides):
            gt_inds = levels[1][i]
            labels = torch.where(gt_inds > 0, classes[(gt_inds - 1).clamp(min=0)], self.num_classes)
            weights = torch.where(gt_inds > 0, self.refine_pos_weight, 1.0) * (gt_inds >= 0)
            losses["loss_cls"].append(self.loss_cls(rows[0][i], labels, weights, avg_factor=totals[1]))
            unit = self.point_base_scale * stride
            stages = (("loss_pts_init", self.loss_bbox_init, 2), ("loss_pts_refine", self.loss_bbox_refine, 1))
            for stage, (name, loss, output) in enumerate(stages):
                at = positive[stage * len(lengths) + i]
                points = _points(rows[output][i].index_select(0, at), places[i][at % lengths[i]], stride)
                wanted = quads[levels[stage][i][at] - 1]
                losses[name].append(loss(points / unit, wanted / unit, avg_factor=totals[stage]))
        return losses

    @torch.no_grad()
    def decode(self, raw: Maps, batch: Batch) -> Candidates:
        """The best candidates of each level: minimum-area rectangles around the refined points."""
        levels = []
        for logits, refined, places, stride in zip(*raw[:2], self._places(raw), self.point_strides, strict=True):
            best = best_pairs(to_rows(logits).sigmoid(), self.score_thr, self.nms_pre)
            points = _points(best.of(to_rows(refined)), places[best.places], stride)
            rectangles = rectangle2rbox(min_area_rect(points.flatten(0, 1)))
            boxes = regularize(rectangles, self.angle_version).reshape(*points.shape[:2], 5)
            levels.append(Candidates(boxes, best.scores, best.labels, self.box_kind))
        return join(levels)

    def suppress(self, candidates: Candidates) -> list[Instances]:
        """The detections of each image, sorted by falling score."""
        return suppress(candidates, nms=self.nms, max_per_img=self.max_per_img, min_bbox_size=self.min_bbox_size)

    @torch.no_grad()
    def _assign(
        self, raw: Maps, places: Sequence[Tensor], targets: Sequence[Instances], batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """The object assigned to each place (B, P) in each stage: its index in the batch plus one.

        0: background; −1: ignored.
        """
        sizes = map_sizes(raw[0])
        priors = torch.cat([F.pad(x, (0, 1), value=s) for x, s in zip(places, self.point_strides, strict=True)])
        y_first = self.candidate_form == "standard"
        sets = torch.cat(
            [
                _points(to_rows(first), level, stride, y_first)
                for first, level, stride in zip(raw[2], places, self.point_strides, strict=True)
            ],
            dim=1,
        )
        found: list[list[Tensor]] = [[], []]
        start = 0
        for i, target in enumerate(targets):
            usable = None
            if batch.pad_sizes[i] != tuple(batch.images.shape[-2:]):
                usable = torch.cat(self.points.valid_flags(sizes, batch.pad_sizes[i], priors.device))
            stages = (self.init_assigner, priors), (self.refine_assigner, sets[i])
            for numbers, (assigner, own) in zip(found, stages, strict=True):
                gt_inds = assign_usable(assigner, own, usable, target).gt_inds
                numbers.append(torch.where(gt_inds > 0, gt_inds + start, gt_inds))
            start += len(target)
        return torch.stack(found[0]), torch.stack(found[1])

    def _places(self, raw: Maps) -> list[Tensor]:
        return self.points.grid_priors(map_sizes(raw[0]), dtype=torch.float32, device=raw[0][0].device)


def _points(offsets: Tensor, places: Tensor, stride: float, y_first: bool = True) -> Tensor:
    """Points (..., 2k) in pixels, x before y.

    Args:
        offsets: Offsets (..., 2k) from the places, in strides.
        places: Places (..., 2), x before y.
        stride: Stride, in pixels.
        y_first: Whether offsets have y before x.
    """
    pairs = offsets.reshape(*offsets.shape[:-1], offsets.shape[-1] // 2, 2)
    return ((pairs.flip(-1) if y_first else pairs) * stride + places.unsqueeze(-2)).reshape(offsets.shape)
