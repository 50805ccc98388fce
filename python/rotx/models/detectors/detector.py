"""Base class of all detectors, with three stages: images → raw outputs → candidates → detections."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rotx.boxes import AngleVersion, BoxKind
from rotx.models.checkpoints import Pretrained
from rotx.models.postprocess import NMS, NMSRotated
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances

#: Loss terms by name: one value, or one per level. Names without "loss" are logged but not minimised.
Losses = Mapping[str, Tensor | list[Tensor]]


class Detector(nn.Module):
    """Detector with a backbone and a neck; subclasses add heads.

    A subclass defines ``network``, ``losses``, ``decode`` and ``head``. ``predict`` runs three stages: ``network``
    computes raw outputs, which are only tensors; ``decode`` converts them to a fixed number of candidates;
    ``suppress`` selects the detections. An exported model contains the first two stages.

    Args:
        backbone: Backbone: images → feature maps.
        neck: Neck: feature maps → feature pyramid; None: the maps go directly to the heads.
        data_preprocessor: Normalises and pads images to a batch; None: the default settings.
        init_cfg: Initial weights of the whole detector; None: those of its parts.
    """

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

    @property
    def head(self) -> Any:
        """Head that predicts the detections."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.head.num_classes)

    @property
    def box_kind(self) -> BoxKind:
        """Kind of the detected boxes."""
        kind: BoxKind = self.head.box_kind
        return kind

    @property
    def target_kind(self) -> BoxKind:
        """Kind of the boxes that the detector learns from; that of its detections, unless its head says otherwise."""
        kind: BoxKind = getattr(self.head, "target_kind", self.box_kind)
        return kind

    @property
    def angle_version(self) -> AngleVersion | None:
        """Angle version of the boxes; None for boxes without an angle."""
        version: AngleVersion | None = self.head.angle_version
        return version

    @property
    def nms_iou(self) -> float | None:
        """IoU above which NMS suppresses the lower-scoring box; None if NMS does not compare the boxes themselves."""
        nms: Any = getattr(self.head, "nms", None)
        compares_boxes = isinstance(nms, NMSRotated) or (isinstance(nms, NMS) and self.box_kind == "hbox")
        return float(nms.iou_threshold) if compares_boxes else None

    def init_weights(self) -> None:
        """Initialises the weights for training; may download those of the backbone."""
        for child in self.children():
            set_weights = getattr(child, "init_weights", None)
            if set_weights is not None:
                set_weights()
        if self.init_cfg is not None:
            self.init_cfg.load_into(self)

    def extract(self, images: Tensor) -> Sequence[Tensor]:
        """Returns the feature maps of images (B, 3, H, W), finest first."""
        maps: Sequence[Tensor] = self.backbone(images)
        return maps if self.neck is None else self.neck(maps)

    def network(self, images: Tensor) -> Any:
        """Returns the raw outputs for images (B, 3, H, W)."""
        raise NotImplementedError

    def outputs(self, batch: Batch, targets: Sequence[Instances] | None = None) -> Any:
        """Returns the raw outputs for a batch; in training, ``targets`` are given."""
        return self.network(batch.images)

    def losses(self, raw: Any, targets: Sequence[Instances], batch: Batch) -> Losses:
        """Returns the loss terms of raw outputs."""
        raise NotImplementedError

    def decode(self, raw: Any, batch: Batch) -> Candidates:
        """Decodes raw outputs to scored boxes in pixels of the batch's images; their number depends on shapes only."""
        raise NotImplementedError

    def suppress(self, candidates: Candidates) -> list[Instances]:
        """Selects the detections of each image, best first."""
        found: list[Instances] = self.head.suppress(candidates)
        return found

    def complete(self, found: list[Instances], raw: Any) -> list[Instances]:
        """Adds predictions that are made only for detections, such as masks; the base class adds none.

        Args:
            found: Detections of each image, from ``suppress``.
            raw: Raw outputs of ``network``.
        """
        return found

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Instances]:
        """Returns the detections of each image, best first, in pixels of the batch's images."""
        raw = self.outputs(batch)
        return self.complete(self.suppress(self.decode(raw, batch)), raw)

    def loss(self, raw: Any, targets: Sequence[Instances], batch: Batch | None = None) -> Losses:
        """Returns the loss terms of raw outputs.

        Args:
            raw: Raw outputs of ``network``.
            targets: Objects of each image.
            batch: Batch that the raw outputs were computed from.
        """
        if isinstance(raw, Batch):
            message = "detector.loss(batch, targets) is deprecated and will be removed: use detector(batch, targets)"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            losses: Losses = self(raw, targets)
            return losses
        if batch is None:
            raise TypeError("loss: needs the batch")
        return self.losses(raw, targets, batch)

    def forward(self, batch: Batch, targets: Sequence[Instances] | None = None) -> Losses | list[Instances]:
        """Returns the loss terms if there are targets, else the detections of each image."""
        return self.predict(batch) if targets is None else self.losses(self.outputs(batch, targets), targets, batch)


def total_loss(losses: Losses) -> Tensor:
    """Returns the value that training minimises: the sum of the losses, each averaged over its values.

    Args:
        losses: Loss terms by name; terms without "loss" in their names are left out.

    Raises:
        ValueError: If no term is a loss.
    """
    total: Tensor | None = None
    for name, term in losses.items():
        if "loss" not in name:
            continue
        for value in [term] if isinstance(term, Tensor) else term:
            total = value.mean() if total is None else total + value.mean()
    if total is None:
        raise ValueError(f"losses: none among {', '.join(losses) or 'no terms'}")
    return total
