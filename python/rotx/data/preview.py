"""Images read in bands of rows, and made smaller from them: memory does not grow with the image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx._rust import ImageReader
from rotx.data.image_files import UnreadableImage
from rotx.data.window_cache import Pixels, Reader, open_image

#: Of the rows that are read at a time, unless one row has more.
BAND_BYTES = 16 << 20


def preview(file: Path, longest: int) -> Pixels:
    """An image (H, W, 3) uint8, BGR, whose longer side is at most ``longest`` pixels.

    Memory is that of the preview and of a band of rows; files that cannot be read in bands are read whole.

    Raises:
        UnreadablePixels: for a file that holds no image.
    """
    reader = open_image(file)
    try:
        factor = longest / max(reader.width, reader.height)
        if factor >= 1:
            return reader.read(0, 0, reader.width, reader.height)
        size = max(1, round(reader.width * factor)), max(1, round(reader.height * factor))
        return _averaged(bands(reader), reader.height, size)
    except (ValueError, OSError) as error:
        raise error if isinstance(error, UnreadableImage) else UnreadableImage(file, str(error)) from None


def bands(reader: Reader) -> Iterator[Pixels]:
    """An image from the top down, whole blocks at a time if they are not too many bytes."""
    most, block = max(1, BAND_BYTES // (3 * reader.width)), reader.block[1]
    rows = most // block * block or most
    if not isinstance(reader, ImageReader):
        rows = reader.height  # each read decodes all
    for y in range(0, reader.height, rows):
        yield reader.read(0, y, reader.width, min(rows, reader.height - y))


def _averaged(bands: Iterator[Pixels], height: int, size: tuple[int, int]) -> Pixels:
    """Bands of ``height`` rows together as an image of ``size``, width and height: each pixel is the mean of its area.

    OpenCV averages along the rows; what is above a pixel of the result may lie in two bands.
    """
    out: NDArray[np.uint8] = np.empty((size[1], size[0], 3), np.uint8)
    step = height / size[1]
    waiting, first = np.empty((0, size[0], 3), np.uint8), 0  # rows that are still needed, from `first` on
    row = 0
    for band in bands:
        narrow = cv2.resize(band, (size[0], len(band)), interpolation=cv2.INTER_AREA)
        waiting = np.concatenate([waiting, narrow.reshape(len(band), size[0], 3)])
        there = first + len(waiting)
        while row < size[1] and (there == height or (row + 1) * step <= there):
            top, bottom = row * step, min((row + 1) * step, height)
            begin, end = int(top), min(math.ceil(bottom), height)
            edges = np.arange(begin, end + 1).clip(top, bottom)
            weights = (np.diff(edges) / (bottom - top)).astype(np.float32)
            parts = waiting[begin - first : end - first].reshape(end - begin, -1).astype(np.float32)
            out[row] = np.rint(weights @ parts).reshape(-1, 3)
            row += 1
        keep = int(row * step)
        waiting, first = waiting[keep - first :], keep
    return out
