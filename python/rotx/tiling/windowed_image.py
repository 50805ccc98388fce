"""The windows of an image that is too large to be looked at as a whole, read so that it never is in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rotx.images.draw import Image
from rotx.images.files import UnreadableImage, read_image
from rotx.images.window_cache import WindowCache, open_in_pieces
from rotx.records import Window
from rotx.tiling.windows import Tiling

#: Side of the windows where nothing says how large the images of a detector are, in pixels.
WINDOW = 1024
#: What neighbours share, as a part of the side, where nothing else is said.
GAP = 0.2

_TIFF = (".tif", ".tiff")


def grid(width: int, height: int, window: int, gap: int) -> NDArray[np.int64]:
    """The windows (W, 4) of an image, x0, y0, x1, y1 in pixels, row by row; one if the image is no larger.

    The last of a row or column is moved back to end where the image does; an image that is narrower than a window
    makes all of them narrower.

    Raises:
        ValueError: for more than a million.
    """
    found = Tiling((window,), (gap,), img_rate_thr=0.0, no_padding=True).windows(width, height)
    found = found[np.lexsort((found[:, 0], found[:, 1]))]
    return np.minimum(found, [width, height, width, height])


def window_and_gap(window: int, gap: int | None) -> tuple[int, int]:
    """The settings, with the default gap if there is none.

    Raises:
        ValueError: for windows without pixels, and a gap that leaves no step from one to the next.
    """
    gap = round(GAP * window) if gap is None else gap
    if not window > gap >= 0:
        raise ValueError(f"gap: need 0 or more, and less than the window, got {gap} for windows of {window} pixels")
    return window, gap


class WindowedImage:
    """An image that is read window by window, or whole.

    What neither `rotx._rust` nor, of TIFFs, rasterio reads in pieces is decoded whole by OpenCV; so is a progressive
    JPEG.

    Attributes:
        width, height: in pixels.

    Raises:
        UnreadableImage: for a file that holds no image.
    """

    def __init__(self, image: Path | Image) -> None:
        self._path: Path | None = None
        self._pixels: Image | None = None
        if not isinstance(image, Path):
            self._pixels = image
        elif not image.is_file():  # opening a pipe would wait for ever
            raise UnreadableImage(image, "is no regular file" if image.exists() else "is not there")
        else:
            try:
                reader = open_in_pieces(image)
            except UnreadableImage as error:
                self._pixels = _by_opencv(image, error.reason)
            else:
                self._path, self._block = image, reader.block
                self.width, self.height = reader.width, reader.height
        if self._pixels is not None:
            self.height, self.width = self._pixels.shape[:2]
        self._cache = WindowCache()

    def whole(self) -> Image:
        """All of it, (H, W, 3) uint8, BGR.

        Raises:
            UnreadableImage: if it is cut off.
        """
        if self._pixels is not None:
            return self._pixels
        assert self._path is not None
        try:
            return read_image(self._path)
        except UnreadableImage:
            if self._path.suffix.lower() not in _TIFF:
                raise
            # OpenCV reads no more than four bands.
            return self._cache.read(self._path, Window((0, 0, self.width, self.height), None, 0))

    def read(self, area: NDArray[np.int64]) -> Image:
        """The pixels of a window x0, y0, x1, y1; those are fastest row by row.

        Raises:
            UnreadableImage: if the file ends before.
        """
        x0, y0, x1, y1 = area.tolist()
        if self._pixels is not None:
            return self._pixels[y0:y1, x0:x1]
        assert self._path is not None
        # Room for the blocks of one row of windows, and as it goes on to the next.
        across, down = self._block
        rows = min(((y1 - y0) // down + 2) * down, self.height)
        budget = (rows * (self.width + across) + across * down) * 3
        return self._cache.read(self._path, Window((x0, y0, x1, y1), None, budget))


def _by_opencv(path: Path, reason: str) -> Image:
    """An image that no reader reads in pieces, for a reason."""
    try:
        return read_image(path)
    except UnreadableImage:
        if path.suffix.lower() in _TIFF and path.stat().st_size:
            raise UnreadableImage(path, reason) from None  # it says what helps
        raise
