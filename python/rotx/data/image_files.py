"""Finding the files of images: one listing of a folder, however many images are asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

#: What files of images are called, in any case of letters.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

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
