"""Test-time augmentation: runs a detector on several views of an image and merges the detections."""

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

#: Scales of ``scales``, relative to the image size after the test pipeline.
SCALES = (1.0, 0.75, 1.25)
#: Words that `views_of` accepts.
KINDS = ("flip", "rotate", "scales")
#: IoU above which detections of different views are merged: the usual NMS threshold for DOTA.
MERGE_IOU = 0.1


@dataclass(frozen=True)
class View:
    """View of an image: scaled, then flipped, then rotated.

    Attributes:
        scale: Scale factor of both sides.
        mirrored: Whether the view is flipped horizontally.
        turns: Number of clockwise rotations by 90°.
    """

    scale: float = 1.0
    mirrored: bool = False
    turns: int = 0

    def see(self, image: Tensor) -> Tensor:
        """Returns this view of an image (3, H, W) of any dtype; float32 if it is scaled."""
        if self.scale != 1:
            size = self._scaled((int(image.shape[1]), int(image.shape[2])))
            image = interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
        if self.mirrored:
            image = image.flip(2)
        return image.rot90(-self.turns, (1, 2))

    def matrix(self, size: Size) -> Matrix:
        """Returns the transform (3, 3) from pixels of an image to pixels of its view.

        Coordinates are continuous, with 0 at the image's border, as in `rotx.boxes.flip` and in training.

        Args:
            size: Height and width of the image.
        """
        height, width = self._scaled(size)
        matrix = boxes.scale_matrix(width / size[1], height / size[0])
        if self.mirrored:
            matrix = boxes.flip_matrix((height, width), "horizontal") @ matrix
        if self.turns:
            seen_height, seen_width = (width, height) if self.turns % 2 else (height, width)
            c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.turns % 4]  # exact, so that horizontal boxes stay so
            turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float64)
            to, back = (seen_width / 2, seen_height / 2), (-width / 2, -height / 2)
            matrix = boxes.translation_matrix(*to) @ turn @ boxes.translation_matrix(*back) @ matrix
        return matrix

    def undo(self, found: Instances, size: Size) -> Instances:
        """Converts objects from pixels of this view to pixels of the image.

        Args:
            found: Objects found in this view.
            size: Height and width of the image.
        """
        return found.move(np.linalg.inv(self.matrix(size)))

    def _scaled(self, size: Size) -> Size:
        return max(round(size[0] * self.scale), 1), max(round(size[1] * self.scale), 1)


def views_of(kinds: str) -> tuple[View, ...]:
    """Returns the views of a ``tta`` option; the first is the original image.

    ``flip`` adds horizontal, vertical and diagonal flips, ``rotate`` adds rotations by 90°, 180° and 270°. Together
    they give eight views, since a diagonal flip is a rotation by 180°. ``scales`` gives each view at all `SCALES`.

    Args:
        kinds: ``flip``, ``rotate``, ``scales``, or several of them separated by commas.

    Raises:
        ValueError: If a word is unknown.
    """
    words = [word.strip() for word in kinds.split(",")]
    for word in words:
        if word not in KINDS:
            raise ValueError(f"tta: need {', '.join(KINDS)}, or several of them separated by commas, got {word!r}")
    mirrored = (False, True) if "flip" in words else (False,)
    turns = range(4) if "rotate" in words else range(0, 4, 2) if "flip" in words else range(1)
    scales = SCALES if "scales" in words else SCALES[:1]
    return tuple(View(*view) for view in product(scales, mirrored, turns))


def predict_views(detector: Detector, images: Sequence[Tensor], views: Sequence[View]) -> list[Instances]:
    """Runs a detector on all views of each image and merges overlapping detections of each class by NMS.

    Args:
        detector: Detector in evaluation mode.
        images: Images (3, H, W), of any sizes, on the detector's device.
        views: Views, from `views_of`.

    Returns:
        The detections of each image, best first, in its pixels.
    """
    found: list[list[Instances]] = [[] for _ in images]
    for view in views:
        seen = predict_plain(detector, [view.see(image) for image in images])
        for into, image, one in zip(found, images, seen, strict=True):
            into.append(view.undo(one, (int(image.shape[1]), int(image.shape[2]))))
    return [_merge(concatenate(several), detector.nms_iou) for several in found]


def predict_plain(detector: Detector, images: Sequence[Tensor]) -> list[Instances]:
    """Runs a detector on images (3, H, W); returns the detections of each, best first, in its pixels."""
    return detector.predict(detector.data_preprocessor(list(images)))


def _merge(found: Instances, nms_iou: float | None) -> Instances:
    """Suppresses overlapping detections; horizontal boxes use the detector's own threshold, as neighbours overlap."""
    threshold = nms_iou if found.kind == "hbox" and nms_iou is not None else MERGE_IOU
    return found[boxes.nms(found.boxes, found.scores, found.labels, found.kind, threshold)]
