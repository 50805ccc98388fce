"""Drawn images; of huge ones, a preview."""

from __future__ import annotations

from pathlib import Path

import cv2

from rotx.atomic import write_bytes
from rotx.data.image_files import read_image
from rotx.inference.outputs.result import Result
from rotx.visualize import Image, draw_boxes


def draw(result: Result, picture: str | Path, longest: int = 4096, pixels: Image | None = None) -> None:
    """Writes a JPEG of an image with what was found on it.

    Args:
        result: all its objects are drawn; see `Prediction.above`.
        picture: ends in ``.jpg``; folders are made.
        longest: the longer side of a larger image's picture, in pixels.
        pixels: the image (H, W, 3), BGR, if it is at hand; a frame of a video must be. None: it is read, in bands
            of rows.

    Raises:
        UnreadableImage: for a file that holds no image.
        OSError: if the picture cannot be written.
    """
    image = read_image(result.file) if pixels is None else pixels
    found = result.prediction
    captions = [f"{name} {score:.2f}" for name, score in zip(found.classes, found.scores, strict=True)]
    drawn = draw_boxes(image, found.rboxes, found.labels, captions)
    picture = Path(picture)
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(picture, cv2.imencode(".jpg", drawn)[1].tobytes())
