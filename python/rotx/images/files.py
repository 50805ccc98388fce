"""The files of images: finding them with one listing of a folder, their sizes, and reading them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.images.tiff import open_tiff

#: What files of images are called, in any case of letters.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

#: An image of more pixels is not read whole; this is OpenCV's limit too.
MOST_PIXELS = 1 << 30

_EXIF_ORIENTATION = 0x0112


def list_images(folder: Path, suffix: str | None = None) -> dict[str, list[str]]:
    """The images of a folder: their names without suffix, and the files of each.

    Args:
        folder: sub-folders are not looked into.
        suffix: only files that end so, such as ``"png"``; None: any that images have.

    Raises:
        OSError: if the folder cannot be listed.
    """
    wanted = SUFFIXES if suffix is None else (f".{suffix.lower().lstrip('.')}",)
    found: dict[str, list[str]] = {}
    for file in list_files(folder):
        stem, dot, ending = file.rpartition(".")
        if dot and stem and not file.startswith(".") and f".{ending.lower()}" in wanted:
            found.setdefault(stem, []).append(file)
    return found


def list_files(folder: Path) -> list[str]:
    """The names of the files in a folder, sorted.

    Raises:
        OSError: if the folder cannot be listed.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.is_dir())


def find_images(folder: Path, listed: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[Path | None]:
    """The file of each image by its name, from what :func:`list_images` says; None where there is none.

    Raises:
        ValueError: if two files could be meant.
    """
    paths: list[Path | None] = []
    for name in names:
        files = listed.get(name, ())
        if len(files) > 1:
            raise ValueError(f"{folder}: {' and '.join(files)}: say which by img_suffix, such as img_suffix='png'")
        paths.append(folder / files[0] if files else None)
    return paths


def image_size(path: Path) -> tuple[int, int] | None:
    """Height and width of an image as OpenCV loads it, from the first bytes of its file; None if they do not say."""
    from PIL import Image  # needed by few

    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return (width, height) if turned else (height, width)


class UnreadableImage(ValueError):
    """A file that should hold an image and does not.

    Attributes:
        path: of the file.
        reason: why it cannot be read.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableImage], tuple[Path, str]]:
        """Exceptions are rebuilt from ``args``, which hold the message; workers send them to the main process."""
        return type(self), (self.path, self.reason)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """The image of a file, (H, W, 3) uint8, BGR; grey and 16 bits are converted.

    OpenCV reads it, or rasterio (``rotx[geo]``) if it is a TIFF of a kind that OpenCV does not know.

    Raises:
        UnreadableImage: for a file that is absent, holds no image, or is cut off.
    """
    try:
        content = Path(path).read_bytes()  # unlike cv2.imread it takes any path on any system
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except OSError as error:
        raise UnreadableImage(path, error.strerror or str(error)) from None
    except cv2.error as error:
        raise UnreadableImage(path, f"OpenCV cannot read it: {error.err}") from None
    if _cut_off(content, decoded=pixels is not None):
        raise UnreadableImage(path, "is cut off: the end of the image is missing")
    if pixels is None:
        pixels = _by_rasterio(Path(path), "holds no image that OpenCV can read" if content else "is empty")
    return pixels.astype(np.uint8, copy=False)


def _by_rasterio(path: Path, reason: str) -> NDArray[np.uint8]:
    """A whole image that OpenCV refuses for a reason, if it is a TIFF that rasterio reads."""
    try:
        reader = open_tiff(path, reason)
        if reader.width * reader.height > MOST_PIXELS:
            raise ValueError(f"has {reader.width} x {reader.height} pixels, too many to be read whole")
        return reader.read(0, 0, reader.width, reader.height)
    except (ValueError, OSError, MemoryError) as error:
        raise UnreadableImage(path, str(error) or "needs more memory than there is") from None


def _cut_off(content: bytes, decoded: bool) -> bool:
    """Whether an image ends too early.

    OpenCV refuses a BMP that does, without saying why; its header says how long it is, though not always rightly.
    OpenCV 4 fills up what is missing of a JPEG, and says nothing.
    """
    if content.startswith(b"BM"):
        return not decoded and len(content) < int.from_bytes(content[2:6], "little")
    if not content.startswith(b"\xff\xd8") or content.endswith(b"\xff\xd9"):
        return False
    # What follows the last start of a scan holds the mark of the end only there; other things may follow that.
    return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
