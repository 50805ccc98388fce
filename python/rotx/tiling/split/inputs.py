"""Finding the images to split and their objects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.formats import read_annotations
from rotx.images.files import list_files
from rotx.records import InstanceTable
from rotx.tiling.windows import PATCH

#: Suffixes of images that can be split, in lower case.
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

_NAMED = 3  # number of files named in a notice


@dataclass(eq=False)
class Objects:
    """Objects on an image.

    Attributes:
        quads: (N, 8) float64, corners in pixels, in the order of the file.
        labels: (N,) indices into ``classes``.
        classes: Class names.
        difficult: (N,) uint8.
    """

    quads: NDArray[np.float64]
    labels: NDArray[np.int32]
    classes: list[str]
    difficult: NDArray[np.uint8]

    def digest(self) -> str:
        """Digest of the objects, to detect changes."""
        names = "\n".join(self.classes[label] for label in self.labels.tolist())
        content = self.quads.astype("<f8").tobytes() + self.difficult.tobytes() + names.encode()
        return hashlib.sha256(content).hexdigest()[:16]


@dataclass(eq=False)
class Input:
    """An image file and its objects; ``objects`` is None if there are no annotations at all."""

    path: Path
    objects: Objects | None

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.path.name

    @property
    def name(self) -> str:
        """Name of the image: the file name without suffix."""
        return self.path.stem

    @property
    def fingerprint(self) -> dict[str, Any]:
        """File size and objects, to detect changes."""
        try:
            size = self.path.stat().st_size
        except OSError:
            size = 0  # opening the file reports the error
        return {"bytes": size} | ({} if self.objects is None else {"labels": self.objects.digest()})


def find_inputs(
    folders: Sequence[tuple[str | Path, str | Path | None]], jobs: int | None = None
) -> tuple[list[Input], list[str]]:
    """Finds the images of folders, sorted by name; also returns notices for the user.

    Args:
        folders: Image folders, each with its annotations or None.
        jobs: Number of threads; None: one per core.

    Raises:
        ValueError: If there is no image, two images have the same name, or annotations are invalid.
        OSError: If a folder cannot be listed.
    """
    inputs: list[Input] = []
    notices: list[str] = []
    annotated = any(labels is not None for _, labels in folders)
    for folder, labels in folders:
        paths = _list(Path(folder), notices)
        objects: Mapping[str, Objects | None]
        if labels is None:
            objects = dict.fromkeys((path.stem for path in paths), _NONE if annotated else None)
        else:
            objects = _read(Path(labels), [path.stem for path in paths], jobs, notices)
        inputs += [Input(path, objects[path.stem]) for path in paths]
    if not inputs:
        raise ValueError(f"{', '.join(str(folder) for folder, _ in folders)}: no image ({' '.join(SUFFIXES)})")
    inputs.sort(key=lambda image: image.name)
    for first, second in pairwise(inputs):
        if first.name == second.name:
            raise ValueError(f"{first.path} and {second.path}: two images of one name would write the same patches")
    patches = [image.name for image in inputs if PATCH.match(image.name)]
    if patches:
        notices.append(
            f"{len(patches):,} images have names of patches: {_some(patches)}; in the names of their patches "
            "the last numbers count"
        )
    return inputs, notices


_NONE = Objects(np.zeros((0, 8)), np.zeros(0, np.int32), [], np.zeros(0, np.uint8))


def _list(folder: Path, notices: list[str]) -> list[Path]:
    """Lists the image files of a folder; adds a notice about other files."""
    files = [file for file in list_files(folder) if not file.startswith(".")]
    images = [file for file in files if file.lower().endswith(SUFFIXES)]
    others = sorted(set(files) - set(images))
    if others:
        notices.append(f"{folder}: {len(others):,} other files skipped: {_some(others)}")
    for file in images:
        try:
            file.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{folder / file!a}: the file name is not UTF-8; rename it") from None
    return [folder / file for file in images]


def _read(path: Path, names: list[str], jobs: int | None, notices: list[str]) -> dict[str, Objects]:
    """Reads the objects of each image."""
    read = read_annotations(path, jobs=jobs)
    notices += read.notices
    spaced = next((name for name in read.classes if len(name.split()) != 1), None)
    if spaced is not None:
        raise ValueError(f"{path}: class {spaced!r} contains a space, which annotations of patches cannot hold")
    found = _by_image(read)
    missing = [name for name in names if name not in found]
    if missing:
        notices.append(
            f"{path}: {len(missing):,} images have no annotations and are split without objects: {_some(missing)}"
        )
    unused = sorted(found.keys() - set(names))
    if unused:
        notices.append(f"{path}: {len(unused):,} annotated images are missing: {_some(unused)}")
    return {name: found.get(name, _NONE) for name in names}


def _by_image(read: InstanceTable) -> dict[str, Objects]:
    rows = np.argsort(read.image, kind="stable")
    bounds = np.searchsorted(read.image[rows], np.arange(len(read.images) + 1))
    parts = zip(read.images, bounds[:-1], bounds[1:], strict=True)
    objects, quads = {}, read.quads
    for name, start, stop in parts:
        part = rows[start:stop]
        objects[name] = Objects(quads[part], read.label[part], read.classes, read.difficult[part])
    return objects


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")
