"""Detectors: a backbone, a neck and heads, in one stage or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from rotx.models.checkpoints import Pretrained
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.structures import Batch, Detections, Targets

#: Loss terms by name: a value, or one for each level. Names without "loss" are only shown.
Losses = Mapping[str, Tensor | list[Tensor]]


class Detector(nn.Module):
    """What all detectors share; a subclass adds its heads, ``loss`` and ``predict``."""

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module | None,
        data_preprocessor: DetDataPreprocessor | None,
        init_cfg: Pretrained | None,
    ) -> None:
        super().__init__()
        self.data_preprocessor = data_preprocessor or DetDataPreprocessor()
        self.backbone = backbone
        self.neck = neck
        self.init_cfg = init_cfg

    def init_weights(self) -> None:
        """Sets the weights that training starts from; may download those of the backbone."""
        for child in self.children():
            set_weights = getattr(child, "init_weights", None)
            if set_weights is not None:
                set_weights()
        if self.init_cfg is not None:
            self.init_cfg.load_into(self)

    def extract(self, images: Tensor) -> Sequence[Tensor]:
        """The feature maps of images (B, 3, H, W), finest first."""
        maps: Sequence[Tensor] = self.backbone(images)
        return maps if self.neck is None else self.neck(maps)

    def loss(self, batch: Batch, targets: Sequence[Targets]) -> Losses:
        """The loss terms of a batch."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> list[Detections]:
        """The detections of each image, best first, in pixels of the batch's images."""
        raise NotImplementedError

    def forward(self, batch: Batch, targets: Sequence[Targets] | None = None) -> Losses | list[Detections]:
        """The loss terms with targets, the detections without."""
        return self.predict(batch) if targets is None else self.loss(batch, targets)


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


def total_loss(losses: Losses) -> Tensor:
    """What training minimises: the sum of the terms that are losses, each the mean of its values."""
    total: Tensor | None = None
    for name, term in losses.items():
        if "loss" not in name:
            continue
        for value in [term] if isinstance(term, Tensor) else term:
            total = value.mean() if total is None else total + value.mean()
    if total is None:
        raise ValueError(f"losses: none among {', '.join(losses) or 'no terms'}")
    return total
