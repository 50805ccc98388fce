"""Detectors that predict a set of objects from learned queries.

Carion et al., "End-to-End Object Detection with Transformers" (DETR), ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rotx.models.checkpoints import Pretrained
from rotx.models.detectors.detector import Detector, Losses
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances


class Query(Detector):
    """A detector with an encoder of features and a decoder of queries: DETR and its kin.

    Args:
        backbone: Makes feature maps of images.
        neck: Makes maps of one width; None: the maps are used as they are.
        encoder: ``forward(features, padding)`` makes a memory, of whatever form the decoder takes.
        decoder: ``forward(queries, memory, targets)`` makes what the head takes; ``query_channels`` is the width of a
            query. Targets are None but in training, where they may make further queries to learn from.
        bbox_head: Head: ``forward`` on what the decoder makes, and the rest as that of :class:`SingleStage`.
        num_queries: Number of queries.
        data_preprocessor: Makes a batch of images.
        init_cfg: Weights of a whole detector to start from.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module | None = None,
        encoder: nn.Module,
        decoder: nn.Module,
        bbox_head: nn.Module,
        num_queries: int,
        data_preprocessor: DetDataPreprocessor | None = None,
        init_cfg: Pretrained | None = None,
    ) -> None:
        super().__init__(backbone, neck, data_preprocessor, init_cfg)
        self.encoder = encoder
        self.decoder = decoder
        self.bbox_head = bbox_head
        channels: Any = decoder.query_channels
        self.query_embedding = nn.Embedding(num_queries, int(channels))

    @property
    def head(self) -> Any:
        """The head that makes the detections."""
        return self.bbox_head

    def network(self, images: Tensor, padding: Tensor | None = None, targets: Sequence[Instances] | None = None) -> Any:
        """Raw outputs of the head.

        Args:
            images: Images (B, 3, H, W).
            padding: Where the images are padding, (B, H, W) bool; None: nowhere.
            targets: Objects of each image, in training.
        """
        memory = self.encoder(self.extract(images), padding)
        return self.bbox_head(self.decoder(self.query_embedding.weight, memory, targets))

    def outputs(self, batch: Batch, targets: Sequence[Instances] | None = None) -> Any:
        """Raw outputs for a batch, whose padding the encoder leaves out."""
        return self.network(batch.images, padding_of(batch), targets)

    def losses(self, raw: Any, targets: Sequence[Instances], batch: Batch) -> Losses:
        """Loss terms of raw outputs."""
        losses: Losses = self.head.loss(raw, targets, batch)
        return losses

    def decode(self, raw: Any, batch: Batch) -> Candidates:
        """Scored boxes from raw outputs, in pixels of the batch's images."""
        candidates: Candidates = self.head.decode(raw, batch)
        return candidates


def padding_of(batch: Batch) -> Tensor | None:
    """Where images of a batch are padding, (B, H, W) bool; None: nowhere."""
    height, width = batch.images.shape[-2:]
    if all(size == (height, width) for size in batch.sizes):
        return None
    padding = torch.ones((len(batch.sizes), height, width), dtype=torch.bool, device=batch.images.device)
    for mask, (h, w) in zip(padding, batch.sizes, strict=True):
        mask[:h, :w] = False
    return padding
