"""Image files: finding them with one listing of a folder, their sizes, and reading them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx import _rust
from rotx.images.budget import MOST_PIXELS as MOST_PIXELS
from rotx.images.budget import check_header, check_whole
from rotx.images.tiff import of_other_kind, open_tiff

#: Suffixes of image files, in lower case.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

#: First bytes of a JPEG, and of each of its scans.
_JPEG, _SCAN = b"\xff\xd8", b"\xff\xda"
#: Number of scans from which OpenCV, which does not limit them, is not asked.
_MANY_SCANS = 30
_CUT_OFF = "is cut off: the end of the image is missing"
#: Bytes of a file that hold its header.
_HEAD = 1 << 16

_EXIF_ORIENTATION = 0x0112


def list_images(folder: Path, suffix: str | None = None) -> dict[str, list[str]]:
    """Lists the images of a folder: the files of each name without suffix.

    Args:
        folder: Folder to list; subfolders are ignored.
        suffix: Suffix of the image files, such as ``"png"``; None: any image suffix.

    Raises:
        OSError: If the folder cannot be listed.
    """
    wanted = SUFFIXES if suffix is None else (f".{suffix.lower().lstrip('.')}",)
    found: dict[str, list[str]] = {}
    for file in list_files(folder):
        stem, dot, ending = file.rpartition(".")
        if dot and stem and not file.startswith(".") and f".{ending.lower()}" in wanted:
            found.setdefault(stem, []).append(file)
    return found


def list_files(folder: Path) -> list[str]:
    """Lists the names of the files in a folder, sorted.

    Raises:
        OSError: If the folder cannot be listed.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.is_dir())


def find_images(folder: Path, listed: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[Path | None]:
    """Finds the file of each image by name in the result of :func:`list_images`; None if there is none.

    Raises:
        ValueError: If two files match a name.
    """
    paths: list[Path | None] = []
    for name in names:
        files = listed.get(name, ())
        if len(files) > 1:
            raise ValueError(f"{folder}: {' and '.join(files)}: choose one with img_suffix, such as img_suffix='png'")
        paths.append(folder / files[0] if files else None)
    return paths


def image_size(path: Path) -> tuple[int, int] | None:
    """Height and width of an image as OpenCV loads it, read from the header; None if the header does not give them."""
    try:
        reader = _rust.ImageReader(path)
        return reader.height, reader.width
    except (ValueError, OSError) as error:
        if not of_other_kind(str(error)):
            return None
    from PIL import Image  # rarely needed

    try:
        with path.open("rb") as file:
            check_header(file.read(_HEAD), path.stat().st_size)
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    except Exception:  # Pillow's readers of damaged files raise errors of any type
        return None
    return (width, height) if turned else (height, width)


class UnreadableImage(ValueError):
    """Error for a file that holds no readable image.

    Attributes:
        path: Path of the file.
        reason: Why the file cannot be read.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableImage], tuple[Path, str]]:
        """Supports pickling, so that workers can send the error to the main process."""
        return type(self), (self.path, self.reason)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Reads an image as (H, W, 3) uint8, BGR; greyscale and 16-bit images are converted.

    `rotx._rust` reads PNG and TIFF, and checks the headers of JPEGs; OpenCV reads JPEG and further formats, and
    rasterio (``rotx[geo]``) further kinds of TIFF. What one of them finds damaged, no other is asked to read.

    Raises:
        UnreadableImage: For a file that is missing, holds no image, is truncated, claims more pixels than it can hold,
            or more than :func:`rotx.images.budget.max_pixels`.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:  # unlike cv2.imread it takes any path on any system
            content = file.read(len(_JPEG))
            if not content:
                raise UnreadableImage(path, "is empty")
            if (pixels := _by_core(path, check_only=content == _JPEG)) is not None:
                return pixels
            file.seek(0)
            content = file.read()
        pixels = _by_opencv(content, path)
    except UnreadableImage:
        raise
    except OSError as error:
        raise UnreadableImage(path, error.strerror or str(error)) from None
    except MemoryError:
        raise UnreadableImage(path, "needs more memory than there is") from None
    except ValueError as error:
        raise UnreadableImage(path, str(error)) from None
    return _by_rasterio(path, "holds no image that OpenCV can read") if pixels is None else pixels


def _by_core(path: Path, *, check_only: bool) -> NDArray[np.uint8] | None:
    """Reads a PNG, JPEG or TIFF by `rotx._rust`; None if that does not know its kind, or for ``check_only``.

    Raises:
        ValueError: If the file is damaged, or too large to be held whole.
    """
    try:
        reader = _rust.ImageReader(path)
        check_whole(reader.width, reader.height)
        return None if check_only else reader.read(0, 0, reader.width, reader.height)
    except ValueError as error:
        if of_other_kind(str(error)):
            return None
        raise


def _by_opencv(content: bytes, path: Path) -> NDArray[np.uint8] | None:
    """Decodes a file by OpenCV; None if OpenCV knows no such format.

    Raises:
        ValueError: If the file is damaged, or claims too much.
    """
    if content.startswith(_JPEG) and content.count(_SCAN) > _MANY_SCANS:
        return _by_core(path, check_only=False)
    try:
        check_header(content, len(content))
    except ValueError:
        if _cut_off(content, decoded=False):
            raise ValueError(_CUT_OFF) from None
        raise
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot read it: {error.err}") from None
    if _cut_off(content, decoded=pixels is not None):
        raise ValueError(_CUT_OFF)
    return None if pixels is None else pixels.astype(np.uint8, copy=False)


def _by_rasterio(path: Path, reason: str) -> NDArray[np.uint8]:
    """Reads a TIFF by rasterio that OpenCV refused for a reason; raises with that reason if it is no such TIFF."""
    try:
        reader = open_tiff(path, reason)
        check_whole(reader.width, reader.height)
        return reader.read(0, 0, reader.width, reader.height)
    except (ValueError, OSError, MemoryError) as error:
        raise UnreadableImage(path, str(error) or "needs more memory than there is") from None


def _cut_off(content: bytes, decoded: bool) -> bool:
    """Whether an image file is truncated.

    OpenCV refuses a truncated BMP without a reason; its header gives the length, though not always correctly. OpenCV 4
    fills up a truncated JPEG silently.
    """
    if content.startswith(b"BM"):
        return not decoded and len(content) < int.from_bytes(content[2:6], "little")
    if not content.startswith(b"\xff\xd8") or content.endswith(b"\xff\xd9"):
        return False
    # Search for the end marker after the last start of scan only: earlier bytes may look alike, later ones may differ.
    return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
