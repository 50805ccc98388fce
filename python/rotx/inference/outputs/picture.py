"""Writer of drawn images; large ones are reduced to a preview."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2

from rotx.atomic import write_bytes
from rotx.images.draw import draw_onto
from rotx.images.preview import preview
from rotx.inference.outputs.writer import size_of
from rotx.records import ImageRecord


def draw(result: ImageRecord, classes: Sequence[str], picture: str | Path, longest: int = 4096) -> None:
    """Draws the objects on an image and writes it as a JPEG; larger images are downsampled.

    Args:
        result: Image; all its objects are drawn.
        classes: Class names in the order of the labels.
        picture: Path of the picture, ending in ``.jpg``; its folders are created.
        longest: Maximum length of the picture's longer side, in pixels.

    Raises:
        UnreadableImage: If the file is not an image.
        OSError: If the picture cannot be written.
    """
    shown = preview(result.path, longest)
    width, height = size_of(result)
    # The centre of the first pixel is (0, 0) before and after.
    across, down = shown.shape[1] / width, shown.shape[0] / height
    found = result.instances
    rboxes = found.rboxes.copy()
    rboxes[:, :2] = (rboxes[:, :2] + 0.5) * (across, down) - 0.5
    rboxes[:, 2:4] *= math.sqrt(across * down)  # the factors differ only by rounding
    names = [classes[label] for label in found.labels.tolist()]
    captions = [f"{name} {score:.2f}" for name, score in zip(names, found.scores, strict=True)]
    draw_onto(shown, rboxes, found.labels, captions, names)
    picture = Path(picture)
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(picture, cv2.imencode(".jpg", shown)[1].data)
