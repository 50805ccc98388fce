"""Detectors that find boxes in the features directly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rotx.models.checkpoints import Pretrained
from rotx.models.detectors.detector import Detector, Losses
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.structures import Batch, Detections, Targets


class SingleStage(Detector):
    """A detector whose head finds boxes in the features directly: Rotated RetinaNet, Rotated FCOS.

    Args:
        backbone: images to feature maps.
        neck: maps to a pyramid; None: the maps as they are.
        bbox_head: has ``loss(features, batch, targets)`` and ``predict(features, batch)``.
        data_preprocessor: images to a batch.
        init_cfg: weights of a whole detector to start from.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module | None = None,
        bbox_head: nn.Module,
        data_preprocessor: DetDataPreprocessor | None = None,
        init_cfg: Pretrained | None = None,
    ) -> None:
        super().__init__(backbone, neck, data_preprocessor, init_cfg)
        self.bbox_head = bbox_head

    def loss(self, batch: Batch, targets: Sequence[Targets]) -> Losses:
        """The loss terms of a batch."""
        losses: Losses = self.bbox_head.loss(self.extract(batch.images), batch, targets)  # type: ignore[operator]
        return losses

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Detections]:
        """The detections of each image, best first, in pixels of the batch's images."""
        found: list[Detections] = self.bbox_head.predict(self.extract(batch.images), batch)  # type: ignore[operator]
        return found
