"""Detectors that see each image in several views in one step of training.

Yang et al., "H2RBox: Horizontal Box Annotation is All You Need for Oriented Object Detection", ICLR 2023: what is
found in a turned view must be what was found, turned.
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
    """The images of a batch, seen in one way.

    Attributes:
        batch: Images as they are seen.
        targets: Objects of each image as they are seen.
        matrix: Move (3, 3) from pixels of the batch to pixels of the view.
    """

    batch: Batch
    targets: Sequence[Instances]
    matrix: NDArray[np.float64]


class ViewMaker(Protocol):
    """Makes the views of a batch, at least one, all with images of one size."""

    def __call__(self, batch: Batch, targets: Sequence[Instances]) -> list[ImageView]:
        """The views that a step of training sees."""


class Views(Detector):
    """A detector whose head learns from several views of each image: H2RBox, H2RBox-v2.

    All views of a batch go through the network at once. Predictions see each image as it is.

    Args:
        backbone: Makes feature maps of images.
        neck: Makes a pyramid of the maps; None: the maps are used as they are.
        bbox_head: Head: as that of :class:`SingleStage`, but with ``loss(raw, views)``; ``raw`` has the B images of
            the first view, then those of the second, and so on.
        views: Maker of the views.
        data_preprocessor: Makes a batch of images.
        init_cfg: Weights of a whole detector to start from.
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
        """The head that makes the detections."""
        return self.bbox_head

    def network(self, images: Tensor) -> Any:
        """Raw outputs of the head for images (B, 3, H, W)."""
        return self.bbox_head(self.extract(images))

    def losses(self, raw: Any, targets: Sequence[Instances], batch: Batch) -> Losses:
        """Loss terms of raw outputs of the only view that was seen: each image as it is."""
        losses: Losses = self.head.loss(raw, [ImageView(batch, targets, np.eye(3))])
        return losses

    def decode(self, raw: Any, batch: Batch) -> Candidates:
        """Scored boxes from raw outputs, in pixels of the batch's images."""
        candidates: Candidates = self.head.decode(raw, batch)
        return candidates

    def forward(self, batch: Batch, targets: Sequence[Instances] | None = None) -> Losses | list[Instances]:
        """The loss terms of all views with targets, the detections without."""
        if targets is None:
            return self.predict(batch)
        views = self.views(batch, targets)
        raw = self.network(torch.cat([view.batch.images for view in views]))
        losses: Losses = self.head.loss(raw, views)
        return losses
