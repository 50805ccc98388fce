"""Drawn images; of huge ones a preview."""

from __future__ import annotations

import math
from pathlib import Path

import cv2

from rotx.atomic import write_bytes
from rotx.images.draw import draw_onto
from rotx.images.preview import preview
from rotx.inference.outputs.result import Result


def draw(result: Result, picture: str | Path, longest: int = 4096) -> None:
    """Writes a JPEG of an image with what was found on it; an image that is larger is averaged to a preview.

    Args:
        result: all its objects are drawn; see `Prediction.above`.
        picture: ends in ``.jpg``; folders are made.
        longest: the longer side of the picture is at most so many pixels.

    Raises:
        UnreadableImage: for a file that holds no image.
        OSError: if the picture cannot be written.
    """
    shown = preview(result.file, longest)
    # The centre of the first pixel is (0, 0) before and after.
    across, down = shown.shape[1] / result.width, shown.shape[0] / result.height
    found = result.prediction
    rboxes = found.rboxes.copy()
    rboxes[:, :2] = (rboxes[:, :2] + 0.5) * (across, down) - 0.5
    rboxes[:, 2:4] *= math.sqrt(across * down)  # they differ by the rounding of the sides alone
    captions = [f"{name} {score:.2f}" for name, score in zip(found.classes, found.scores, strict=True)]
    draw_onto(shown, rboxes, found.labels, captions, found.classes)
    picture = Path(picture)
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(picture, cv2.imencode(".jpg", shown)[1].data)
