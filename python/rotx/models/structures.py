"""What travels through a detector: a batch of images, the targets of an image, its detections."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, device, int64

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

    Raises:
        ValueError: for another shape, or boxes and labels on different devices.
        TypeError: for labels that are not int64.
    """

    boxes: Tensor
    labels: Tensor
    ignored: Tensor | None = None

    def __post_init__(self) -> None:
        for name, boxes in (("boxes", self.boxes), ("ignored", self.ignored)):
            if boxes is not None and (boxes.dim() != 2 or boxes.shape[1] != 5):
                raise ValueError(f"targets.{name}: need shape (N, 5), got {tuple(boxes.shape)}")
        if self.labels.shape != self.boxes.shape[:1]:
            raise ValueError(
                f"targets.labels: need one for each of {len(self.boxes)} boxes, got shape {tuple(self.labels.shape)}"
            )
        if self.labels.dtype != int64:
            raise TypeError(f"targets.labels: need int64, got {self.labels.dtype}")
        if len({x.device for x in (self.boxes, self.labels, self.ignored) if x is not None}) > 1:
            raise ValueError(
                f"targets: need one device, got boxes on {self.boxes.device}, labels on {self.labels.device}"
            )

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
