"""What travels through a detector: a batch of images, and candidates for objects in them.

The objects themselves, targets as well as detections, are :class:`rotx.records.Instances`, one for each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.records import Instances

#: Height and width in pixels.
Size = tuple[int, int]


@dataclass
class Batch:
    """Images of one batch, normalised and padded to one size.

    Attributes:
        images: Images (B, 3, H, W).
        sizes: Size of each image without padding; boxes are clipped to it.
        pad_sizes: Size of each image padded on its own, to the divisor of the preprocessor; there are no anchors
            beyond it.
    """

    images: Tensor
    sizes: list[Size]
    pad_sizes: list[Size] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.pad_sizes:
            self.pad_sizes = [(int(self.images.shape[-2]), int(self.images.shape[-1]))] * len(self.sizes)


class Candidates(NamedTuple):
    """N scored boxes for each of B images. N depends on shapes and settings alone, never on values.

    Attributes:
        boxes: Boxes (B, N, D).
        scores: Scores (B, N); −inf where there is no candidate.
        labels: Classes (B, N) int64; boxes of different labels do not suppress each other.
        kind: Kind of the boxes.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    kind: BoxKind

    @property
    def valid(self) -> Tensor:
        """Where there is a candidate, (B, N) bool."""
        return self.scores > -torch.inf

    def instances(self) -> list[Instances]:
        """The candidates of each image as records of their number, in their order."""
        return [
            Instances(boxes[keep], self.kind, labels[keep], scores=scores[keep])
            for boxes, scores, labels, keep in zip(self.boxes, self.scores, self.labels, self.valid, strict=True)
        ]


def join(parts: Sequence[Candidates]) -> Candidates:
    """The candidates of several levels, (B, ΣN)."""
    boxes, scores, labels = (torch.cat(values, dim=1) for values in list(zip(*parts, strict=True))[:3])
    return Candidates(boxes, scores, labels, parts[0].kind)
