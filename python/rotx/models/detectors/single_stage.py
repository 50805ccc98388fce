"""Detectors that predict boxes directly from the feature maps."""

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
    """Detector with one head on all feature maps: Rotated RetinaNet, Rotated FCOS.

    Args:
        backbone: Backbone: images → feature maps.
        neck: Neck: feature maps → feature pyramid; None: the maps go directly to the heads.
        bbox_head: Head with ``forward(features)``, ``loss(raw, targets, batch)``, ``decode(raw, batch)`` and
            ``suppress(candidates)``.
        data_preprocessor: Normalises and pads images to a batch; None: the default settings.
        init_cfg: Initial weights of the whole detector; None: those of its parts.

    Raises:
        TypeError: If the head has no ``decode`` or ``suppress``.
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
        for stage in ("decode", "suppress"):  # training needs loss, too
            if not callable(getattr(bbox_head, stage, None)):
                raise TypeError(f"bbox_head: {type(bbox_head).__name__} has no method {stage}: see docs/models.md")
        self.bbox_head = bbox_head

    @property
    def head(self) -> Any:
        """Head that predicts the detections."""
        return self.bbox_head

    def network(self, images: Tensor) -> Any:
        """Returns the raw outputs of the head for images (B, 3, H, W)."""
        return self.bbox_head(self.extract(images))

    def losses(self, raw: Any, targets: Sequence[Instances], batch: Batch) -> Losses:
        """Returns the loss terms of raw outputs."""
        losses: Losses = self.head.loss(raw, targets, batch)
        return losses

    def decode(self, raw: Any, batch: Batch) -> Candidates:
        """Decodes raw outputs to scored boxes, in pixels of the batch's images."""
        candidates: Candidates = self.head.decode(raw, batch)
        return candidates
