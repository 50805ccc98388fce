"""One small detector of each kind that no config has yet: heads that refine, several views, queries."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotx import boxes as rotx_boxes
from rotx import registry
from rotx.models.assigners import Assignment, Predictions
from rotx.models.detectors.query import Query
from rotx.models.detectors.refine import Refine
from rotx.models.detectors.views import ImageView, Views
from rotx.models.heads.maps import Maps
from rotx.models.heads.retina import RetinaHead
from rotx.models.postprocess import best_pairs
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances

STRIDES = [8, 16]
BACKBONE = {"type": "ResNet", "depth": 18, "num_stages": 3, "out_indices": (1, 2), "norm_eval": False}
NECK = {"type": "FPN", "in_channels": [128, 256], "out_channels": 64, "num_outs": 2}
PREPROCESSOR = {"type": "DetDataPreprocessor", "mean": [127.0] * 3, "std": [50.0] * 3, "pad_size_divisor": 32}
ASSIGNER = {
    "type": "MaxIoUAssigner",
    "pos_iou_thr": 0.5,
    "neg_iou_thr": 0.4,
    "min_pos_iou": 0,
    "iou_calculator": {"type": "RBboxOverlaps2D"},
}
ANCHORS = {
    "type": "FakeRotatedAnchorGenerator",
    "angle_version": "le90",
    "octave_base_scale": 3,
    "scales_per_octave": 1,
    "ratios": [1.0, 2.0],
    "strides": STRIDES,
}


def parts() -> dict[str, Any]:
    """Backbone, neck and preprocessor, built."""
    config = {"backbone": BACKBONE, "neck": NECK, "data_preprocessor": PREPROCESSOR}
    built: dict[str, Any] = registry.build(config)
    return built


def head_settings(anchors: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a RetinaHead, built."""
    config = {
        "num_classes": 3,
        "in_channels": 64,
        "feat_channels": 64,
        "stacked_convs": 1,
        "anchor_generator": anchors,
        "bbox_coder": {"type": "DeltaXYWHTRBBoxCoder", "angle_version": "le90", "edge_swap": True, "proj_xy": True},
        "loss_cls": {"type": "FocalLoss"},
        "loss_bbox": {"type": "L1Loss"},
        "assigner": ASSIGNER,
        "score_thr": 0.3,
        "nms_pre": 100,
        "nms": {"type": "nms_rotated", "iou_threshold": 0.1},
    }
    built: dict[str, Any] = registry.build(config)
    return built


class RefineHead(RetinaHead):
    """Looks at the features where the boxes of the head before lie."""

    def forward(self, features: Sequence[Tensor], priors: Sequence[Tensor] = ()) -> Maps:
        moved = []
        for x, boxes, stride in zip(features, priors, STRIDES, strict=True):
            size = torch.tensor([x.shape[3], x.shape[2]]) * stride
            grid = (boxes[..., :2] / size * 2 - 1).reshape(len(x), *x.shape[2:], 2)
            moved.append(x + F.grid_sample(x, grid, align_corners=False))
        return super().forward(moved)


def refine_detector(stages: int = 2) -> Refine:
    pseudo = {"type": "PseudoRotatedAnchorGenerator", "strides": STRIDES}
    return Refine(
        **parts(),
        bbox_head_init=RetinaHead(**head_settings(ANCHORS)),
        bbox_head_refine=[RefineHead(**head_settings(pseudo)) for _ in range(stages)],
        stage_loss_weights=[1.0, 0.5][:stages],
    )


class FlippedViews:
    """Each image as it is, and mirrored."""

    def __call__(self, batch: Batch, targets: Sequence[Instances]) -> list[ImageView]:
        size = (batch.images.shape[2], batch.images.shape[3])
        matrix = rotx_boxes.flip_matrix(size, "horizontal")
        mirrored = Batch(batch.images.flip(3), [size] * len(targets))
        moved = [target.move(matrix) for target in targets]
        return [ImageView(batch, targets, torch.eye(3).numpy()), ImageView(mirrored, moved, matrix)]


class ConsistentHead(RetinaHead):
    """Learns objects from the first view, and from the others that they show the same."""

    def loss(self, raw: Maps, views: Sequence[ImageView]) -> dict[str, Any]:  # type: ignore[override]
        count = len(views[0].targets)
        first: Maps = tuple([x[:count] for x in maps] for maps in raw)
        losses: dict[str, Any] = super().loss(first, views[0].targets, views[0].batch)
        gaps = [
            (x[i * count : (i + 1) * count].flip(3) - x[:count]).abs().mean()
            for x in raw[0]
            for i in range(1, len(views))
        ]
        return {**losses, "loss_consistency": gaps}


def views_detector() -> Views:
    return Views(**parts(), bbox_head=ConsistentHead(**head_settings(ANCHORS)), views=FlippedViews())


