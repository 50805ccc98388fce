"""Reading datasets for checking: all readable annotations, and the files of their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx import _rust
from rotx.annotations.check.faults import Fault
from rotx.annotations.coco import read_coco
from rotx.annotations.convert import yolo
from rotx.annotations.convert.recognize import not_recognized, recognize
from rotx.annotations.formats import FormatError, read_annotations
from rotx.annotations.sniff import AnnotationFiles, annotation_files
from rotx.geometry import thread_count
from rotx.images.files import image_size, list_images
from rotx.records import FileProblem, InstanceTable

#: Number of unreadable lines that are listed; further ones are only counted.
_KEPT = 10_000
#: Usual names of image folders, beside the annotations or above them.
_FOLDERS = ("images", "JPEGImages", "AllImages", "img", "")


@dataclass(eq=False)
class CheckedSet:
    """The readable part of a dataset, and the faults found in it.

    Attributes:
        name: Name of the dataset in messages.
        annotations: File or folder of the annotations.
        folder: Folder of the images; None if there is none.
        table: The images and their objects.
        ids: The ``id`` of each object in JSON; [] for other formats.
        wanted: Expected class names; None: any.
        faults: Faults found so far.
    """

    name: str
    annotations: Path
    folder: Path | None
    table: InstanceTable
    ids: list[Any] = field(default_factory=list)
    wanted: tuple[str, ...] | None = None
    faults: list[Fault] = field(default_factory=list)

    @cached_property
    def quads(self) -> NDArray[np.float64]:
        """Corners (N, 8) of the objects."""
        return self.table.quads

    @property
    def notices(self) -> list[str]:
        """Notes for the user, one sentence each."""
        return self.table.notices

    def add(self, kind: str, row: int, text: str) -> None:
        """Adds a fault of the object in a row of the table."""
        annotation = self.ids[row] if self.ids else None
        line = 0 if self.ids else int(self.table.line[row])
        self.faults.append(Fault(kind, self.table.files[self.table.image[row]], line, text, annotation))

    def place(self, row: int) -> str:
        """Position of an object in its file."""
        return f"annotation {self.ids[row]}" if self.ids else f"line {self.table.line[row]}"


def read_set(
    annotations: Path,
    images: Path | None = None,
    *,
    name: str = "",
    names: Path | None = None,
    suffix: str | None = None,
    jobs: int | None = None,
) -> CheckedSet:
    """Reads a dataset.

    Args:
        annotations: COCO-style JSON, a YOLO-OBB dataset or its labels, or any other annotations that
            :func:`rotx.annotations.formats.read_annotations` reads.
        images: Folder of the images; None: search beside the annotations.
        name: Name of the dataset in messages; default: the path.
        names: File that lists the images of the dataset.
        suffix: Suffix of the image files, such as ``"png"``; None: any image suffix.
        jobs: Number of threads; None: one per core.

    Raises:
        ValueError: If nothing can be read.
        OSError: If the images cannot be listed.
    """
    name = name or str(annotations)
    found = recognize(annotations)
    if isinstance(found, yolo.Labels):
        return _read_yolo(found, annotations, images, name, jobs)
    if found is not None:
        if found.read is not None:
            checked = CheckedSet(name, annotations, images, found.read(found.files, True))
            return _check_tool(checked, suffix)
        return _read_json(annotations, images, name)
    try:
        have = annotation_files(annotations)
    except FormatError as error:
        raise not_recognized(annotations, error) from None
    table = read_annotations(annotations, images=names, lenient=True, kept=_KEPT, jobs=jobs, files=have)
    sizes = _xml_sizes(have, jobs) if have.format == "voc" else {}
    table.notices = []
    table.paths = [None] * len(table.images)
    table.sizes = [sizes.get(image) for image in table.images]
    checked = CheckedSet(name, annotations, images, table)
    skipped = sum(table.skipped.values()) - (0 if names is None else _listed(checked, names))
    _add_unreadable(checked, table.problems, skipped)
    # A file for many images, or a list of images, need not name all images of the folder.
    _find_files(checked, suffix, complete=names is None and bool(have.subjects))
    return checked


def _check_tool(checked: CheckedSet, suffix: str | None) -> CheckedSet:
    """Completes the set of an annotation tool's files; an object is known by its number in its image."""
    table = checked.table
    table.notices = []
    before = Counter[int]()
    for image in table.image.tolist():
        before[image] += 1
        checked.ids.append(before[image])
    _add_unreadable(checked, table.problems, sum(table.skipped.values()))
    _find_files(checked, suffix, complete=False)
    return checked


def _add_unreadable(checked: CheckedSet, problems: Sequence[FileProblem], count: int) -> None:
    """Adds the listed problems of lines; ``count`` is the number of all problems."""
    checked.faults += [Fault("unreadable", p.file, p.line, p.text) for p in problems]
    if count > len(problems):
        checked.notices.append(f"{checked.name}: {count - len(problems):,} more lines cannot be read")


