"""The sets that are checked: annotations, read as far as they can be, and the files of their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx import _rust
from rotx.annotations.check.faults import Fault
from rotx.annotations.convert import labelme, yolo
from rotx.annotations.formats import FormatError, Problem, read_annotations
from rotx.annotations.sniff import Found, annotation_files
from rotx.datasets.coco import read_leniently
from rotx.geometry import thread_count
from rotx.images.files import image_size, list_images

#: So many lines that cannot be read are named; of more, only the number is said.
_KEPT = 10_000
#: What folders of images are called, beside annotations or above them.
_FOLDERS = ("images", "JPEGImages", "AllImages", "img", "")


@dataclass(eq=False)
class Labelled:
    """A set of annotated images, as far as it can be read; one entry an image in the lists, an object in the arrays.

    Attributes:
        name: in messages.
        annotations: the file or folder.
        folder: of the images; None if there is none.
        names: of the images.
        files: of the annotations of each image.
        paths: of the images' files; None where there is none.
        sizes: height and width of each image, where the annotations say them.
        classes: names.
        quads: (N, 8) float64, corners as annotated.
        image: (N,) index into ``names``.
        label: (N,) index into ``classes``.
        difficult: (N,) uint8.
        lines: (N,) of its file, from 1; 0 in a json.
        ids: of the objects of a json; else empty.
        wanted: the classes that there should be; None: any.
        faults: found while reading.
        notices: what the user should know, a sentence each.
    """

    name: str
    annotations: Path
    folder: Path | None
    names: list[str]
    files: list[str]
    paths: list[Path | None]
    sizes: list[tuple[int, int] | None]
    classes: list[str]
    quads: NDArray[np.float64]
    image: NDArray[np.integer[Any]]
    label: NDArray[np.integer[Any]]
    difficult: NDArray[np.uint8]
    lines: NDArray[np.uint32]
    ids: list[Any] = field(default_factory=list)
    wanted: tuple[str, ...] | None = None
    faults: list[Fault] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def add(self, kind: str, row: int, text: str) -> None:
        """Adds the fault of an object."""
        annotation = self.ids[row] if self.ids else None
        self.faults.append(Fault(kind, self.files[self.image[row]], int(self.lines[row]), text, annotation))

    def place(self, row: int) -> str:
        """Where an object stands, within its file."""
        return f"annotation {self.ids[row]}" if self.ids else f"line {self.lines[row]}"


def read_set(
    annotations: Path,
    images: Path | None = None,
    *,
    name: str = "",
    names: Path | None = None,
    suffix: str | None = None,
    jobs: int | None = None,
) -> Labelled:
    """Reads a set.

    Args:
        annotations: COCO-style json, YOLO-OBB's labels or the set that they are in, or what
            :func:`rotx.annotations.formats.read_annotations` takes.
        images: the folder of the images; None: the one that is found beside the annotations.
        name: in messages; the path unless given.
        names: a file that lists the images of the set.
        suffix: only files that end so are images, such as ``"png"``; None: any that images have.
        jobs: number of threads; None: one a core.

    Raises:
        ValueError: if nothing can be read.
        OSError: if the images cannot be listed.
    """
    name = name or str(annotations)
    if annotations.suffix.lower() == ".json" and not annotations.is_dir():
        return _read_json(annotations, images, name)
    if annotations.is_dir() and (labels := yolo.find(annotations)):
        return _read_yolo(labels, annotations, images, name, jobs)
    have = _text_files(annotations)
    found = read_annotations(annotations, images=names, lenient=True, kept=_KEPT, jobs=jobs, files=have)
    sizes = _xml_sizes(have, jobs) if have.format == "voc" else {}
    labelled = Labelled(
        name=name,
        annotations=annotations,
        folder=images,
        names=found.images,
        files=found.files,
        paths=[None] * len(found.images),
        sizes=[sizes.get(image) for image in found.images],
        classes=found.classes,
        quads=found.quads,
        image=found.image,
        label=found.label,
        difficult=found.difficult,
        lines=found.line,
    )
    skipped = sum(found.skipped.values()) - (0 if names is None else _listed(labelled, names))
    _add_unreadable(labelled, found.problems, skipped)
    # One file for many images, or a list of images, may leave out some of the folder.
    _find_files(labelled, suffix, complete=names is None and bool(have.subjects))
    return labelled


def _text_files(annotations: Path) -> Found:
    try:
        return annotation_files(annotations)
    except FormatError:
        if annotations.is_dir() and labelme.find(annotations):  # says so itself if there is COCO's
            raise FormatError(
                f"{annotations}: holds labelme's json, which is not checked as it is: first rotx convert it"
            ) from None
        raise


def _add_unreadable(labelled: Labelled, problems: Sequence[Problem], count: int) -> None:
    """Adds the problems of lines, of which there are ``count`` in all."""
    labelled.faults += [Fault("unreadable", p.file, p.line, p.text) for p in problems]
    if count > len(problems):
        labelled.notices.append(f"{labelled.name}: {count - len(problems):,} more lines cannot be read")


def _listed(labelled: Labelled, names: Path) -> int:
    """Adds the images of a list that are not annotated; returns how many."""
    wanted, lines, _ = _rust.read_names(str(names), names)
    have = set(labelled.names)
    absent = [(name, line) for name, line in zip(wanted, lines, strict=True) if name not in have]
    for name, line in absent:
        text = f"image '{name}' has no annotations in {labelled.annotations}"
        labelled.faults.append(Fault("missing label", str(names), line, text))
    return len(absent)


def _read_json(file: Path, images: Path | None, name: str) -> Labelled:
    found, folder, ids, skipped = read_leniently(file, [images] if images else _candidates(file))
    labelled = Labelled(
        name=name,
        annotations=file,
        folder=folder or images,
        names=found.names,
        files=[str(file)] * len(found.names),
        paths=found.paths,
        sizes=found.sizes,
        classes=found.classes,
        quads=found.quads,
        image=found.image,
        label=found.label,
        difficult=found.difficult,
        lines=np.zeros(len(ids), np.uint32),
        ids=ids,
        notices=found.notices,
    )
    labelled.faults = [Fault("unreadable", str(file), 0, text, number) for number, text in skipped]
    _add_missing(labelled, [])
    return labelled


def _read_yolo(labels: yolo.Labels, annotations: Path, images: Path | None, name: str, jobs: int | None) -> Labelled:
    """A set whose coordinates are shares of the images' sides; an image without labels is one without objects."""
    lines = yolo.read_lines(labels, _KEPT, jobs)
    found, looked = lines.found, yolo.Images(labels.folder, images)
    paths = looked.find(lines.inside)
    sizes = [image_size(path) if path else None for path in paths]
    scale = np.array([(size[1], size[0]) if size else (np.nan, np.nan) for size in sizes], np.float64).reshape(-1, 2)
    known = np.isfinite(scale[found["image"], 0])
    labelled = Labelled(
        name=name,
        annotations=annotations,
        folder=images or (looked.folders(Path())[0] if any(paths) else None),
        names=lines.subjects,
        files=[str(file) for file in labels.files],
        paths=paths,
        sizes=[None] * len(paths),
        classes=found["classes"],
        quads=(found["quads"].reshape(-1, 8) * np.tile(scale[found["image"]], 4))[known],
        image=found["image"][known],
        label=found["label"][known],
        difficult=np.zeros(int(known.sum()), np.uint8),
        lines=found["line"][known],
        notices=lines.notices,
    )
    if not known.all():
        count = int((~known).sum())
        labelled.notices.append(f"{name}: {count:,} objects are on images whose size is not known: not looked at")
    _add_unreadable(labelled, list(starmap(Problem, found["problems"])), sum(count for _, count in found["skipped"]))
    _add_missing(labelled, [])
    return labelled


