"""Previews: images are read in bands of rows and reduced, so that memory does not grow with the image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.images.files import UnreadableImage, read_image
from rotx.images.window_cache import Pixels, Reader, open_image

#: Size in bytes of the rows that are read at a time, unless a single row is larger.
BAND_BYTES = 16 << 20


def preview(file: Path, longest: int) -> Pixels:
    """Reads an image as (H, W, 3) uint8, BGR, reduced so that the longer side is at most ``longest`` pixels.

    Memory holds the preview and a band of rows; files that cannot be read in bands are read whole.

    Raises:
        UnreadableImage: For a file that holds no image.
    """
    try:
        reader = open_image(file)
    except UnreadableImage:  # OpenCV reads more formats; what is damaged it refuses too
        pixels = read_image(file)
        size = pixels.shape[1], pixels.shape[0]
        return pixels if max(size) <= longest else _averaged(iter([pixels]), size, longest)
    size = reader.width, reader.height
    try:
        return reader.read(0, 0, *size) if max(size) <= longest else _averaged(bands(reader), size, longest)
    except (ValueError, OSError) as error:
        raise error if isinstance(error, UnreadableImage) else UnreadableImage(file, str(error)) from None


def bands(reader: Reader) -> Iterator[Pixels]:
    """Yields an image from the top down, in whole blocks if they are small enough."""
    most, block = max(1, BAND_BYTES // (3 * reader.width)), reader.block[1]
    rows = most // block * block or most
    for y in range(0, reader.height, rows):
        yield reader.read(0, y, reader.width, min(rows, reader.height - y))


def _averaged(bands: Iterator[Pixels], whole: tuple[int, int], longest: int) -> Pixels:
    """Reduces an image of width and height ``whole``, given in bands: each pixel becomes the mean of its area.

    OpenCV averages along the rows; the area of a pixel may span two bands.
    """
    factor, height = longest / max(whole), whole[1]
    size = max(1, round(whole[0] * factor)), max(1, round(height * factor))
    out: NDArray[np.uint8] = np.empty((size[1], size[0], 3), np.uint8)
    step = height / size[1]
    waiting, first = np.empty((0, size[0], 3), np.uint8), 0  # rows still needed, from row `first` on
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
