"""What all detectors share: three stages, from images to raw outputs, to candidates, to detections."""

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

#: Loss terms by name: a value, or one for each level. Names without "loss" are only shown.
Losses = Mapping[str, Tensor | list[Tensor]]


class Detector(nn.Module):
    """A backbone, a neck and, in a subclass, heads.

    A subclass adds ``network``, ``losses``, ``decode`` and ``head``. ``predict`` goes through three stages:
    ``network`` makes raw outputs, tensors alone; ``decode`` makes a fixed number of candidates of them; ``suppress``
    keeps the detections. The first two are what an export holds.

    Args:
        backbone: Makes feature maps of images.
        neck: Makes a pyramid of the maps; None: the maps are used as they are.
        data_preprocessor: Makes a batch of images.
        init_cfg: Weights of a whole detector to start from.
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
        """The head that makes the detections."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.head.num_classes)

    @property
    def box_kind(self) -> BoxKind:
        """Kind of the boxes of detections."""
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
        """IoU of boxes above which the worse one is suppressed; None where they are not compared as they are."""
        nms: Any = getattr(self.head, "nms", None)
        as_they_are = isinstance(nms, NMSRotated) or (isinstance(nms, NMS) and self.box_kind == "hbox")
        return float(nms.iou_threshold) if as_they_are else None

    def init_weights(self) -> None:
        """Sets the weights that training starts from; may download those of the backbone."""
        for child in self.children():
            set_weights = getattr(child, "init_weights", None)
            if set_weights is not None:
                set_weights()
        if self.init_cfg is not None:
            self.init_cfg.load_into(self)

    def extract(self, images: Tensor) -> Sequence[Tensor]:
        """Feature maps of images (B, 3, H, W), finest first."""
        maps: Sequence[Tensor] = self.backbone(images)
        return maps if self.neck is None else self.neck(maps)

    def network(self, images: Tensor) -> Any:
        """Raw outputs for images (B, 3, H, W)."""
        raise NotImplementedError

    def outputs(self, batch: Batch, targets: Sequence[Instances] | None = None) -> Any:
        """Raw outputs for a batch, in training with its targets."""
        return self.network(batch.images)

    def losses(self, raw: Any, targets: Sequence[Instances], batch: Batch) -> Losses:
        """Loss terms of raw outputs."""
        raise NotImplementedError

    def decode(self, raw: Any, batch: Batch) -> Candidates:
        """Scored boxes from raw outputs, in pixels of the batch's images; their number depends on shapes alone."""
        raise NotImplementedError

    def suppress(self, candidates: Candidates) -> list[Instances]:
        """The detections of each image, best first."""
        found: list[Instances] = self.head.suppress(candidates)
        return found

    def complete(self, found: list[Instances], raw: Any) -> list[Instances]:
        """The detections with what is predicted for them alone, such as masks; here nothing.

        Args:
            found: Detections of ``suppress``.
            raw: Raw outputs.
        """
        return found

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Instances]:
        """The detections of each image, best first, in pixels of the batch's images."""
        raw = self.outputs(batch)
        return self.complete(self.suppress(self.decode(raw, batch)), raw)

    def loss(self, raw: Any, targets: Sequence[Instances], batch: Batch | None = None) -> Losses:
        """Loss terms of raw outputs.

        Args:
            raw: Outputs of ``network``.
            targets: Objects of each image.
            batch: Batch that the outputs are for.
        """
        if isinstance(raw, Batch):
            message = "detector.loss(batch, targets) is now detector(batch, targets); it goes with the next version"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            losses: Losses = self(raw, targets)
            return losses
        if batch is None:
            raise TypeError("loss: needs the batch, too")
        return self.losses(raw, targets, batch)

    def forward(self, batch: Batch, targets: Sequence[Instances] | None = None) -> Losses | list[Instances]:
        """The loss terms with targets, the detections without."""
        return self.predict(batch) if targets is None else self.losses(self.outputs(batch, targets), targets, batch)


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
