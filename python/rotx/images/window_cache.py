"""Windows of images, decoded no more often than a bounded cache of this process makes necessary.

A file is decoded in the blocks that it is made of (`rotx._rust.ImageReader.block`), and the blocks that were used
last are kept. Rows of a PNG or JPEG come only from the top: what is decoded on the way down to a window is kept too,
if the whole image fits into the cache. One image stays open, to go on reading where the last window ended. Every
process has a cache of its own: a worker of a loader starts with an empty one.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rotx import _rust
from rotx.images.files import UnreadableImage, image_size, read_image
from rotx.images.tiff import open_tiff
from rotx.records import Window

Pixels = NDArray[np.uint8]

#: What OpenCV reads, and only whole: endings of files, and how they begin.
_WHOLE = (".webp", ".ppm", ".pgm")
_BMP = b"BM"


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


def read_record(record: Any) -> Pixels:
    """The image of a record, (H, W, 3) uint8, BGR: that of its file, or the window of it.

    Raises:
        UnreadableImage: For a file that is absent, holds no image, or ends before the window does.
    """
    if record.window is None:
        return read_image(record.path)
    with _lock:
        return _cache.read(record.path, record.window)


def reading_order(records: Sequence[Any]) -> list[int]:
    """Indices of records such that a cache with room for one row of windows decodes an image once for each size.

    By their names the windows of an image and size stand together already, but one column after the other.
    """
    first: dict[tuple[Path, int], int] = {}
    places = []
    for i, record in enumerate(records):
        x0, y0, x1, _ = record.window.area if record.window else (0, 0, 0, 0)
        places.append((first.setdefault((record.path, x1 - x0), i), y0, x0))
    return sorted(range(len(places)), key=places.__getitem__)


def open_image(path: Path) -> Reader:
    """Opens an image and reads its header.

    Raises:
        UnreadableImage: The file holds no image, or one of a kind that is not read.
    """
    return WholeImage(path) if _only_whole(path) else open_in_pieces(path)


def open_in_pieces(path: Path) -> Reader:
    """Opens an image of which a window is read without the rest, as far as its format allows.

    `rotx._rust` reads PNG, JPEG and TIFF; rasterio (``rotx[geo]``) reads further kinds of TIFF.

    Raises:
        UnreadableImage: The file holds no such image.
    """
    try:
        return _rust.ImageReader(path)
    except (ValueError, OSError) as error:
        reason = str(error)
    try:
        return open_tiff(path, reason)
    except ValueError as error:
        raise UnreadableImage(path, str(error)) from None
    except OSError:
        raise UnreadableImage(path, reason) from None


def _only_whole(path: Path) -> bool:
    if path.suffix.lower() in _WHOLE:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_BMP)) == _BMP
    except OSError:
        return False


class WholeImage:
    """An image that OpenCV decodes whole when its first pixels are read; they stay in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pixels: Pixels | None = None
        size = image_size(path)
        if size is None:  # Pillow is not sure, or the image is larger than it likes
            self._pixels = read_image(path)
            size = self._pixels.shape[:2]
        self.height, self.width = size
        self.block = self.width, self.height

    def read(self, x: int, y: int, width: int, height: int) -> Pixels:
        """An area as (height, width, 3) uint8, BGR."""
        if self._pixels is None:
            self._pixels = read_image(self._path)
        return self._pixels[y : y + height, x : x + width]


class _Version(NamedTuple):
    """A file as it was at some time: what is known of it is forgotten when it changes."""

    path: str
    changed: int
    bytes: int


@dataclass(eq=False)
class _Image:
    """An image that was opened at some time.

    Attributes:
        version: Of its file.
        width, height: In pixels.
        block: Width and height of its blocks.
    """

    version: _Version
    width: int
    height: int
    block: tuple[int, int]

    @property
    def from_top(self) -> bool:
        """Whether rows come only from the top."""
        return self.block[0] >= self.width

    def place(self, column: int, row: int) -> tuple[int, int, int, int]:
        """Left, top, width and height of a block."""
        x, y = column * self.block[0], row * self.block[1]
        return x, y, min(self.block[0], self.width - x), min(self.block[1], self.height - y)


