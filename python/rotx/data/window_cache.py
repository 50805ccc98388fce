"""Windows of images, decoded no more often than a bounded cache of this process makes necessary.

A file is decoded in the blocks that it is made of (`rotx._rust.ImageReader.block`), and blocks that were used last
are kept. Rows of a PNG or JPEG come only from the top: what is decoded on the way down to a window is kept too, if
the whole image fits into the cache. Every process has a cache of its own: a worker of a loader starts with an empty
one, so that what is said of memory holds for each.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rotx import _rust
from rotx.data.image_files import UnreadableImage, image_size, read_image
from rotx.data.sample import Record, Window

Pixels = NDArray[np.uint8]

#: So many images stay open, to go on reading where the last window ended.
MOST_OPEN = 8

#: What OpenCV reads and `rotx._rust` does not: such files are decoded whole.
_WHOLE = (".webp", ".ppm", ".pgm")


class Reader(Protocol):
    """An image that is read in pieces; `rotx._rust.ImageReader` is one."""

    @property
    def width(self) -> int:
        """In pixels."""

    @property
    def height(self) -> int:
        """In pixels."""

    @property
    def block(self) -> tuple[int, int]:
        """Width and height of the pieces that cost least; as wide as the image if rows come only from the top."""

    def read(self, x: int, y: int, width: int, height: int) -> Pixels:
        """An area as (height, width, 3) uint8, BGR."""


def read_record(record: Record) -> Pixels:
    """The image of a record, (H, W, 3) uint8, BGR: that of its file, or the window of it.

    Raises:
        UnreadableImage: for a file that is absent, holds no image, or ends before the window does.
    """
    if record.window is None:
        return read_image(record.path)
    with _lock:
        return _cache.read(record.path, record.window)


def open_image(path: Path) -> Reader:
    """Opens an image and reads its header.

    Raises:
        UnreadableImage: if it has none.
    """
    try:
        return _Whole(path) if path.suffix.lower() in _WHOLE else _rust.ImageReader(path)
    except UnreadableImage:
        raise
    except (ValueError, OSError) as error:
        raise UnreadableImage(path, str(error)) from None


class _Whole:
    """An image of a format that is only read whole."""

    def __init__(self, path: Path) -> None:
        size = image_size(path)
        if size is None:
            raise UnreadableImage(path, "holds no image")
        self.path, (self.height, self.width) = path, size
        self.block = self.width, self.height

    def read(self, x: int, y: int, width: int, height: int) -> Pixels:
        """Reads all and cuts out an area."""
        return read_image(self.path)[y : y + height, x : x + width]


class _Version(NamedTuple):
    """A file as it was at some time: what is known of it is forgotten when it changes."""

    path: str
    changed: int
    bytes: int


class _Opened:
    """An open image."""

    def __init__(self, path: Path, version: _Version) -> None:
        self.reader = open_image(path)
        self.version = version
        self.next_row = 0  # of blocks: where a reader from the top can go on

    def place(self, column: int, row: int) -> tuple[int, int, int, int]:
        """Left, top, width and height of a block."""
        reader, (across, down) = self.reader, self.reader.block
        x, y = column * across, row * down
        return x, y, min(across, reader.width - x), min(down, reader.height - y)


class WindowCache:
    """Images that are open and blocks of pixels, those that were used last.

    Attributes:
        bytes: that all blocks have.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._images: OrderedDict[_Version, _Opened] = OrderedDict()
        self._blocks: OrderedDict[tuple[_Version, int, int], Pixels] = OrderedDict()

    def read(self, path: Path, window: Window) -> Pixels:
        """A window of an image, (H, W, 3) uint8, BGR; what lies beyond the image is padding or left out.

        Raises:
            UnreadableImage: for a file that is absent, holds no image, or ends before the window does.
        """
        image = self._open(path)
        x0, y0, x1, y1 = window.area
        right, bottom = min(x1, image.reader.width), min(y1, image.reader.height)
        shape = (bottom - y0, right - x0, 3) if window.padding is None else (y1 - y0, x1 - x0, 3)
        out = np.empty(shape, np.uint8)
        if right < x1 or bottom < y1:
            out[...] = window.padding or 0
        try:
            self._fill(image, (x0, y0, right, bottom), window.cache_bytes, out)
        except UnreadableImage:
            raise
        except (ValueError, OSError) as error:
            del self._images[image.version]  # who knows what state its reader is in
            raise UnreadableImage(path, str(error)) from None
        return out

    def _open(self, path: Path) -> _Opened:
        try:
            status = path.stat()
        except OSError as error:
            raise UnreadableImage(path, error.strerror or str(error)) from None
        version = _Version(str(path), status.st_mtime_ns, status.st_size)
        image = self._images.pop(version, None) or _Opened(path, version)
        self._images[version] = image
        if len(self._images) > MOST_OPEN:
            self._images.popitem(last=False)
        return image

    def _fill(self, image: _Opened, area: tuple[int, int, int, int], budget: int, out: Pixels) -> None:
        """Writes an area of an image into the top left of ``out``."""
        x0, y0, x1, y1 = area
        across, down = image.reader.block
        if across * down * 3 > budget:
            out[: y1 - y0, : x1 - x0] = image.reader.read(x0, y0, x1 - x0, y1 - y0)
            image.next_row = image.reader.height  # it may stand within a block: start anew
            return
        for row in range(y0 // down, (y1 - 1) // down + 1):
            for column in range(x0 // across, (x1 - 1) // across + 1):
                x, y, width, height = image.place(column, row)
                left, top, right, bottom = max(x, x0), max(y, y0), min(x + width, x1), min(y + height, y1)
                part = self._block(image, column, row, budget)[top - y : bottom - y, left - x : right - x]
                out[top - y0 : bottom - y0, left - x0 : right - x0] = part

    def _block(self, image: _Opened, column: int, row: int, budget: int) -> Pixels:
        """A block, from the cache or the file."""
        key = (image.version, column, row)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        reader = image.reader
        if reader.block[0] >= reader.width and reader.width * reader.height * 3 <= budget:
            for above in range(image.next_row if image.next_row <= row else 0, row):
                if (image.version, 0, above) not in self._blocks:
                    self._decode(image, 0, above, budget)
        return self._decode(image, column, row, budget)

    def _decode(self, image: _Opened, column: int, row: int, budget: int) -> Pixels:
        """A block from the file; those used longest ago make room for it first."""
        x, y, width, height = image.place(column, row)
        while self._blocks and self.bytes + width * height * 3 > budget:
            self.bytes -= self._blocks.popitem(last=False)[1].nbytes
        pixels = image.reader.read(x, y, width, height)
        image.next_row = row + 1
        self._blocks[image.version, column, row] = pixels
        self.bytes += pixels.nbytes
        return pixels


_cache = WindowCache()
_lock = Lock()


def _start_anew() -> None:
    """In a process that was forked: it would share with the other where each open file is read, and hold its blocks."""
    global _cache, _lock
    _cache, _lock = WindowCache(), Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