def _find_files(labelled: Labelled, suffix: str | None, *, complete: bool) -> None:
    """Finds the images of a set; ``complete``: all images of the folder should be annotated."""
    listed: dict[str, list[str]] = {}
    wanted = set(labelled.names)
    given = [labelled.folder] if labelled.folder else []
    for folder in given or filter(Path.is_dir, _candidates(labelled.annotations)):
        listed = list_images(folder, suffix)
        if not wanted.isdisjoint(listed):
            labelled.folder = folder
            break
    others = [name for name in listed if name not in wanted]
    if labelled.folder is not None:
        for i, name in enumerate(labelled.names):
            files = listed.get(name, [])
            labelled.paths[i] = labelled.folder / files[0] if files else None
            if len(files) > 1:
                text = f"its image may be any of {', '.join(files)}: keep one, or say img_suffix in the config"
                labelled.faults.append(Fault("similar names", labelled.files[i], 0, text))
        for name in others if complete else ():
            text = f"has no annotations in {labelled.annotations}"
            labelled.faults.append(Fault("missing label", str(labelled.folder / listed[name][0]), 0, text))
    _add_missing(labelled, others)


def _add_missing(labelled: Labelled, others: Sequence[str]) -> None:
    """Adds what is to be said of images without a file, and of names that are nearly the same."""
    if labelled.folder is None:
        text = "none of its images is found beside it, so images are not looked at; name them by --images"
        labelled.notices.append(f"{labelled.name}: {text}")
        return
    small = {name.lower(): name for name in others}
    for i, path in enumerate(labelled.paths):
        if path is None:
            other = small.get(labelled.names[i].lower())
            hint = f"; '{other}' is: write both alike" if other else ""
            text = f"image '{labelled.names[i]}' is not in {labelled.folder}{hint}"
            labelled.faults.append(Fault("missing image", labelled.files[i], 0, text))
    first: dict[str, str] = {}
    for name, file in zip(labelled.names, labelled.files, strict=True):
        other = first.setdefault(name.lower(), name)
        if other != name:
            text = (
                f"image '{name}' differs from '{other}' in letters' case only: one replaces the other on some systems"
            )
            labelled.faults.append(Fault("similar names", file, 0, text))


def _candidates(annotations: Path) -> list[Path]:
    """Where the images of annotations may be, the likeliest first: in, beside and above them."""
    bases = [annotations, annotations.parent, annotations.parent.parent]
    split = annotations.stem
    return [base / folder for base in bases for name in _FOLDERS for folder in (Path(name, split), Path(name))]


def _xml_sizes(have: Found, jobs: int | None) -> dict[str, tuple[int, int]]:
    """Height and width of each image whose xml says them."""
    _, sizes = _rust.read_image_info([(file.shown, "", file.data) for file in have.files], thread_count(jobs))
    pairs = zip(have.subjects, sizes.tolist(), strict=True)
    return {name: (height, width) for name, (width, height) in pairs if width and height}
