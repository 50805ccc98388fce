"""Faults of images: each is decoded once, in bands of rows, on all cores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from rotx.annotations.check.faults import Fault
from rotx.annotations.check.sets import CheckedSet
from rotx.images.files import UnreadableImage, read_image
from rotx.images.preview import bands
from rotx.images.window_cache import open_image

#: First words of the reasons for which no other decoder is tried.
_BROKEN = ("is cut off", "is damaged", "is empty", "no such file")

T = TypeVar("T")
R = TypeVar("R")


class DecodedImage(NamedTuple):
    """Result of decoding an image."""

    size: tuple[int, int] | None
    """Height and width; None if it cannot be decoded."""
    digest: bytes
    """Digest of the pixels and the size, independent of the file format."""
    problem: str = ""
    """Why the image cannot be decoded; "" if it can."""


def decode_all(paths: Iterable[Path], jobs: int | None = None) -> dict[Path, DecodedImage]:
    """Decodes each image once and shows a progress bar.

    Args:
        paths: Paths of the image files.
        jobs: Number of threads; None: one per core.
    """
    unique = list(dict.fromkeys(paths))
    return dict(zip(unique, in_threads(decode, unique, "images", jobs), strict=True))


def in_threads(work: Callable[[T], R], items: Sequence[T], what: str, jobs: int | None) -> Iterator[R]:
    """Yields ``work`` of each item, in order; runs threads, shows a progress bar, and stops at once on Ctrl-C."""
    pool = ThreadPoolExecutor(jobs or cpu_count())
    try:
        yield from tqdm(
            pool.map(work, items), total=len(items), desc=what, unit="image", leave=False, delay=1, disable=None
        )
    finally:
        pool.shutdown(cancel_futures=True)


def decode(path: Path) -> DecodedImage:
    """Decodes an image in bands of rows; falls back on OpenCV for formats that have no band decoder."""
    try:
        return _by_bands(path)
    except UnreadableImage as error:
        # OpenCV, which training reads with, knows more formats than the band decoders.
        if error.reason.startswith(_BROKEN):
            return DecodedImage(None, b"", error.reason)
    try:
        pixels = read_image(path)
    except UnreadableImage as error:
        return DecodedImage(None, b"", error.reason)
    size = pixels.shape[0], pixels.shape[1]
    return DecodedImage(size, hashlib.blake2b(pixels.data, digest_size=16, person=_person(size)).digest())


def _by_bands(path: Path) -> DecodedImage:
    image = open_image(path)
    size = image.height, image.width
    digest = hashlib.blake2b(digest_size=16, person=_person(size))
    try:
        for band in bands(image):
            digest.update(np.ascontiguousarray(band).data)
    except (ValueError, OSError) as error:
        raise UnreadableImage(path, str(error)) from None
    return DecodedImage(size, digest.digest())


def _person(size: tuple[int, int]) -> bytes:
    """BLAKE2 personalization by size: images of different sizes get different digests."""
    return b"".join(side.to_bytes(8, "little") for side in size)


def check_images(checked: CheckedSet, images: dict[Path, DecodedImage]) -> list[tuple[int, int] | None]:
    """Adds the faults of the images of a dataset.

    Returns:
        Height and width of each image, from its file if it can be decoded, else from the annotations.
    """
    sizes = list(checked.table.sizes)
    for i, path in enumerate(checked.table.paths):
        if path is None:
            continue
        image, said = images[path], checked.table.sizes[i]
        if image.size is None:
            checked.faults.append(Fault("bad image", str(path), 0, image.problem.removeprefix(f"{path}: ")))
            continue
        sizes[i] = image.size
        if said is not None and said != image.size:
            text = f"is annotated as {said[1]} × {said[0]}; {path} is {image.size[1]} × {image.size[0]}"
            checked.faults.append(Fault("wrong size", checked.table.files[i], 0, f"'{checked.table.images[i]}' {text}"))
    return sizes


def check_same(sets: Sequence[CheckedSet], images: dict[Path, DecodedImage]) -> None:
    """Adds images with the same pixels as another one, as faults of the dataset that holds the later one."""
    first: dict[bytes, tuple[int, Path]] = {}
    for number, checked in enumerate(sets):
        for path in filter(None, checked.table.paths):
            digest = images[path].digest
            if not digest:
                continue
            where, other = first.setdefault(digest, (number, path))
            if (where, other) == (number, path):
                continue
            of = f" of {sets[where].name}" if where != number else ""
            text = f"the same file is in {sets[where].name} too" if path == other else f"the same pixels as {other}{of}"
            checked.faults.append(Fault("same image", str(path), 0, text))
