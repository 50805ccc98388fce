"""Drawn images; of huge ones a preview."""

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
    """Writes a JPEG of an image with what was found on it; an image that is larger is averaged to a preview.

    Args:
        result: The image; all its objects are drawn.
        classes: Names of the classes, in the order of the labels.
        picture: Path of the picture, which ends in ``.jpg``; folders are made.
        longest: Greatest length of the longer side of the picture, in pixels.

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
    rboxes[:, 2:4] *= math.sqrt(across * down)  # they differ by the rounding of the sides alone
    names = [classes[label] for label in found.labels.tolist()]
    captions = [f"{name} {score:.2f}" for name, score in zip(names, found.scores, strict=True)]
    draw_onto(shown, rboxes, found.labels, captions, names)
    picture = Path(picture)
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(picture, cv2.imencode(".jpg", shown)[1].data)