class Encoder(nn.Module):
    """One layer of a transformer on all places of the finer map."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(64, 4, 64, dropout=0.0, batch_first=True)

    def forward(self, features: Sequence[Tensor], padding: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = features[0] + F.interpolate(features[1], features[0].shape[2:])
        mask = None if padding is None else padding[:, 4::8, 4::8].flatten(1)
        y, x_axis = (torch.linspace(0, 1, n) for n in x.shape[2:])
        places = torch.stack(torch.meshgrid(y, x_axis, indexing="ij")).flatten(1)  # (2, P)
        waves = (places[:, :, None] * torch.arange(1, 17)).permute(1, 0, 2).flatten(1) * 3
        code = torch.cat([waves.sin(), waves.cos()], dim=1)  # (P, 64)
        return self.layer(x.flatten(2).transpose(1, 2) + code, src_key_padding_mask=mask), mask


class Decoder(nn.Module):
    """One layer of a transformer on the queries."""

    query_channels = 64

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(64, 4, 64, dropout=0.0, batch_first=True)

    def forward(self, queries: Tensor, memory: tuple[Tensor, Tensor | None], targets: object) -> Tensor:
        assert (targets is not None) == self.training
        values, mask = memory
        found: Tensor = self.layer(queries.expand(len(values), -1, -1), values, memory_key_padding_mask=mask)
        return found


class BestMatch:
    """Gives each object its own query, so that all together fit best; tries every way."""

    def assign(self, priors: Tensor, targets: Instances, predictions: Predictions | None = None) -> Assignment:
        assert predictions is not None
        scores = predictions.logits.sigmoid()[:, targets.labels]
        cost = torch.cdist(predictions.boxes, targets.boxes, p=1) - scores  # (Q, M)
        ways = torch.tensor(list(permutations(range(len(cost)), len(targets))), dtype=torch.int64)
        best = ways[cost[ways, torch.arange(len(targets))].sum(1).argmin()]
        gt_inds, labels = torch.zeros(len(cost), dtype=torch.int64), torch.full((len(cost),), -1)
        gt_inds[best], labels[best] = torch.arange(1, len(targets) + 1), targets.labels
        return Assignment(gt_inds, (gt_inds > 0).float(), labels)


class SetHead(nn.Module):
    """A class and a box for each query; boxes as shares of the image's sides, angles as shares of half a turn."""

    num_classes, box_kind, angle_version = 3, "rbox", "le90"

    def __init__(self) -> None:
        super().__init__()
        self.cls, self.reg = nn.Linear(64, self.num_classes), nn.Linear(64, 5)
        self.assigner = BestMatch()
        self.loss_cls, self.loss_bbox = registry.build([{"type": "FocalLoss"}, {"type": "L1Loss"}])

    def forward(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls(queries), self.reg(queries).sigmoid()

    def loss(self, raw: tuple[Tensor, Tensor], targets: Sequence[Instances], batch: Batch) -> dict[str, Tensor]:
        logits, shares = raw
        labels, rows, wanted = [], [], []
        for i, (target, size) in enumerate(zip(targets, batch.sizes, strict=True)):
            goal = Instances(self._shares(target.boxes, size), "rbox", target.labels)
            predictions = Predictions(logits[i].detach(), shares[i].detach())
            found = self.assigner.assign(predictions.boxes, goal, predictions)
            labels.append(torch.where(found.labels < 0, self.num_classes, found.labels))
            at = (found.gt_inds > 0).nonzero().squeeze(1)
            rows.append(shares[i, at])
            wanted.append(goal.boxes[found.gt_inds[at] - 1])
        total = max(sum(map(len, targets)), 1)
        return {
            "loss_cls": self.loss_cls(logits.flatten(0, 1), torch.cat(labels), avg_factor=total),
            "loss_bbox": 5 * self.loss_bbox(torch.cat(rows), torch.cat(wanted), avg_factor=total),
        }

    @torch.no_grad()
    def decode(self, raw: tuple[Tensor, Tensor], batch: Batch) -> Candidates:
        logits, shares = raw
        best = best_pairs(logits.sigmoid(), 0.3, nms_pre=5)
        sides = torch.tensor([[w, h, w, h, torch.pi] for h, w in batch.sizes])[:, None]
        rboxes = (best.of(shares) - torch.tensor([0, 0, 0, 0, 0.5])) * sides
        return Candidates(rboxes, best.scores, best.labels, "rbox")

    def suppress(self, candidates: Candidates) -> list[Instances]:
        return candidates.instances()

    @staticmethod
    def _shares(boxes: Tensor, size: tuple[int, int]) -> Tensor:
        h, w = size
        return boxes / torch.tensor([w, h, w, h, torch.pi]) + torch.tensor([0, 0, 0, 0, 0.5])


def query_detector() -> Query:
    return Query(**parts(), encoder=Encoder(), decoder=Decoder(), bbox_head=SetHead(), num_queries=5)
