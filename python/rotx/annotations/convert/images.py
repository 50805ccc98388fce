"""The sizes of images, from the first bytes of their files."""

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

_WORKERS = 8  # reading waits for the disk more than it computes


def add_sizes(data: InstanceTable, folder: Path | None, lenient: bool, progress: bool) -> None:
    """Sees to it that the size of every image is known.

    Args:
        data: whose ``sizes`` and ``image_files`` are filled in.
        folder: of the images whose files are not found yet; what files say counts more than what annotations say.
        lenient: leave out and count images whose size is not known, instead of failing.
        progress: show a bar.

    Raises:
        FormatError: for an image whose size is not known, or whose file cannot be read.
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
            f"{len(other):,} images have other sizes than the annotations say, first {data.images[other[0]]!r}: "
            f"{w} x {h}, not {w0} x {h0}; those of the files are taken"
        )
    known = np.array([size is not None for size in data.sizes], np.bool_)
    if known.all():
        return
    missing = [data.images[i] for i in np.flatnonzero(~known)]
    reason = "its size is not known: name the folder of the images by --images"
    if folder is not None:
        reason = (
            f"no readable file of it in {folder}, and its size is needed: name the folder of the images by --images"
        )
    if not lenient or len(missing) == len(data.images):
        more = f" (and {len(missing) - 1:,} more)" if len(missing) > 1 else ""
        raise FormatError(f"image {missing[0]!r}{more}: {reason}")
    data.notices.append(f"skipped {len(missing):,} images, first {missing[0]!r}: {reason}")
    data.keep_images(known)


def one_file(folder: Path, listed: Mapping[str, Sequence[str]], name: str) -> Path | None:
    """The file of an image by its name, of those that ``list_images`` says; None if there is none.

    Raises:
        FormatError: if two could be meant.
    """
    files = listed.get(name, ())
    if len(files) > 1:
        raise FormatError(f"{folder}: {' and '.join(files)}: two images of one name; remove one")
    return folder / files[0] if files else None


def _find(data: InstanceTable, folder: Path) -> None:
    """Finds the files of images that have none yet."""
    with clear_errors(folder):
        listed = list_images(folder)
    for i, (name, file) in enumerate(zip(data.images, data.image_files, strict=True)):
        if data.paths[i] is None and file and (folder / file).is_file():
            data.paths[i] = folder / file
        elif data.paths[i] is None:
            data.paths[i] = one_file(folder, listed, PurePosixPath(name).name)


def _read(data: InstanceTable, which: list[int], lenient: bool, progress: bool) -> None:
    """Reads the sizes of some images, whose files are known."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        sizes = pool.map(lambda i: _size(data.paths[i], lenient), which)
        for i, size in zip(which, tqdm(sizes, "images", len(which), disable=not progress), strict=True):
            data.sizes[i] = size
            file, path = PurePosixPath(data.image_files[i]), data.paths[i]
            if path is not None and file.name != path.name:
                data.image_files[i] = path.name


def _size(path: Path | None, lenient: bool) -> tuple[int, int] | None:
    """Height and width as the image is shown; None (lenient) if they cannot be read."""
    try:
        reader = open_image(Path(path or ""))
    except UnreadableImage as error:
        if lenient:
            return None
        raise FormatError(str(error)) from None
    return reader.height, reader.width