def _listed(checked: CheckedSet, names: Path) -> int:
    """Adds the listed images without annotations as faults; returns their number."""
    wanted, lines, _ = _rust.read_names(str(names), names)
    have = set(checked.table.images)
    absent = [(name, line) for name, line in zip(wanted, lines, strict=True) if name not in have]
    for name, line in absent:
        text = f"image '{name}' has no annotations in {checked.annotations}"
        checked.faults.append(Fault("missing label", str(names), line, text))
    return len(absent)


def _read_json(file: Path, images: Path | None, name: str) -> CheckedSet:
    read = read_coco(file, [images] if images else _candidates(file), lenient=True)
    checked = CheckedSet(name, file, read.folder or images, read.table, read.ids)
    checked.faults = [Fault("unreadable", str(file), 0, text, number) for number, text in read.skipped]
    _add_missing(checked, [])
    return checked


def _read_yolo(labels: yolo.Labels, annotations: Path, images: Path | None, name: str, jobs: int | None) -> CheckedSet:
    """Reads YOLO-OBB, whose coordinates are fractions of the image size; no label file means no objects."""
    lines = yolo.read_lines(labels, _KEPT, jobs)
    found, looked = lines.found, yolo.Images(labels.folder, images)
    paths = looked.find(lines.inside)
    sizes = [image_size(path) if path else None for path in paths]
    scale = np.array([(size[1], size[0]) if size else (np.nan, np.nan) for size in sizes], np.float64).reshape(-1, 2)
    table = InstanceTable(
        images=lines.subjects,
        classes=found["classes"],
        boxes=found["quads"].reshape(-1, 8) * np.tile(scale[found["image"]], 4),
        kind="quad",
        image=found["image"].astype(np.int32),
        label=found["label"].astype(np.int32),
        paths=paths,
        sizes=[None] * len(paths),
        line=found["line"],
        files=[str(file) for file in labels.files],
        format="yolo",
        notices=lines.notices,
    )
    known = np.isfinite(scale[table.image, 0])
    if not known.all():
        count = int((~known).sum())
        table.notices.append(f"{name}: {count:,} objects are on images of unknown size and are not checked")
    table.keep_objects(known)
    folder = images or (looked.folders(Path())[0] if any(paths) else None)
    checked = CheckedSet(name, annotations, folder, table)
    problems = list(starmap(FileProblem, found["problems"]))
    _add_unreadable(checked, problems, sum(count for _, count in found["skipped"]))
    _add_missing(checked, [])
    return checked


def _find_files(checked: CheckedSet, suffix: str | None, *, complete: bool) -> None:
    """Finds the image files; ``complete``: every image in the folder should be annotated."""
    listed: dict[str, list[str]] = {}
    wanted = set(checked.table.images)
    given = [checked.folder] if checked.folder else []
    for folder in given or filter(Path.is_dir, _candidates(checked.annotations)):
        listed = list_images(folder, suffix)
        if not wanted.isdisjoint(listed):
            checked.folder = folder
            break
    others = [name for name in listed if name not in wanted]
    if checked.folder is not None:
        for i, name in enumerate(checked.table.images):
            files = listed.get(name, [])
            checked.table.paths[i] = checked.folder / files[0] if files else None
            if len(files) > 1:
                text = f"its image may be any of {', '.join(files)}: keep one, or set img_suffix in the config"
                checked.faults.append(Fault("similar names", checked.table.files[i], 0, text))
        for name in others if complete else ():
            text = f"has no annotations in {checked.annotations}"
            checked.faults.append(Fault("missing label", str(checked.folder / listed[name][0]), 0, text))
    _add_missing(checked, others)


def _add_missing(checked: CheckedSet, others: Sequence[str]) -> None:
    """Adds faults for images without a file and for similar names."""
    if checked.folder is None:
        text = "no images are found beside it, so images are not checked; name their folder with --images"
        checked.notices.append(f"{checked.name}: {text}")
        return
    small = {name.lower(): name for name in others}
    for i, path in enumerate(checked.table.paths):
        if path is None:
            other = small.get(checked.table.images[i].lower())
            hint = f"; '{other}' is: use one spelling" if other else ""
            text = f"image '{checked.table.images[i]}' is not in {checked.folder}{hint}"
            checked.faults.append(Fault("missing image", checked.table.files[i], 0, text))
    first: dict[str, str] = {}
    for name, file in zip(checked.table.images, checked.table.files, strict=True):
        other = first.setdefault(name.lower(), name)
        if other != name:
            text = f"image '{name}' differs from '{other}' only in case: one replaces the other on some systems"
            checked.faults.append(Fault("similar names", file, 0, text))


def _candidates(annotations: Path) -> list[Path]:
    """Folders in, beside and above the annotations that may hold the images, likeliest first."""
    bases = [annotations, annotations.parent, annotations.parent.parent]
    split = annotations.stem
    return [base / folder for base in bases for name in _FOLDERS for folder in (Path(name, split), Path(name))]


def _xml_sizes(have: AnnotationFiles, jobs: int | None) -> dict[str, tuple[int, int]]:
    """Height and width of each image, from the XML files that give them."""
    _, sizes = _rust.read_image_info([(file.shown, "", file.data) for file in have.files], thread_count(jobs))
    pairs = zip(have.subjects, sizes.tolist(), strict=True)
    return {name: (height, width) for name, (width, height) in pairs if width and height}
