"""Detectors that find boxes in the features directly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from rotx.models.checkpoints import Pretrained
from rotx.models.detectors.detector import Detector, Losses
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances


class SingleStage(Detector):
    """A detector with one head on all feature maps: Rotated RetinaNet, Rotated FCOS.

    Args:
        backbone: Makes feature maps of images.
        neck: Makes a pyramid of the maps; None: the maps are used as they are.
        bbox_head: Head with ``forward(features)``, ``loss(raw, targets, batch)``, ``decode(raw, batch)`` and
            ``suppress(candidates)``.
        data_preprocessor: Makes a batch of images.
        init_cfg: Weights of a whole detector to start from.
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

    @property
    def head(self) -> Any:
        """The head that makes the detections."""
        return self.bbox_head

    def network(self, images: Tensor) -> Any:
        """Raw outputs of the head for images (B, 3, H, W)."""
        return self.bbox_head(self.extract(images))

    def losses(self, raw: Any, targets: Sequence[Instances], batch: Batch) -> Losses:
        """Loss terms of raw outputs."""
        losses: Losses = self.head.loss(raw, targets, batch)
        return losses

    def decode(self, raw: Any, batch: Batch) -> Candidates:
        """Scored boxes from raw outputs, in pixels of the batch's images."""
        candidates: Candidates = self.head.decode(raw, batch)
        return candidates
