"""Detectors that propose boxes and look at each again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rotx.models.checkpoints import Pretrained
from rotx.models.detectors.detector import Detector, Losses
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.structures import Batch, Detections, Targets


class TwoStage(Detector):
    """A detector that proposes boxes and looks at each again: Rotated Faster R-CNN, Oriented R-CNN, RoI Transformer.

    Args:
        backbone: images to feature maps.
        neck: maps to a pyramid; None: the maps as they are.
        rpn_head: proposes boxes.
        roi_head: turns proposals into detections.
        data_preprocessor: images to a batch.
        init_cfg: weights of a whole detector to start from.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module | None = None,
        rpn_head: nn.Module,
        roi_head: nn.Module,
        data_preprocessor: DetDataPreprocessor | None = None,
        init_cfg: Pretrained | None = None,
    ) -> None:
        super().__init__(backbone, neck, data_preprocessor, init_cfg)
        self.rpn_head = rpn_head
        self.roi_head = roi_head

    def loss(self, batch: Batch, targets: Sequence[Targets]) -> Losses:
        """The loss terms of a batch."""
        features = self.extract(batch.images)
        losses, proposals = self.rpn_head.loss_and_proposals(features, batch, targets)  # type: ignore[operator]
        return {**losses, **self.roi_head.loss(features, proposals, batch, targets)}  # type: ignore[operator]

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Detections]:
        """The detections of each image, best first, in pixels of the batch's images."""
        features = self.extract(batch.images)
        proposals = self.rpn_head.predict(features, batch)  # type: ignore[operator]
        found: list[Detections] = self.roi_head.predict(features, proposals, batch)  # type: ignore[operator]
        return found
