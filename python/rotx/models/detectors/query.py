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
    """Detector with an encoder of features and a decoder of queries, such as DETR.

    Args:
        backbone: Backbone: images → feature maps.
        neck: Neck: feature maps → maps with equal numbers of channels; None: no neck.
        encoder: Encoder; ``forward(features, padding)`` returns the memory in any form that the decoder accepts.
        decoder: Decoder; ``forward(queries, memory, targets)`` returns the input of the head, ``query_channels`` is the
            number of channels of a query. Targets are given only in training, where they may add denoising queries.
        bbox_head: Head; ``forward`` takes the output of the decoder, the rest is as for :class:`SingleStage`.
        num_queries: Number of queries.
        data_preprocessor: Normalises and pads images to a batch; None: the default settings.
        init_cfg: Initial weights of the whole detector; None: those of its parts.
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
        """Head that predicts the detections."""
        return self.bbox_head

    def network(self, images: Tensor, padding: Tensor | None = None, targets: Sequence[Instances] | None = None) -> Any:
        """Returns the raw outputs of the head.

        Args:
            images: Images (B, 3, H, W).
            padding: Mask (B, H, W) bool, True in the padding; None: no padding.
            targets: Objects of each image, in training; None otherwise.
        """
        memory = self.encoder(self.extract(images), padding)
        return self.bbox_head(self.decoder(self.query_embedding.weight, memory, targets))

    def outputs(self, batch: Batch, targets: Sequence[Instances] | None = None) -> Any:
        """Returns the raw outputs for a batch; the encoder ignores the padding."""
        return self.network(batch.images, padding_of(batch), targets)

    def losses(self, raw: Any, targets: Sequence[Instances], batch: Batch) -> Losses:
        """Returns the loss terms of raw outputs."""
        losses: Losses = self.head.loss(raw, targets, batch)
        return losses

    def decode(self, raw: Any, batch: Batch) -> Candidates:
        """Decodes raw outputs to scored boxes, in pixels of the batch's images."""
        candidates: Candidates = self.head.decode(raw, batch)
        return candidates


def padding_of(batch: Batch) -> Tensor | None:
    """Returns the padding of a batch as a mask (B, H, W) bool; None if there is none."""
    height, width = batch.images.shape[-2:]
    if all(size == (height, width) for size in batch.sizes):
        return None
    padding = torch.ones((len(batch.sizes), height, width), dtype=torch.bool, device=batch.images.device)
    for mask, (h, w) in zip(padding, batch.sizes, strict=True):
        mask[:h, :w] = False
    return padding
