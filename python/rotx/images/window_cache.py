"""Reading windows of images through a bounded cache of decoded blocks.

A file is decoded in its own blocks (`rotx._rust.ImageReader.block`), and the least recently used blocks are dropped.
Rows of a PNG or JPEG can only be decoded from the top; rows above a window are cached, too, if the whole image fits
into the cache. One image stays open, to continue reading where the last window ended. Every process has its own cache;
loader workers start with an empty one.
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

#: Formats that only OpenCV reads, and only whole: suffixes, and first bytes of the files.
_WHOLE = (".webp", ".ppm", ".pgm")
_BMP = b"BM"


class Reader(Protocol):
    """Protocol of images that are read in parts; `rotx._rust.ImageReader` is one."""

    @property
    def width(self) -> int:
        """Size of the image in pixels."""

    @property
    def height(self) -> int:
        """Size of the image in pixels."""

    @property
    def block(self) -> tuple[int, int]:
        """Width and height of the parts that are cheapest to read; full width if rows are decoded from the top."""

    def read(self, x: int, y: int, width: int, height: int) -> Pixels:
        """Reads an area as (height, width, 3) uint8, BGR."""


def read_record(record: Any) -> Pixels:
    """Reads the image of a record, or the window of it, as (H, W, 3) uint8, BGR.

    Raises:
        UnreadableImage: For a file that is missing, holds no image, or ends before the window.
    """
    if record.window is None:
        return read_image(record.path)
    with _lock:
        return _cache.read(record.path, record.window)


def reading_order(records: Sequence[Any]) -> list[int]:
    """Orders records so that a cache of one row of windows decodes each image once per window size.

    Sorted by name, the windows of an image and size are adjacent, but column by column.
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
        UnreadableImage: If the file holds no image, or one of an unsupported format.
    """
    return WholeImage(path) if _only_whole(path) else open_in_pieces(path)


def open_in_pieces(path: Path) -> Reader:
    """Opens an image whose windows can be read without the rest, as far as its format allows.

    `rotx._rust` reads PNG, JPEG and TIFF; rasterio (``rotx[geo]``) reads further kinds of TIFF.

    Raises:
        UnreadableImage: If the file holds no such image.
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
    """An image that OpenCV decodes whole at the first read; the pixels stay in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pixels: Pixels | None = None
        size = image_size(path)
        if size is None:  # Pillow does not give the size, or refuses an image so large
            self._pixels = read_image(path)
            size = self._pixels.shape[:2]
        self.height, self.width = size
        self.block = self.width, self.height

    def read(self, x: int, y: int, width: int, height: int) -> Pixels:
        """Reads an area as (height, width, 3) uint8, BGR."""
        if self._pixels is None:
            self._pixels = read_image(self._path)
        return self._pixels[y : y + height, x : x + width]


class _Version(NamedTuple):
    """State of a file; cached data are dropped when it changes."""

    path: str
    changed: int
    bytes: int


@dataclass(eq=False)
class _Image:
    """An image that has been opened.

    Attributes:
        version: State of its file.
        width, height: Size in pixels.
        block: Width and height of its blocks, in pixels.
    """

    version: _Version
    width: int
    height: int
    block: tuple[int, int]

    @property
    def from_top(self) -> bool:
        """Whether rows can only be decoded from the top."""
        return self.block[0] >= self.width

    def place(self, column: int, row: int) -> tuple[int, int, int, int]:
        """Left, top, width and height of a block, in pixels."""
        x, y = column * self.block[0], row * self.block[1]
        return x, y, min(self.block[0], self.width - x), min(self.block[1], self.height - y)


class WindowCache:
    """One open image, and the most recently used blocks of pixels of any images.

    Attributes:
        bytes: Size of all cached blocks.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._images: dict[_Version, _Image] = {}
        self._blocks: OrderedDict[tuple[_Version, int, int], Pixels] = OrderedDict()
        self._open: tuple[_Version, Reader] | None = None
        self._next_row = 0  # row of blocks at which the open image continues without restarting

    def read(self, path: Path, window: Window) -> Pixels:
        """Reads a window of an image as (H, W, 3) uint8, BGR; the part beyond the image is padded or left out.

        Raises:
            UnreadableImage: For a file that is missing, holds no image, or ends before the window.
        """
        image = self._image(path)
        x0, y0, x1, y1 = window.area
        right, bottom = min(x1, image.width), min(y1, image.height)
        if x0 >= right or y0 >= bottom:
            raise UnreadableImage(path, f"has {image.width} x {image.height} pixels, none in the window {window.area}")
        shape = (bottom - y0, right - x0, 3) if window.padding is None else (y1 - y0, x1 - x0, 3)
        try:
            out = np.empty(shape, np.uint8)
            if right < x1 or bottom < y1:
                out[...] = window.padding or 0
            self._fill(image, (x0, y0, right, bottom), window.cache_bytes, out)
        except (ValueError, OSError, MemoryError) as error:
            self._open = None  # its state is undefined after an error
            if isinstance(error, UnreadableImage):
                raise
            reason = "needs more memory than there is" if isinstance(error, MemoryError) else str(error)
            raise UnreadableImage(path, reason) from None
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
        """Returns the reader of a file; opens it if another one is open."""
        if self._open is None or self._open[0] != version:
            self._open, self._next_row = None, 0
            self._open = version, open_image(Path(version.path))
        return self._open[1]

    def _fill(self, image: _Image, area: tuple[int, int, int, int], budget: int, out: Pixels) -> None:
        """Reads an area of an image into the top left of ``out``."""
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
        """Returns a block, from the cache or the file."""
        key = (image.version, column, row)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        if image.from_top and image.width * image.height * 3 <= budget:
            self._reader(image.version)  # a newly opened image starts at the top
            for above in range(self._next_row if self._next_row <= row else 0, row):
                if (image.version, 0, above) not in self._blocks:
                    self._decode(image, 0, above, budget)
        return self._decode(image, column, row, budget)

    def _decode(self, image: _Image, column: int, row: int, budget: int) -> Pixels:
        """Decodes a block; the least recently used blocks make room for it first."""
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
    """Resets the cache in a forked process, which would share file positions and hold copies of the blocks."""
    global _cache, _lock
    _cache, _lock = WindowCache(), Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
