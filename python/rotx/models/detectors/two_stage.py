"""Detectors that propose boxes and classify and refine each proposal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from rotx.models.checkpoints import Pretrained
from rotx.models.detectors.detector import Detector, Losses
from rotx.models.heads.maps import Maps
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances


class TwoStageOutputs(NamedTuple):
    """Raw outputs of a two-stage detector's network; the RoI head takes these.

    Attributes:
        features: Feature maps (B, C, H, W), finest first.
        rpn: Raw outputs of the RPN head.
    """

    features: list[Tensor]
    rpn: Maps


class TwoStage(Detector):
    """Detector with an RPN and a RoI head: Faster R-CNN, Mask R-CNN, Oriented R-CNN, RoI Transformer.

    Args:
        backbone: Backbone: images → feature maps.
        neck: Neck: feature maps → feature pyramid; None: the maps go directly to the heads.
        rpn_head: RPN head, which proposes boxes.
        roi_head: RoI head, which turns proposals into detections.
        data_preprocessor: Normalises and pads images to a batch; None: the default settings.
        init_cfg: Initial weights of the whole detector; None: those of its parts.
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

    @property
    def head(self) -> Any:
        """Head that predicts the detections."""
        return self.roi_head

    def network(self, images: Tensor) -> TwoStageOutputs:
        """Returns the features of images (B, 3, H, W) and the raw outputs of the RPN head."""
        features = list(self.extract(images))
        return TwoStageOutputs(features, self.rpn_head(features))

    def losses(self, raw: TwoStageOutputs, targets: Sequence[Instances], batch: Batch) -> Losses:
        """Returns the loss terms of both heads."""
        rpn: Any = self.rpn_head
        proposals = rpn.propose(rpn.decode(raw.rpn, batch, rpn.train_proposals), rpn.train_proposals)
        losses = rpn.loss(raw.rpn, targets, batch)
        return {**losses, **self.head.loss(raw.features, proposals, targets, batch)}

    def decode(self, raw: TwoStageOutputs, batch: Batch) -> Candidates:
        """Decodes features and proposals to scored boxes, in pixels of the batch's images."""
        rpn: Any = self.rpn_head
        proposals = rpn.propose(rpn.decode(raw.rpn, batch))
        candidates: Candidates = self.head.decode(raw.features, proposals, batch)
        return candidates

    def complete(self, found: list[Instances], raw: TwoStageOutputs) -> list[Instances]:
        """Adds masks to the detections if the RoI head predicts them."""
        add_masks = getattr(self.head, "add_masks", None)
        return found if add_masks is None else list(add_masks(raw.features, found))
