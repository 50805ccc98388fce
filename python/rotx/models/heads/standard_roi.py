"""The RoI head with one stage: Rotated Faster R-CNN's and Oriented R-CNN's.

Ren et al., "Faster R-CNN", NeurIPS 2015; Xie et al., "Oriented R-CNN for Object Detection", ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rotx.boxes import AngleVersion, BoxKind
from rotx.models.assigners.assignment import Assigner
from rotx.models.heads.roi_extractor import SingleRoIExtractor, to_rois
from rotx.models.heads.roi_sampling import rois_of, sample_rois
from rotx.models.heads.shared_2fc import Shared2FCBBoxHead
from rotx.models.postprocess import Suppression, suppress
from rotx.models.samplers.sampler import Sampler
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances


class StandardRoIHead(nn.Module):
    """Turns proposals into detections in one step.

    Args:
        bbox_roi_extractor: Extractor of the features of proposals.
        bbox_head: Classifies and regresses proposals.
        assigner: Assigner of objects to proposals.
        sampler: Sampler of proposals.
        pos_weight: Weight of positive proposals in the classification; 1 if not positive.
        score_thr: Scores must exceed it.
        nms: Suppression within each class.
        max_per_img: Number of detections to keep.
    """

    def __init__(
        self,
        *,
        bbox_roi_extractor: SingleRoIExtractor,
        bbox_head: Shared2FCBBoxHead,
        # Training
        assigner: Assigner,
        sampler: Sampler,
        pos_weight: float = -1,
        # Inference
        score_thr: float = 0.05,
        nms: Suppression,
        max_per_img: int = 2000,
    ) -> None:
        super().__init__()
        self.bbox_roi_extractor = bbox_roi_extractor
        self.bbox_head = bbox_head
        self.assigner = assigner
        self.sampler = sampler
        self.pos_weight = pos_weight
        self.score_thr = score_thr
        self.nms = nms
        self.max_per_img = max_per_img

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.bbox_head.num_classes

    @property
    def box_kind(self) -> BoxKind:
        """Kind of the boxes that the head predicts."""
        return self.bbox_head.box_kind

    @property
    def angle_version(self) -> AngleVersion | None:
        """Angle version of the boxes; None for boxes without an angle."""
        return self.bbox_head.angle_version

    def init_weights(self) -> None:
        """Those of the box head."""
        self.bbox_head.init_weights()

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, K + 1) and encoded boxes (R, D or K × D) of RoIs (R, 1 + box)."""
        logits, deltas = self.bbox_head(self.bbox_roi_extractor(features, rois))
        return logits, deltas

    def loss(
        self, features: Sequence[Tensor], proposals: Candidates, targets: Sequence[Instances], batch: Batch
    ) -> dict[str, Tensor]:
        """The loss terms."""
        parts = (self.assigner, self.sampler, self.bbox_roi_extractor, self.bbox_head)
        samples = sample_rois(*parts, features, rois_of(proposals), targets)
        rois = to_rois([sample.boxes for sample in samples])
        logits, deltas = self(features, rois)
        return self.bbox_head.loss(logits, deltas, rois, self.bbox_head.targets(samples, self.pos_weight))

    @torch.no_grad()
    def decode(self, features: Sequence[Tensor], proposals: Candidates, batch: Batch) -> Candidates:
        """A candidate for each class of each proposal."""
        logits, deltas = self(features, to_rois(list(proposals.boxes)))
        return self.bbox_head.decode(proposals, logits, deltas, batch.sizes, self.score_thr)

    def suppress(self, candidates: Candidates) -> list[Instances]:
        """The detections of each image, best first."""
        return suppress(candidates, nms=self.nms, max_per_img=self.max_per_img)
