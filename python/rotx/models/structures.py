"""What travels through a detector: a batch of images, the targets of an image, its detections."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, device

#: Height and width in pixels.
Size = tuple[int, int]


@dataclass
class Batch:
    """Images of one batch, normalised and padded to one size.

    Attributes:
        images: (B, 3, H, W).
        sizes: of each image without padding: what boxes are clipped to.
        pad_sizes: of each image padded on its own, to the divisor of the preprocessor: beyond it there are
            no anchors.
    """

    images: Tensor
    sizes: list[Size]
    pad_sizes: list[Size] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.pad_sizes:
            self.pad_sizes = [(int(self.images.shape[-2]), int(self.images.shape[-1]))] * len(self.sizes)


@dataclass
class Targets:
    """The objects of one image.

    Attributes:
        boxes: (M, 5) rboxes ``cx, cy, w, h, angle``, of the angle version of the model.
        labels: (M,) int64, 0..K-1.
        ignored: (I, 5) rboxes that are neither object nor background, or None.
    """

    boxes: Tensor
    labels: Tensor
    ignored: Tensor | None = None

    def to(self, where: device | str) -> Targets:
        """The same on a device."""
        ignored = None if self.ignored is None else self.ignored.to(where)
        return Targets(self.boxes.to(where), self.labels.to(where), ignored)


@dataclass
class Detections:
    """What a detector found in one image, best first.

    Attributes:
        boxes: (N, 5) rboxes; of the proposals of a horizontal RPN: (N, 4) hboxes.
        scores: (N,) in [0, 1].
        labels: (N,) int64.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.scores)