class WindowCache:
    """The image that is open, and blocks of pixels of any images, those that were used last.

    Attributes:
        bytes: That all blocks have.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._images: dict[_Version, _Image] = {}
        self._blocks: OrderedDict[tuple[_Version, int, int], Pixels] = OrderedDict()
        self._open: tuple[_Version, Reader] | None = None
        self._next_row = 0  # of blocks: where the open image can be read on without starting anew

    def read(self, path: Path, window: Window) -> Pixels:
        """A window of an image, (H, W, 3) uint8, BGR; what lies beyond the image is padding or left out.

        Raises:
            UnreadableImage: For a file that is absent, holds no image, or ends before the window does.
        """
        image = self._image(path)
        x0, y0, x1, y1 = window.area
        right, bottom = min(x1, image.width), min(y1, image.height)
        if x0 >= right or y0 >= bottom:
            raise UnreadableImage(path, f"has {image.width} x {image.height} pixels, none in the window {window.area}")
        shape = (bottom - y0, right - x0, 3) if window.padding is None else (y1 - y0, x1 - x0, 3)
        out = np.empty(shape, np.uint8)
        if right < x1 or bottom < y1:
            out[...] = window.padding or 0
        try:
            self._fill(image, (x0, y0, right, bottom), window.cache_bytes, out)
        except (ValueError, OSError) as error:
            self._open = None  # who knows in what state it is
            raise error if isinstance(error, UnreadableImage) else UnreadableImage(path, str(error)) from None
        return out

    def _image(self, path: Path) -> _Image:
        try:
            status = path.stat()
        except OSError as error:
            raise UnreadableImage(path, error.strerror or str(error)) from None
        version = _Version(str(path), status.st_mtime_ns, status.st_size)
        if version not in self._images:
            reader = self._reader(version)
            self._images[version] = _Image(version, reader.width, reader.height, reader.block)
        return self._images[version]

    def _reader(self, version: _Version) -> Reader:
        """The open image; opens it if it is not the one."""
        if self._open is None or self._open[0] != version:
            self._open, self._next_row = None, 0
            self._open = version, open_image(Path(version.path))
        return self._open[1]

    def _fill(self, image: _Image, area: tuple[int, int, int, int], budget: int, out: Pixels) -> None:
        """Writes an area of an image into the top left of ``out``."""
        x0, y0, x1, y1 = area
        across, down = image.block
        if across * down * 3 > budget:
            out[: y1 - y0, : x1 - x0] = self._reader(image.version).read(x0, y0, x1 - x0, y1 - y0)
            return
        for row in range(y0 // down, (y1 - 1) // down + 1):
            for column in range(x0 // across, (x1 - 1) // across + 1):
                x, y, width, height = image.place(column, row)
                left, top, right, bottom = max(x, x0), max(y, y0), min(x + width, x1), min(y + height, y1)
                part = self._block(image, column, row, budget)[top - y : bottom - y, left - x : right - x]
                out[top - y0 : bottom - y0, left - x0 : right - x0] = part

    def _block(self, image: _Image, column: int, row: int, budget: int) -> Pixels:
        """A block, from the cache or the file."""
        key = (image.version, column, row)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        if image.from_top and image.width * image.height * 3 <= budget:
            self._reader(image.version)  # if it was not open, it now stands at the top
            for above in range(self._next_row if self._next_row <= row else 0, row):
                if (image.version, 0, above) not in self._blocks:
                    self._decode(image, 0, above, budget)
        return self._decode(image, column, row, budget)

    def _decode(self, image: _Image, column: int, row: int, budget: int) -> Pixels:
        """A block from the file; those used longest ago make room for it first."""
        x, y, width, height = image.place(column, row)
        while self._blocks and self.bytes + width * height * 3 > budget:
            self.bytes -= self._blocks.popitem(last=False)[1].nbytes
        pixels = self._reader(image.version).read(x, y, width, height)
        self._next_row = row + 1
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
