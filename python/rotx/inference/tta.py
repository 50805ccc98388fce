"""Test-time augmentation: an image seen in several ways, and what is found in all of them merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import pi

from torch import Tensor
from torch.nn.functional import interpolate

from rotx import boxes
from rotx.models.detectors import Detector
from rotx.models.structures import Size
from rotx.records import Instances, concatenate

#: Scales of the size that the pipeline gives images.
SCALES = (1.0, 0.75, 1.25)
#: What `views_of` knows.
KINDS = ("flip", "rotate", "scales")
#: Detections of one object in several views: by the same IoU, above which detectors for DOTA suppress.
MERGE_IOU = 0.1


@dataclass(frozen=True)
class View:
    """A way to see an image: scaled, then mirrored, then turned.

    Attributes:
        scale: of both sides.
        mirrored: left and right changed over.
        turns: quarter turns, clockwise.
    """

    scale: float = 1.0
    mirrored: bool = False
    turns: int = 0

    def see(self, image: Tensor) -> Tensor:
        """The image (3, H, W), of any dtype, in this view; float32 if it is scaled."""
        if self.scale != 1:
            size = self._scaled((int(image.shape[1]), int(image.shape[2])))
            image = interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
        if self.mirrored:
            image = image.flip(2)
        return image.rot90(-self.turns, (1, 2))

    def undo(self, rboxes: Tensor, size: Size) -> Tensor:
        """Boxes (N, 5) that were found in this view, in pixels of the image.

        Coordinates are continuous with 0 at the image's border, as in `rotx.boxes.flip` and so in training.

        Args:
            rboxes: in pixels of the view.
            size: height and width of the image.
        """
        height, width = self._scaled(size)
        seen_height, seen_width = (width, height) if self.turns % 2 else (height, width)
        if self.turns:
            rboxes = boxes.rotate(rboxes, (seen_width / 2, seen_height / 2), -self.turns * pi / 2)
            rboxes = boxes.translate(rboxes, ((width - seen_width) / 2, (height - seen_height) / 2))
        if self.mirrored:
            rboxes = boxes.flip(rboxes, (height, width), "horizontal")
        return boxes.rescale(rboxes, (size[1] / width, size[0] / height))

    def _scaled(self, size: Size) -> Size:
        return max(round(size[0] * self.scale), 1), max(round(size[1] * self.scale), 1)


def views_of(kinds: str) -> tuple[View, ...]:
    """The views of ``flip``, ``rotate``, ``scales``, or several of them with commas; the plain one comes first.

    ``flip``: as it is and in three directions. ``rotate``: in quarter turns. Both: the eight ways to lay a picture
    on a table, as a diagonal flip is half a turn. ``scales``: each of those at `SCALES`.

    Raises:
        ValueError: for another word.
    """
    words = [word.strip() for word in kinds.split(",")]
    for word in words:
        if word not in KINDS:
            raise ValueError(f"tta: need {', '.join(KINDS)}, or several of them with commas, got {word!r}")
    mirrored = (False, True) if "flip" in words else (False,)
    turns = range(4) if "rotate" in words else range(0, 4, 2) if "flip" in words else range(1)
    scales = SCALES if "scales" in words else SCALES[:1]
    return tuple(View(*view) for view in product(scales, mirrored, turns))


def predict_views(detector: Detector, images: Sequence[Tensor], views: Sequence[View]) -> list[Instances]:
    """What a detector finds in each image, seen in each view: of detections of a class that overlap the best.

    Args:
        detector: in evaluation mode.
        images: (3, H, W), of any sizes, on the detector's device.
        views: as `views_of` makes them.
    """
    found: list[list[Instances]] = [[] for _ in images]
    for view in views:
        batch = detector.data_preprocessor([view.see(image) for image in images])
        for into, image, seen in zip(found, images, detector.predict(batch), strict=True):
            size = int(image.shape[1]), int(image.shape[2])
            into.append(replace(seen, boxes=view.undo(seen.boxes, size)))
    return [_merge(several) for several in found]


def _merge(several: Sequence[Instances]) -> Instances:
    found = concatenate(several)
    return found[boxes.nms(found.boxes, found.scores, found.labels, found.kind, MERGE_IOU)]
