"""The RoI head with one stage: Rotated Faster R-CNN's and Oriented R-CNN's.

Ren et al., "Faster R-CNN", NeurIPS 2015; Xie et al., "Oriented R-CNN for Object Detection", ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rotx.models.assigners.max_iou import MaxIoUAssigner
from rotx.models.heads.roi_extractor import SingleRoIExtractor, to_rois
from rotx.models.heads.roi_sampling import split_by_image, stage_samples
from rotx.models.heads.shared_2fc import Shared2FCBBoxHead
from rotx.models.postprocess import Suppression
from rotx.models.samplers.sampler import Sampler
from rotx.models.structures import Batch, Detections, Targets


class StandardRoIHead(nn.Module):
    """Turns proposals into detections in one step.

    Args:
        bbox_roi_extractor: of the features of proposals.
        bbox_head: classifies and regresses them.
        assigner: of objects to proposals.
        sampler: of proposals.
        pos_weight: of positive proposals in the classification; 1 if not positive.
        score_thr: scores must exceed it.
        nms: suppression within each class.
        max_per_img: how many detections to keep.
    """

    def __init__(
        self,
        *,
        bbox_roi_extractor: SingleRoIExtractor,
        bbox_head: Shared2FCBBoxHead,
        # Training
        assigner: MaxIoUAssigner,
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

    def init_weights(self) -> None:
        """Those of the box head."""
        self.bbox_head.init_weights()

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, K + 1) and encoded boxes (R, D or K × D) of RoIs (R, 1 + box)."""
        logits, deltas = self.bbox_head(self.bbox_roi_extractor(features, rois))
        return logits, deltas

    def loss(
        self, features: Sequence[Tensor], proposals: Sequence[Detections], batch: Batch, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """The loss terms."""
        boxes = [found.boxes for found in proposals]
        samples = stage_samples(
            self.assigner, self.sampler, self.bbox_roi_extractor, self.bbox_head, features, boxes, targets
        )
        rois = to_rois([sample.all_priors for sample in samples])
        logits, deltas = self(features, rois)
        return self.bbox_head.loss(logits, deltas, rois, self.bbox_head.targets(samples, self.pos_weight))

    @torch.no_grad()
    def predict(self, features: Sequence[Tensor], proposals: Sequence[Detections], batch: Batch) -> list[Detections]:
        """The detections of each image, best first."""
        boxes = [found.boxes for found in proposals]
        outputs = split_by_image(self(features, to_rois(boxes)), boxes)
        return [
            self.bbox_head.predict(
                rois,
                logits,
                deltas,
                size,
                score_thr=self.score_thr,
                nms=self.nms,
                max_per_img=self.max_per_img,
            )
            for rois, (logits, deltas), size in zip(boxes, outputs, batch.sizes, strict=True)
        ]
