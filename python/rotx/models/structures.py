"""Inputs and intermediate results of detectors: batches of images and candidates.

Targets and detections are :class:`rotx.records.Instances`, one per image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.records import Instances
from rotx.renamed import old_name

#: Height and width in pixels.
Size = tuple[int, int]


@dataclass
class Batch:
    """Batch of images, normalised and padded to a common size.

    Attributes:
        images: Images (B, 3, H, W), float32.
        sizes: Size of each image without padding; boxes are clipped to it.
        pad_sizes: Size of each image padded individually to a multiple of the preprocessor's divisor; anchors beyond
            it are not used.
    """

    images: Tensor
    sizes: list[Size]
    pad_sizes: list[Size] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.pad_sizes:
            self.pad_sizes = [(int(self.images.shape[-2]), int(self.images.shape[-1]))] * len(self.sizes)


class Candidates(NamedTuple):
    """N scored boxes for each of B images. N depends only on shapes and settings, not on values.

    Attributes:
        boxes: Boxes (B, N, D), in pixels of the batch's images.
        scores: Scores (B, N); −inf in empty places.
        labels: Class indices (B, N) int64; boxes with different labels do not suppress each other.
        kind: Kind of the boxes.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    kind: BoxKind

    @property
    def valid(self) -> Tensor:
        """Mask (B, N) bool of the places that contain a candidate."""
        return self.scores > -torch.inf

    def instances(self) -> list[Instances]:
        """Returns the candidates of each image without empty places, in the same order."""
        return [
            Instances(boxes[keep], self.kind, labels[keep], scores=scores[keep])
            for boxes, scores, labels, keep in zip(self.boxes, self.scores, self.labels, self.valid, strict=True)
        ]


def join(parts: Sequence[Candidates]) -> Candidates:
    """Concatenates the candidates of several levels to (B, ΣN)."""
    boxes, scores, labels = (torch.cat(values, dim=1) for values in list(zip(*parts, strict=True))[:3])
    return Candidates(boxes, scores, labels, parts[0].kind)


def __getattr__(name: str) -> Any:
    return old_name(__name__, name)
