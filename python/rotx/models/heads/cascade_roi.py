"""The RoI head with several stages, each refining the boxes of the one before: RoI Transformer's.

Cai & Vasconcelos, "Cascade R-CNN", CVPR 2018; Ding et al., "Learning RoI Transformer for Oriented Object Detection
in Aerial Images", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from rotx.boxes import AngleVersion, BoxKind
from rotx.models.assigners.assignment import Assigner
from rotx.models.heads.roi_extractor import SingleRoIExtractor, to_rois
from rotx.models.heads.roi_sampling import RoIs, rois_of, sample_rois
from rotx.models.heads.shared_2fc import RoITargets, Shared2FCBBoxHead
from rotx.models.postprocess import Suppression, suppress
from rotx.models.samplers.sampler import PriorSampler, SampledPriors
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances


class CascadeRoIHead(nn.Module):
    """Turns proposals into detections in several stages.

    Lists have one entry per stage.

    Args:
        num_stages: Number of stages.
        stage_loss_weights: Weights of the stages in the loss.
        bbox_roi_extractor: Extractors of the features of RoIs.
        bbox_head: Box heads.
        assigner: Assigners of objects to RoIs.
        sampler: Samplers of RoIs.
        pos_weight: Weights of positive RoIs in the classification loss; 1 if not positive.
        score_thr: Candidates need a score above this.
        nms: Suppression rule; it applies within each class.
        max_per_img: Number of detections to keep in an image.
    """

    def __init__(
        self,
        *,
        num_stages: int,
        stage_loss_weights: Sequence[float],
        bbox_roi_extractor: Sequence[SingleRoIExtractor],
        bbox_head: Sequence[Shared2FCBBoxHead],
        # Training
        assigner: Sequence[Assigner],
        sampler: Sequence[PriorSampler],
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

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self._stages()[-1][1].num_classes

    @property
    def box_kind(self) -> BoxKind:
        """Kind of the boxes that the last stage predicts."""
        return self._stages()[-1][1].box_kind

    @property
    def angle_version(self) -> AngleVersion | None:
        """Angle version of the boxes; None for boxes without an angle."""
        return self._stages()[-1][1].angle_version

    def init_weights(self) -> None:
        """Initialises the weights of the box heads."""
        for _, head in self._stages():
            head.init_weights()

    def forward(self, features: Sequence[Tensor], rois: Tensor, stage: int) -> tuple[Tensor, Tensor]:
        """Logits (R, K + 1) and encoded boxes (R, D or K × D) of RoIs (R, 1 + box), of one stage."""
        extractor, head = self._stages()[stage]
        logits, deltas = head(extractor(features, rois))
        return logits, deltas

    def loss(
        self, features: Sequence[Tensor], proposals: Candidates, targets: Sequence[Instances], batch: Batch
    ) -> dict[str, Tensor]:
        """The loss terms of all stages, ``s0.loss_cls`` and so on."""
        rois = rois_of(proposals)
        losses: dict[str, Tensor] = {}
        for stage, (extractor, head) in enumerate(self._stages()):
            samples = sample_rois(self.assigner[stage], self.sampler[stage], extractor, head, features, rois, targets)
            rows = to_rois([sample.boxes for sample in samples])
            logits, deltas = self(features, rows, stage)
            goals = head.targets(samples, self.pos_weight[stage])
            for name, value in head.loss(logits, deltas, rows, goals).items():
                losses[f"s{stage}.{name}"] = value * self.stage_loss_weights[stage] if "loss" in name else value
            if stage + 1 < self.num_stages:
                rois = self._refine(head, samples, logits, deltas, goals, batch)
        return losses

    @torch.no_grad()
    def _refine(
        self,
        head: Shared2FCBBoxHead,
        samples: Sequence[SampledPriors],
        logits: Tensor,
        deltas: Tensor,
        goals: RoITargets,
        batch: Batch,
    ) -> list[RoIs]:
        """The RoIs of the next stage, refined by the box of the target's class, or of the best class for background."""
        labels = torch.where(goals.labels < head.num_classes, goals.labels, logits[:, :-1].argmax(1))
        counts = [len(sample.rows) for sample in samples]
        refined = []
        for sample, own, encoded, size in zip(
            samples, labels.split_with_sizes(counts), deltas.split_with_sizes(counts), batch.sizes, strict=True
        ):
            # The sampler of the next stage adds the objects as RoIs again.
            valid = (sample.gt_inds >= 0) & ~sample.is_gt
            refined.append(RoIs(head.refine(sample.boxes, own, encoded, size), valid, head.box_kind))
        return refined

    @torch.no_grad()
    def decode(self, features: Sequence[Tensor], proposals: Candidates, batch: Batch) -> Candidates:
        """One candidate per class and proposal; scores come from the mean logits of all stages."""
        logits_of_stages = []
        for stage, (_, head) in enumerate(self._stages()):
            logits, deltas = self(features, to_rois(list(proposals.boxes)), stage)
            logits_of_stages.append(logits)
            if stage + 1 < self.num_stages:
                shape = proposals.scores.shape
                labels, encoded = logits[:, :-1].argmax(1).reshape(shape), deltas.reshape(*shape, -1)
                images = zip(proposals.boxes, labels, encoded, batch.sizes, strict=True)
                boxes = torch.stack([head.refine(*image) for image in images])
                proposals = proposals._replace(boxes=boxes, kind=head.box_kind)
        mean = torch.stack(logits_of_stages).mean(0)
        return head.decode(proposals, mean, deltas, batch.sizes, self.score_thr)

    def suppress(self, candidates: Candidates) -> list[Instances]:
        """The detections of each image, sorted by falling score."""
        return suppress(candidates, nms=self.nms, max_per_img=self.max_per_img)

    def _stages(self) -> list[tuple[SingleRoIExtractor, Shared2FCBBoxHead]]:
        """The extractor and the box head of each stage."""
        pairs = zip(self.bbox_roi_extractor, self.bbox_head, strict=True)
        return cast("list[tuple[SingleRoIExtractor, Shared2FCBBoxHead]]", list(pairs))
