"""Test-time augmentation: a detector runs on several views of an image, and what it finds in them is merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate

from rotx import boxes
from rotx.boxes.move import Matrix
from rotx.models.detectors import Detector
from rotx.models.structures import Size
from rotx.records import Instances, concatenate

#: Scales of the size that the pipeline gives images.
SCALES = (1.0, 0.75, 1.25)
#: Words that `views_of` takes.
KINDS = ("flip", "rotate", "scales")
#: Detections of one object in several views: merged by the IoU above which detectors for DOTA suppress.
MERGE_IOU = 0.1


@dataclass(frozen=True)
class View:
    """A way to show an image: scaled, then mirrored, then turned.

    Attributes:
        scale: Factor of both sides.
        mirrored: Whether left and right are exchanged.
        turns: Number of quarter turns, clockwise.
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

    def matrix(self, size: Size) -> Matrix:
        """The move (3, 3) from pixels of an image to pixels of its view.

        Coordinates are continuous with 0 at the image's border, as in `rotx.boxes.flip` and so in training.

        Args:
            size: Height and width of the image.
        """
        height, width = self._scaled(size)
        matrix = boxes.scale_matrix(width / size[1], height / size[0])
        if self.mirrored:
            matrix = boxes.flip_matrix((height, width), "horizontal") @ matrix
        if self.turns:
            seen_height, seen_width = (width, height) if self.turns % 2 else (height, width)
            c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.turns % 4]  # exact, so that masks of upright boxes follow
            turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float64)
            to, back = (seen_width / 2, seen_height / 2), (-width / 2, -height / 2)
            matrix = boxes.translation_matrix(*to) @ turn @ boxes.translation_matrix(*back) @ matrix
        return matrix

    def undo(self, found: Instances, size: Size) -> Instances:
        """Objects that were found in this view, in pixels of an image of a height and width."""
        return found.move(np.linalg.inv(self.matrix(size)))

    def _scaled(self, size: Size) -> Size:
        return max(round(size[0] * self.scale), 1), max(round(size[1] * self.scale), 1)


def views_of(kinds: str) -> tuple[View, ...]:
    """The views of ``flip``, ``rotate``, ``scales``, or several of them with commas; the plain one comes first.

    ``flip``: as it is and in three directions. ``rotate``: in quarter turns. Both: the eight ways to lay a picture
    on a table, as a diagonal flip is half a turn. ``scales``: each of those at `SCALES`.

    Raises:
        ValueError: For another word.
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
    """What a detector finds in all views of each image: the best detection of those of a class that overlap.

    Args:
        detector: Detector in evaluation mode.
        images: Images (3, H, W), of any sizes, on the detector's device.
        views: Views, as `views_of` makes them.
    """
    found: list[list[Instances]] = [[] for _ in images]
    for view in views:
        seen = predict_plain(detector, [view.see(image) for image in images])
        for into, image, one in zip(found, images, seen, strict=True):
            into.append(view.undo(one, (int(image.shape[1]), int(image.shape[2]))))
    return [_merge(concatenate(several), detector.nms_iou) for several in found]


def predict_plain(detector: Detector, images: Sequence[Tensor]) -> list[Instances]:
    """What a detector finds in each image (3, H, W), best first, in pixels of these images."""
    return detector.predict(detector.data_preprocessor(list(images)))


def _merge(found: Instances, nms_iou: float | None) -> Instances:
    """The best of what overlaps; upright boxes of neighbours may overlap as much as the detector allows them to."""
    threshold = nms_iou if found.kind == "hbox" and nms_iou is not None else MERGE_IOU
    return found[boxes.nms(found.boxes, found.scores, found.labels, found.kind, threshold)]
