"""Reading YOLO-OBB: lines ``label x1 y1 ... x4 y4`` with coordinates as fractions of the image size; names in YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rotx import _rust
from rotx.annotations.convert.images import add_sizes, one_file
from rotx.annotations.convert.yaml_names import read_names
from rotx.annotations.files import FormatError, clear_errors, is_wanted
from rotx.geometry import thread_count
from rotx.images.files import list_images
from rotx.records import FileProblem, InstanceTable

_LOOKED_AT = 25  # files that are sampled to detect the format
_NAMES = "classes.txt"
_Files = list[tuple[str, str, bytes | PathLike[str]]]


@dataclass
class Labels:
    """Label files of a dataset: those in ``folder`` and its subfolders."""

    folder: Path
    files: list[Path]


def find(path: Path) -> Labels | None:
    """Finds the label files in a folder or its subfolder ``labels``; None if they are of another format.

    Raises:
        FormatError: For labels whose numbers are separated by commas, or a folder that cannot be read.
    """
    folder = path / "labels" if (path / "labels").is_dir() else path
    deep = "labels" in folder.absolute().parts
    with clear_errors(path):
        found = folder.rglob("*") if deep else folder.iterdir()
        files = sorted(file for file in found if file.suffix.lower() == ".txt" and is_wanted(file.name))
        files = [file for file in files if file.is_file()]
    votes: list[bool] = []
    for file in files:
        with clear_errors(file), file.open("rb") as opened:
            line = opened.readline(1000).decode("utf-8-sig", errors="replace")
        if words := line.split():
            votes.append(_is_label(words, deep))
            if not votes[-1] and "," in line and _is_label(line.replace(",", " ").split(), deep):
                raise FormatError(f"{file}:1: the numbers are separated by commas; YOLO's labels have spaces")
        if len(votes) == _LOOKED_AT:
            break
    looks_so = 2 * sum(votes) > len(votes) if votes else deep
    return Labels(folder, files) if files and looks_so else None


def _is_label(words: list[str], sure: bool) -> bool:
    """Whether the words of a line are a label with fractions, as horizontal boxes and polygons also have.

    ``sure``: a label with any eight numbers also counts; reading then reports numbers out of range.
    """
    try:
        label, *shares = map(float, words)
    except ValueError:
        return False
    small = all(abs(share) <= 2 for share in shares)
    return label.is_integer() and len(shares) >= 4 and (small or (sure and len(shares) == 8))


class Lines(NamedTuple):
    """Content of label files."""

    inside: list[Path]
    """Path of each file without suffix, relative to their folder."""
    subjects: list[str]
    """Name of the image of each file."""
    found: dict[str, Any]
    """Result of `rotx._rust.read_detections`: boxes as fractions, the line of each object, and the problems."""
    notices: list[str]


def read_lines(labels: Labels, kept: int | None, jobs: int | None) -> Lines:
    """Reads label files without resolving their images.

    Args:
        labels: Label files from :func:`find`.
        kept: Number of problems to keep with their text while skipping and counting all; None: the first problem
            raises.
        jobs: Number of threads; None: one per core.

    Raises:
        FormatError: For the first invalid line, unless problems are skipped.
    """
    names, notices = _names(labels.folder)
    inside = [file.relative_to(labels.folder).with_suffix("") for file in labels.files]
    subjects = [path.name for path in inside]
    if len(set(subjects)) < len(subjects):
        subjects = [path.as_posix() for path in inside]
    files: _Files = [(str(file), subject, file) for file, subject in zip(labels.files, subjects, strict=True)]
    try:
        found = _rust.read_detections("yolo", files, subjects, names, kept, thread_count(jobs))
    except ValueError as error:
        raise FormatError(str(error)) from None
    return Lines(inside, subjects, found, notices)


def read(labels: Labels, images: Path | None, lenient: bool, jobs: int | None, progress: bool) -> InstanceTable:
    """Reads label files, one per image.

    Args:
        labels: Label files from :func:`find`.
        images: Folder of the images, with the subfolders of the labels; None: the path of the labels with ``labels``
            replaced by ``images``, or the folder of the labels itself.
        lenient: Whether to skip and count invalid lines, and images without a file.
        jobs: Number of threads; None: one per core.
        progress: Whether to show a progress bar.

    Raises:
        FormatError: For the first invalid line, or an image without a file, unless ``lenient``.
    """
    inside, _, found, notices = read_lines(labels, 20 if lenient else None, jobs)
    folders = sorted({path.parent.as_posix() for path in inside})
    lost = []
    if len(folders) > 1:
        first = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
        lost.append(f"{len(folders)} folders ({first}): merged; convert one at a time to keep them apart")
    if found["skipped"]:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in found["skipped"])
        notices.append(f"skipped lines or files: {counts}")
        notices += [f"skipped {FileProblem(*problem)}" for problem in found["problems"]]
    scores = int(np.isfinite(found["scores"]).sum())
    if scores:
        lost.append(f"{scores:,} scores: not kept")
    paths = Images(labels.folder, images).find(inside)
    data = InstanceTable(
        format="yolo",
        images=found["images"],
        files=[str(file) for file in labels.files],
        image_files=["" if path is None else path.name for path in paths],
        paths=paths,
        classes=found["classes"],
        boxes=found["quads"].reshape(-1, 8),
        kind="quad",
        image=found["image"].astype(np.int32),
        label=found["label"].astype(np.int32),
        lost=lost,
        notices=notices,
    )
    add_sizes(data, images, lenient, progress)
    data.boxes = data.boxes * np.tile(data.extents[data.image], 4)
    return data


@dataclass
class Images:
    """Finds the images of label files; lists each folder once."""

    labels: Path
    folder: Path | None
    _listed: dict[Path, dict[str, list[str]]] = field(default_factory=dict)

    def find(self, inside: list[Path]) -> list[Path | None]:
        """Finds the image file of each label file, given by its path in the folder of the labels."""
        if self.folder is not None:
            with clear_errors(self.folder):
                self._listed[self.folder] = list_images(self.folder)
        return [self._one(path) for path in inside]

    def _one(self, inside: Path) -> Path | None:
        for folder in self.folders(inside.parent):
            if folder not in self._listed:
                self._listed[folder] = list_images(folder) if folder.is_dir() else {}
            if path := one_file(folder, self._listed[folder], inside.name):
                return path
        return None

    def folders(self, sub: Path) -> list[Path]:
        """Folders that may hold the images of a subfolder of the labels."""
        if self.folder is not None:
            return [self.folder / sub, self.folder]
        parts = list((self.labels.absolute() / sub).parts)
        last = max((i for i, part in enumerate(parts) if part == "labels"), default=None)
        if last is None:
            return [self.labels / sub]
        return [Path(*parts[:last], "images", *parts[last + 1 :]), self.labels / sub]


def _names(folder: Path) -> tuple[list[str] | None, list[str]]:
    """Class names from a YAML file or ``classes.txt`` in the folder or above; and notices."""
    for place in (folder, *folder.absolute().parents[:3]):
        found = [(file, names) for file in sorted(place.glob("*.y*ml")) if (names := read_names(file)) is not None]
        if file := next((file for file in (place / _NAMES,) if file.is_file()), None):
            with clear_errors(file):
                lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            found.append((file, [line.strip() for line in lines if line.strip()]))
        if len({tuple(names) for _, names in found}) > 1:
            files = " and ".join(str(file) for file, _ in found)
            raise FormatError(f"{files}: name different classes; keep only one of them")
        if found:
            file, names = found[0]
            if len(set(names)) < len(names):
                raise FormatError(f"{file}: a class name occurs twice")
            return names, [f"class names from {file}"]
    return None, [f"{folder}: no class names (data.yaml, {_NAMES}): classes are named by their numbers"]
