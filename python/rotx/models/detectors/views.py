"""Detectors that train on several views of each image at once.

Yang et al., "H2RBox: Horizontal Box Annotation is All You Need for Oriented Object Detection", ICLR 2023: predictions
in a rotated view must be the rotated predictions of the original view.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rotx.models.checkpoints import Pretrained
from rotx.models.detectors.detector import Detector, Losses
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances


class ImageView(NamedTuple):
    """One view of the images of a batch.

    Attributes:
        batch: Images of the view.
        targets: Objects of each image, in pixels of the view.
        matrix: Transform (3, 3) from pixels of the original batch to pixels of the view.
    """

    batch: Batch
    targets: Sequence[Instances]
    matrix: NDArray[np.float64]


class ViewMaker(Protocol):
    """Creates the views of a batch: at least one, all with images of the same size."""

    def __call__(self, batch: Batch, targets: Sequence[Instances]) -> list[ImageView]:
        """Returns the views for one training step."""


class Views(Detector):
    """Detector whose head learns from several views of each image: H2RBox, H2RBox-v2.

    All views of a batch pass the network together. Prediction uses only the original images.

    Args:
        backbone: Backbone: images → feature maps.
        neck: Neck: feature maps → feature pyramid; None: the maps go directly to the heads.
        bbox_head: Head; as for :class:`SingleStage`, but with ``loss(raw, views)``, where ``raw`` contains the B images
            of the first view, then those of the second, and so on.
        views: Creates the views of a batch.
        data_preprocessor: Normalises and pads images to a batch; None: the default settings.
        init_cfg: Initial weights of the whole detector; None: those of its parts.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module | None = None,
        bbox_head: nn.Module,
        views: ViewMaker,
        data_preprocessor: DetDataPreprocessor | None = None,
        init_cfg: Pretrained | None = None,
    ) -> None:
        super().__init__(backbone, neck, data_preprocessor, init_cfg)
        self.bbox_head = bbox_head
        self.views = views

    @property
    def head(self) -> Any:
        """Head that predicts the detections."""
        return self.bbox_head

    def network(self, images: Tensor) -> Any:
        """Returns the raw outputs of the head for images (B, 3, H, W)."""
        return self.bbox_head(self.extract(images))

    def losses(self, raw: Any, targets: Sequence[Instances], batch: Batch) -> Losses:
        """Returns the loss terms of raw outputs of a single view, the original images."""
        losses: Losses = self.head.loss(raw, [ImageView(batch, targets, np.eye(3))])
        return losses

    def decode(self, raw: Any, batch: Batch) -> Candidates:
        """Decodes raw outputs to scored boxes, in pixels of the batch's images."""
        candidates: Candidates = self.head.decode(raw, batch)
        return candidates

    def forward(self, batch: Batch, targets: Sequence[Instances] | None = None) -> Losses | list[Instances]:
        """Returns the loss terms of all views if there are targets, else the detections of each image."""
        if targets is None:
            return self.predict(batch)
        views = self.views(batch, targets)
        raw = self.network(torch.cat([view.batch.images for view in views]))
        losses: Losses = self.head.loss(raw, views)
        return losses
