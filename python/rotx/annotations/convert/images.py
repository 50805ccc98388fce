"""Image sizes, from the headers of the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from rotx.annotations.files import FormatError, clear_errors
from rotx.images.files import UnreadableImage, list_images
from rotx.images.window_cache import open_image
from rotx.records import InstanceTable

_WORKERS = 8  # threads; reading headers is bound by the disk


def add_sizes(data: InstanceTable, folder: Path | None, lenient: bool, progress: bool) -> None:
    """Fills in the size of every image.

    Args:
        data: Table whose ``sizes`` and ``image_files`` are filled in.
        folder: Folder of the images not found yet; sizes in the files take precedence over those in the annotations.
        lenient: Whether to skip and count images of unknown size instead of failing.
        progress: Whether to show a progress bar.

    Raises:
        FormatError: For an image of unknown size, or a file that cannot be read.
    """
    data.sizes = data.sizes or [None] * len(data.images)
    said, before = list(data.sizes), list(data.paths)
    if folder is not None:
        _find(data, folder)
    new = [i for i, path in enumerate(data.paths) if path and (before[i] is None or data.sizes[i] is None)]
    _read(data, new, lenient, progress)
    pairs = zip(said, data.sizes, strict=True)
    other = [i for i, (was, now) in enumerate(pairs) if was is not None and now != was]
    if other:
        (h, w), (h0, w0) = data.sizes[other[0]] or (0, 0), said[other[0]] or (0, 0)
        data.notices.append(
            f"{len(other):,} images have sizes that differ from the annotations, first {data.images[other[0]]!r}: "
            f"{w} x {h}, not {w0} x {h0}; using the sizes of the files"
        )
    known = np.array([size is not None for size in data.sizes], np.bool_)
    if known.all():
        return
    missing = [data.images[i] for i in np.flatnonzero(~known)]
    reason = "its size is unknown: name the image folder with --images"
    if folder is not None:
        reason = f"no readable file in {folder}, and its size is needed: name the image folder with --images"
    if not lenient or len(missing) == len(data.images):
        more = f" (and {len(missing) - 1:,} more)" if len(missing) > 1 else ""
        raise FormatError(f"image {missing[0]!r}{more}: {reason}")
    data.notices.append(f"skipped {len(missing):,} images, first {missing[0]!r}: {reason}")
    data.keep_images(known)


def one_file(folder: Path, listed: Mapping[str, Sequence[str]], name: str) -> Path | None:
    """Finds the file of an image by name in the result of ``list_images``; None if there is none.

    Raises:
        FormatError: If two files match.
    """
    files = listed.get(name, ())
    if len(files) > 1:
        raise FormatError(f"{folder}: {' and '.join(files)}: two images of one name; remove one")
    return folder / files[0] if files else None


def _find(data: InstanceTable, folder: Path) -> None:
    """Finds the files of images that have no file yet."""
    with clear_errors(folder):
        listed = list_images(folder)
    for i, (name, file) in enumerate(zip(data.images, data.image_files, strict=True)):
        if data.paths[i] is None and file and (folder / file).is_file():
            data.paths[i] = folder / file
        elif data.paths[i] is None:
            data.paths[i] = one_file(folder, listed, PurePosixPath(name).name)


def _read(data: InstanceTable, which: list[int], lenient: bool, progress: bool) -> None:
    """Reads the sizes of the images at the indices ``which`` from their files."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        sizes = pool.map(lambda i: _size(data.paths[i], lenient), which)
        for i, size in zip(which, tqdm(sizes, "images", len(which), disable=not progress or None), strict=True):
            data.sizes[i] = size
            file, path = PurePosixPath(data.image_files[i]), data.paths[i]
            if path is not None and file.name != path.name:
                data.image_files[i] = path.name


def _size(path: Path | None, lenient: bool) -> tuple[int, int] | None:
    """Height and width of the displayed image; None if they cannot be read and ``lenient``."""
    try:
        reader = open_image(Path(path or ""))
    except UnreadableImage as error:
        if lenient:
            return None
        raise FormatError(str(error)) from None
    return reader.height, reader.width
