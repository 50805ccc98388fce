"""The RoI head with several stages, each refining the boxes of the one before: RoI Transformer's.

Cai & Vasconcelos, "Cascade R-CNN", CVPR 2018; Ding et al., "Learning RoI Transformer for Oriented Object Detection
in Aerial Images", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from rotx.models.assigners.max_iou import MaxIoUAssigner
from rotx.models.heads.roi_extractor import SingleRoIExtractor, to_rois
from rotx.models.heads.roi_sampling import split_by_image, stage_samples
from rotx.models.heads.shared_2fc import RoITargets, Shared2FCBBoxHead
from rotx.models.postprocess import Suppression
from rotx.models.samplers.sampler import Sampler, Samples
from rotx.models.structures import Batch, Detections, Targets


class CascadeRoIHead(nn.Module):
    """Turns proposals into detections in several steps.

    The lists have an entry for each stage.

    Args:
        num_stages: how many.
        stage_loss_weights: of the losses.
        bbox_roi_extractor: of the features of RoIs.
        bbox_head: classifies and regresses them.
        assigner: of objects to RoIs.
        sampler: of RoIs.
        pos_weight: of positive RoIs in the classification; 1 if not positive.
        score_thr: scores must exceed it.
        nms: suppression within each class.
        max_per_img: how many detections to keep.
    """

    def __init__(
        self,
        *,
        num_stages: int,
        stage_loss_weights: Sequence[float],
        bbox_roi_extractor: Sequence[SingleRoIExtractor],
        bbox_head: Sequence[Shared2FCBBoxHead],
        # Training
        assigner: Sequence[MaxIoUAssigner],
        sampler: Sequence[Sampler],
        pos_weight: Sequence[float],
        # Inference
        score_thr: float = 0.05,
        nms: Suppression,
        max_per_img: int = 2000,
    ) -> None:
        super().__init__()
        lists = {
            "stage_loss_weights": stage_loss_weights,
            "bbox_roi_extractor": bbox_roi_extractor,
            "bbox_head": bbox_head,
            "assigner": assigner,
            "sampler": sampler,
            "pos_weight": pos_weight,
        }
        for name, values in lists.items():
            if len(values) != num_stages:
                raise ValueError(f"{name}: need one for each of {num_stages} stages, got {len(values)}")
        self.num_stages = num_stages
        self.stage_loss_weights = list(stage_loss_weights)
        self.bbox_roi_extractor = nn.ModuleList(bbox_roi_extractor)
        self.bbox_head = nn.ModuleList(bbox_head)
        self.assigner = list(assigner)
        self.sampler = list(sampler)
        self.pos_weight = list(pos_weight)
        self.score_thr = score_thr
        self.nms = nms
        self.max_per_img = max_per_img

    def init_weights(self) -> None:
        """Those of the box heads."""
        for _, head in self._stages():
            head.init_weights()

    def forward(self, features: Sequence[Tensor], rois: Tensor, stage: int) -> tuple[Tensor, Tensor]:
        """Logits (R, K + 1) and encoded boxes (R, D or K × D) of RoIs (R, 1 + box), of one stage."""
        extractor, head = self._stages()[stage]
        logits, deltas = head(extractor(features, rois))
        return logits, deltas

    def loss(
        self, features: Sequence[Tensor], proposals: Sequence[Detections], batch: Batch, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """The loss terms of all stages, ``s0.loss_cls`` and so on."""
        boxes = [found.boxes for found in proposals]
        losses: dict[str, Tensor] = {}
        for stage, (extractor, head) in enumerate(self._stages()):
            samples = stage_samples(
                self.assigner[stage], self.sampler[stage], extractor, head, features, boxes, targets
            )
            rois = to_rois([sample.all_priors for sample in samples])
            logits, deltas = self(features, rois, stage)
            goals = head.targets(samples, self.pos_weight[stage])
            for name, value in head.loss(logits, deltas, rois, goals).items():
                losses[f"s{stage}.{name}"] = value * self.stage_loss_weights[stage] if "loss" in name else value
            if stage + 1 < self.num_stages:
                boxes = self._refine(head, samples, logits, deltas, goals, batch)
        return losses

    @torch.no_grad()
    def _refine(
        self,
        head: Shared2FCBBoxHead,
        samples: Sequence[Samples],
        logits: Tensor,
        deltas: Tensor,
        goals: RoITargets,
        batch: Batch,
    ) -> list[Tensor]:
        """The RoIs of the next stage, by the true class, or the likeliest one where there is none."""
        labels = torch.where(goals.labels < head.num_classes, goals.labels, logits[:, :-1].argmax(1))
        rois = [sample.all_priors for sample in samples]
        parts = split_by_image((labels, deltas), rois)
        refined = []
        for sample, boxes, (own, encoded), size in zip(samples, rois, parts, batch.sizes, strict=True):
            # Objects that were added as RoIs are added again by the next stage.
            added = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
            added[: len(sample.pos_inds)] = sample.pos_is_gt
            refined.append(head.refine(boxes, own, encoded, size)[~added])
        return refined

    @torch.no_grad()
    def predict(self, features: Sequence[Tensor], proposals: Sequence[Detections], batch: Batch) -> list[Detections]:
        """The detections of each image, best first; scores are from the mean logits of all stages."""
        boxes = [found.boxes for found in proposals]
        logits_of_stages = []
        for stage, (_, head) in enumerate(self._stages()):
            outputs = split_by_image(self(features, to_rois(boxes), stage), boxes)
            logits_of_stages.append([logits for logits, _ in outputs])
            if stage + 1 < self.num_stages:
                boxes = [
                    head.refine(rois, logits[:, :-1].argmax(1), deltas, size)
                    for rois, (logits, deltas), size in zip(boxes, outputs, batch.sizes, strict=True)
                ]
        means = [torch.stack(logits).mean(0) for logits in zip(*logits_of_stages, strict=True)]
        return [
            head.predict(
                rois,
                logits,
                deltas,
                size,
                score_thr=self.score_thr,
                nms=self.nms,
                max_per_img=self.max_per_img,
            )
            for rois, logits, (_, deltas), size in zip(boxes, means, outputs, batch.sizes, strict=True)
        ]

    def _stages(self) -> list[tuple[SingleRoIExtractor, Shared2FCBBoxHead]]:
        """The extractor and the box head of each stage."""
        pairs = zip(self.bbox_roi_extractor, self.bbox_head, strict=True)
        return cast("list[tuple[SingleRoIExtractor, Shared2FCBBoxHead]]", list(pairs))
