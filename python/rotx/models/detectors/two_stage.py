"""Detectors that propose boxes and look at each again."""

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
    """What the network of a two-stage detector makes of images; the RoI head goes on from here.

    Attributes:
        features: Feature maps (B, C, H, W), finest first.
        rpn: Outputs of the RPN head.
    """

    features: list[Tensor]
    rpn: Maps


class TwoStage(Detector):
    """A detector with an RPN and a RoI head: Faster R-CNN, Mask R-CNN, Oriented R-CNN, RoI Transformer.

    Args:
        backbone: Makes feature maps of images.
        neck: Makes a pyramid of the maps; None: the maps are used as they are.
        rpn_head: Proposes boxes.
        roi_head: Turns proposals into detections.
        data_preprocessor: Makes a batch of images.
        init_cfg: Weights of a whole detector to start from.
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
        """The head that makes the detections."""
        return self.roi_head

    def network(self, images: Tensor) -> TwoStageOutputs:
        """Features of images (B, 3, H, W), and raw outputs of the RPN head."""
        features = list(self.extract(images))
        return TwoStageOutputs(features, self.rpn_head(features))

    def losses(self, raw: TwoStageOutputs, targets: Sequence[Instances], batch: Batch) -> Losses:
        """Loss terms of both heads."""
        rpn: Any = self.rpn_head
        proposals = rpn.propose(rpn.decode(raw.rpn, batch, rpn.train_proposals), rpn.train_proposals)
        losses = rpn.loss(raw.rpn, targets, batch)
        return {**losses, **self.head.loss(raw.features, proposals, targets, batch)}

    def decode(self, raw: TwoStageOutputs, batch: Batch) -> Candidates:
        """Scored boxes from features and proposals, in pixels of the batch's images."""
        rpn: Any = self.rpn_head
        proposals = rpn.propose(rpn.decode(raw.rpn, batch))
        candidates: Candidates = self.head.decode(raw.features, proposals, batch)
        return candidates

    def complete(self, found: list[Instances], raw: TwoStageOutputs) -> list[Instances]:
        """The detections with their masks, if the RoI head predicts any."""
        add_masks = getattr(self.head, "add_masks", None)
        return found if add_masks is None else list(add_masks(raw.features, found))
