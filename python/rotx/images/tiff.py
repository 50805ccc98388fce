"""Reading TIFFs that `rotx._rust` does not support, such as ZSTD, LERC or 12 bits, by rasterio (``rotx[geo]``)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")
# Compressions that `rotx._rust` reads: if it refuses such a file, the file is damaged or has no colour.
_KNOWN_COMPRESSIONS = ("", "LZW", "DEFLATE", "PACKBITS", "JPEG", "YCbCr JPEG")
_KNOWN_BITS = (1, 2, 4, 8, 16)
# First words of reasons for an unsupported kind of file, as opposed to a damaged one.
_OTHER_TIFF = ("is a TIFF compressed by", "is a TIFF with", "is a TIFF of", "holds no image that OpenCV can read")
_OTHER_FORMAT = ("is a BMP", "is no PNG, JPEG, TIFF or BMP")
# Restricts GDAL's block cache, which would take a twentieth of the memory in addition to `rotx.images.window_cache`,
# and its search for files beside the image.
_SETTINGS = {"GDAL_CACHEMAX": 32 << 20, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
#: Least number of rows to read at once from an image without tiles.
_ROWS = 64


class TiffReader:
    """Reads parts of a TIFF by rasterio, with the same colours as `rotx._rust` gives for other TIFFs.

    The first three bands are red, green and blue if the file says so; otherwise the first is grey. Palettes and CMYK
    become RGB. Samples of more than 8 bits are scaled to 8: grey ones by leaving out the lower bits, colours by
    rounding. Colours are multiplied by alpha, because GDAL does not tell whether they already are; it does not give the
    orientation tag either, so that tag is ignored.

    Attributes:
        width, height: Size in pixels.
        block: Width and height in pixels of the parts that are cheapest to read.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.width: int = dataset.width
        self.height: int = dataset.height
        rows, columns = dataset.block_shapes[0]
        self.block = (columns, rows) if columns < self.width else (self.width, -(-_ROWS // rows) * rows)
        self._bits = _bits(dataset)
        self._inverted = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
        names = [colour.name for colour in dataset.colorinterp]
        self._palette = _palette(dataset) if names[0] == "palette" else None
        self._cmyk = names[:4] == ["cyan", "magenta", "yellow", "black"]
        rgb = names[:3] == ["red", "green", "blue"]
        self._alpha = rgb and names[3:4] == ["alpha"]
        self._bands = [1, 2, 3, 4] if self._cmyk or self._alpha else [1, 2, 3] if rgb else [1]

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Reads an area as (height, width, 3) uint8, BGR.

        Raises:
            ValueError: The file does not hold those pixels.
        """
        from rasterio import Env
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        try:
            with Env(**_SETTINGS):
                samples: NDArray[Any] = self._dataset.read(self._bands, window=Window(x, y, width, height))
        except RasterioError:
            raise ValueError("is damaged: GDAL cannot read its pixels") from None
        except MemoryError:
            raise ValueError("needs more memory than there is") from None
        if self._palette is not None:
            rgb = self._palette[samples[0]].transpose(2, 0, 1)
        elif len(self._bands) == 1:
            rgb = np.broadcast_to(self._grey(samples[0]), (3, height, width))
        else:
            rgb = self._colours(samples)
        pixels: NDArray[np.uint8] = np.ascontiguousarray(rgb[::-1].transpose(1, 2, 0), np.uint8)
        return pixels

    def _grey(self, samples: NDArray[Any]) -> NDArray[Any]:
        most = (1 << self._bits) - 1
        wide: NDArray[np.uint32] = samples.astype(np.uint32)
        grey = wide >> (self._bits - 8) if self._bits > 8 else wide * 255 // most
        return 255 - grey if self._inverted else grey

    def _colours(self, samples: NDArray[Any]) -> NDArray[Any]:
        most = (1 << self._bits) - 1
        colours: NDArray[Any] = samples.astype(np.uint32)
        if most != 255:
            colours = (colours * 255 + most // 2) // most
        if self._cmyk:
            colours = (255 - colours[3]) * (255 - colours[:3]) // 255
        elif self._alpha:
            colours = (colours[:3] * colours[3] + 127) // 255
        return colours


def of_other_kind(reason: str) -> bool:
    """Whether `rotx._rust` refuses an image because it does not know its kind, so that another reader may know it."""
    return reason.startswith(_OTHER_TIFF + _OTHER_FORMAT)


def open_tiff(path: Path, reason: str) -> TiffReader:
    """Opens a TIFF with a compression or bit depth that other readers do not support.

    Args:
        path: Path of a regular file.
        reason: Reason why another reader refuses it.

    Raises:
        ValueError: If it is no such TIFF, with ``reason``; or if rasterio is missing, with what to install.
        OSError: If the file cannot be opened.
    """
    with path.open("rb") as file:
        if file.read(4) not in _MAGIC or not reason.startswith(_OTHER_TIFF):
            raise ValueError(reason)
    try:
        import rasterio  # slow to import, rarely needed
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError:
        raise ValueError(f"{reason}; more kinds of TIFF are read after pip install 'rotx[geo]'") from None
    try:
        with rasterio.Env(**_SETTINGS), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, driver="GTiff", sharing=False)
    except RasterioError:
        raise ValueError(f"{reason}; GDAL cannot open it either") from None
    known = dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "") in _KNOWN_COMPRESSIONS
    kind = dataset.dtypes[0]
    if not known and kind not in ("uint8", "uint16"):
        raise ValueError(
            f"is a TIFF of {kind}: only numbers without sign of up to 16 bits are read; make it 8 bits, such as with "
            "gdal_translate -ot Byte -scale"
        )
    if known and (kind not in ("uint8", "uint16") or _bits(dataset) in _KNOWN_BITS):
        raise ValueError(reason)
    return TiffReader(dataset)


def _bits(dataset: Any) -> int:
    """Number of bits per sample."""
    return int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8 if dataset.dtypes[0] == "uint8" else 16))


def _palette(dataset: Any) -> NDArray[np.uint8]:
    """RGB colours (256, 3) of the palette."""
    palette = np.zeros((256, 3), np.uint8)
    for index, rgba in dataset.colormap(1).items():
        if index < 256:
            palette[index] = rgba[:3]
    return palette
