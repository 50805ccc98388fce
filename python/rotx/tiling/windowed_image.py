"""Reading large images window by window, so that they are never in memory whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rotx.images.draw import Image
from rotx.images.files import UnreadableImage, read_image
from rotx.images.window_cache import WindowCache, open_in_pieces
from rotx.records import Window
from rotx.tiling.windows import Tiling

#: Default side of windows in pixels, for detectors without a known image size.
WINDOW = 1024
#: Default overlap of neighbouring windows, as a fraction of the side.
GAP = 0.2

_TIFF = (".tif", ".tiff")


def grid(width: int, height: int, window: int, gap: int) -> NDArray[np.int64]:
    """Lays windows over an image, row by row: (W, 4) x0, y0, x1, y1 in pixels; one if the image is no larger.

    The last window of a row or column is shifted back to end with the image; if the image is narrower than a window,
    all windows are narrower.

    Raises:
        ValueError: For more than a million windows.
    """
    found = Tiling((window,), (gap,), img_rate_thr=0.0, no_padding=True).windows(width, height)
    found = found[np.lexsort((found[:, 0], found[:, 1]))]
    return np.minimum(found, [width, height, width, height])


def window_and_gap(window: int, gap: int | None) -> tuple[int, int]:
    """Checks the side and overlap of windows; None as the gap gives the default.

    Raises:
        ValueError: For windows without pixels, or a gap as large as the window.
    """
    gap = round(GAP * window) if gap is None else gap
    if not window > gap >= 0:
        raise ValueError(f"gap: need 0 or more, and less than the window, got {gap} for windows of {window} pixels")
    return window, gap


class WindowedImage:
    """An image that is read window by window, or whole.

    OpenCV decodes whole what neither `rotx._rust` nor, for TIFFs, rasterio reads in parts; progressive JPEGs are
    decoded whole, too.

    Attributes:
        width, height: Size in pixels.

    Raises:
        UnreadableImage: For a file that holds no image.
    """

    def __init__(self, image: Path | Image) -> None:
        self._path: Path | None = None
        self._pixels: Image | None = None
        if not isinstance(image, Path):
            self._pixels = image
        elif not image.is_file():  # opening a pipe would block
            raise UnreadableImage(image, "is not a regular file" if image.exists() else "does not exist")
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
        """Returns the whole image, (H, W, 3) uint8, BGR.

        Raises:
            UnreadableImage: If the file is truncated.
        """
        if self._pixels is not None:
            return self._pixels
        assert self._path is not None
        try:
            return read_image(self._path)
        except UnreadableImage:
            if self._path.suffix.lower() not in _TIFF:
                raise
            # OpenCV reads at most four bands.
            return self._cache.read(self._path, Window((0, 0, self.width, self.height), None, 0))

    def read(self, area: NDArray[np.int64]) -> Image:
        """Reads a window x0, y0, x1, y1 as (H, W, 3) uint8, BGR; fastest row by row.

        Raises:
            UnreadableImage: If the file ends before the window.
        """
        x0, y0, x1, y1 = area.tolist()
        if self._pixels is not None:
            return self._pixels[y0:y1, x0:x1]
        assert self._path is not None
        # Cache the blocks of one row of windows, and of the step to the next row.
        across, down = self._block
        rows = min(((y1 - y0) // down + 2) * down, self.height)
        budget = (rows * (self.width + across) + across * down) * 3
        return self._cache.read(self._path, Window((x0, y0, x1, y1), None, budget))


def _by_opencv(path: Path, reason: str) -> Image:
    """Reads an image by OpenCV that no other reader reads in parts, for a reason."""
    try:
        return read_image(path)
    except UnreadableImage:
        if path.suffix.lower() in _TIFF and path.stat().st_size:
            raise UnreadableImage(path, reason) from None  # the first reason is the helpful one
        raise
