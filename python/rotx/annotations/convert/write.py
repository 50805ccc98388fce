"""Writing annotations: fits the data to the target format, then writes batches of images in Rust."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rotx import _rust
from rotx.annotations.classes import HRSC_CLASSES
from rotx.annotations.convert.rectangles import NEAR, rectangles
from rotx.annotations.convert.target import HEAD, check_target, new_folder
from rotx.annotations.files import FormatError, is_wanted
from rotx.atomic import Pending, remove_leftovers
from rotx.geometry import thread_count
from rotx.images.files import SUFFIXES
from rotx.records import InstanceTable

#: Formats that can be written.
FORMATS = ("dota", "coco", "yolo", "voc", "rolabelimg", "hrsc", "labelme")

_BATCH = 4096  # images


def _fit(data: InstanceTable, to: str) -> list[str]:
    """Changes the data so that the format can hold it; returns what is lost, one sentence each.

    Raises:
        FormatError: For names that the format cannot hold.
    """
    _check_names(data, to)
    lost = []
    none = np.zeros(len(data), np.uint8)
    ignored = none if data.ignored is None else data.ignored.astype(np.uint8)
    crowd, difficult = int(ignored.sum()), int((data.difficult > 0).sum())
    if crowd and to != "coco":
        what = "lost, yolo has none" if to == "yolo" else "written as difficult"
        lost.append(f"{crowd:,} iscrowd or ignore flags: {what}")
        data.difficult = np.maximum(data.difficult, ignored)
    if to == "yolo":
        if difficult:
            lost.append(f"{difficult:,} difficult flags: lost, yolo has none")
        shares = data.quads / np.tile(data.extents[data.image], 4)
        beyond = int(((shares < 0) | (shares > 1)).any(axis=1).sum())
        if beyond:
            lost.append(f"{beyond:,} objects reach beyond their images: kept, but some trainers refuse them")
    if to == "dota":
        if any(data.sizes):
            lost.append("sizes of images: not kept, dota stores no sizes")
        lost += _without_spaces(data)
    if to in ("rolabelimg", "hrsc"):
        data.boxes, moved = rectangles(data.quads)
        others = int((moved > NEAR).sum())
        if others:
            most = f"corners moved by up to {moved.max():,.2f} px"
            lost.append(f"{others:,} objects are not rectangles: written as the minimum-area ones around them, {most}")
    if to == "hrsc":
        lost += _numbers_of_ships(data)
    return lost + _files(data, to)


def _check_names(data: InstanceTable, to: str) -> None:
    for name in [*data.images, *data.classes]:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise FormatError(f"{name!a}: the name is not valid text; rename it") from None
        if not name or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name):
            raise FormatError(f"{name!r}: the name is empty or has control characters; rename it")
    for name in data.classes:
        if name != name.strip():
            raise FormatError(f"class {name!r}: the name starts or ends with a space; rename it")
    if to == "coco":
        return
    for name in data.images:
        if "/" in name or "\\" in name:
            folder = PurePosixPath(name.replace("\\", "/")).parent
            fix = f"convert {folder} and the others one at a time, or use --to coco"
            raise FormatError(f"image {name!r}: images of one name in several folders: {fix}")
        if not is_wanted(f"{name}.txt") or len(name.encode()) > 240:
            raise FormatError(f"image {name!r}: readers skip a file of this name: rename the image")


def _without_spaces(data: InstanceTable) -> list[str]:
    changed = {name: "-".join(name.split()) for name in data.classes if name.split() != [name]}
    if not changed:
        return []
    for name, new in changed.items():
        if new in data.classes or list(changed.values()).count(new) > 1:
            raise FormatError(f"class {name!r}: dota has no spaces in names, and {new!r} is taken: rename one of them")
    data.classes = [changed.get(name, name) for name in data.classes]
    first = next(iter(changed.items()))
    return [f"{len(changed):,} names of classes have spaces, which dota has not: {first[0]!r} is now {first[1]!r}"]


def _numbers_of_ships(data: InstanceTable) -> list[str]:
    """Replaces class names by HRSC2016's class numbers."""
    numbers = {name: number for number, name in HRSC_CLASSES.items()}
    counts = np.bincount(data.label, minlength=len(data.classes))
    others = [name for name, n in zip(data.classes, counts, strict=True) if n and name not in numbers]
    if others:
        raise FormatError(f"class {others[0]!r}: hrsc stores HRSC2016 ship classes only: use --to voc")
    kinds = int(sum(n for name, n in zip(data.classes, counts, strict=True) if name != "ship"))
    data.classes = [numbers.get(name, "") for name in data.classes]
    return [f"{kinds:,} objects are of a kind of ship: most readers take them for 'ship'"] if kinds else []


def _files(data: InstanceTable, to: str) -> list[str]:
    """Names the image files as far as the source gives them; notes how many suffixes are unknown."""
    if to in ("dota", "yolo"):
        return []
    unknown = 0
    for i, (name, file) in enumerate(zip(data.images, data.image_files, strict=True)):
        suffix = PurePosixPath(file).suffix
        if suffix.lower() not in SUFFIXES:
            unknown += 1
            suffix = ""
        if to != "coco" or PurePosixPath(file).stem != PurePosixPath(name).stem:
            data.image_files[i] = name + suffix
    if not unknown:
        return []
    return [f"{unknown:,} images: file suffixes are unknown and left out: name the image folder with --images"]


def write(
    data: InstanceTable, out: str | Path, to: str, *, jobs: int | None = None, progress: bool = False
) -> list[str]:
    """Writes annotations; see :func:`rotx.annotations.convert.convert`.

    Args:
        data: Images and objects; sorted by image, and changed so that the format can hold them.
        out: A file for ``coco``, else a folder; it appears when it is complete.
        to: Format to write, one of `FORMATS`.
        jobs: Number of threads; None: one per core.
        progress: Whether to show a progress bar.

    Returns:
        What the format does not hold and how it was handled, one sentence each.

    Raises:
        FormatError: For names that the format cannot hold, an unknown image size, or an ``out`` that holds other
            files.
        OSError: If a file cannot be written.
    """
    check_target(Path(out), to)
    data.sizes = data.sizes or [None] * len(data.images)
    if to != "dota" and None in data.sizes:
        raise FormatError(f"image {data.images[data.sizes.index(None)]!r}: its size is unknown, and {to} needs it")
    data.convert("quad")
    if not data.image_files:
        data.image_files = ["" if path is None else path.name for path in data.paths] or [""] * len(data.images)
    if not np.isfinite(data.boxes).all():
        name = data.images[data.image[~np.isfinite(data.boxes).all(axis=1)][0]]
        raise FormatError(f"image {name!r}: a corner of an object is not finite")
    lost = _fit(data, to)
    out, threads = Path(out), thread_count(jobs)
    with tqdm(desc="written", total=len(data.images), disable=not progress or None) as bar:
        if to == "coco":
            _write_coco(data, out, threads, bar)
        else:
            _write_files(data, out, to, threads, bar)
    return lost


def _write_files(data: InstanceTable, out: Path, to: str, threads: int, bar: tqdm) -> None:
    with new_folder(out) as folder:
        place = folder
        if to == "yolo":
            place = folder / "labels"
            place.mkdir()
            (folder / "data.yaml").write_text(_yaml(data.classes), encoding="utf-8")
        for batch in _batches(data):
            _rust.write_annotations(to, batch, place, threads)
            bar.update(len(batch.names))


@dataclass(frozen=True)
class _Batch:
    """A batch of consecutive images and their objects, in the form that Rust takes."""

    names: list[str]
    files: list[str]
    sizes: NDArray[np.uint32]
    bounds: list[int]
    classes: list[str]
    quads: NDArray[np.float64]
    label: NDArray[np.int32]
    difficult: NDArray[np.uint8]
    crowd: NDArray[np.uint8]


def _batches(data: InstanceTable) -> Iterator[_Batch]:
    bounds = data.sort_by_image()
    sizes = data.extents.astype(np.uint32)
    none = np.zeros(len(data), np.uint8)
    crowd = none if data.ignored is None else data.ignored.astype(np.uint8)
    for start in range(0, len(data.images), _BATCH):
        images = slice(start, start + _BATCH)
        part = bounds[start : start + _BATCH + 1]
        rows = slice(part[0], part[-1])
        yield _Batch(
            names=data.images[images],
            files=data.image_files[images],
            sizes=sizes[images],
            bounds=(part - part[0]).tolist(),
            classes=data.classes,
            quads=data.boxes[rows],
            label=data.label[rows].astype(np.int32, copy=False),
            difficult=data.difficult[rows],
            crowd=crowd[rows],
        )


def _write_coco(data: InstanceTable, out: Path, threads: int, bar: tqdm) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    file = Pending(out)
    try:
        for text in _coco(data, threads, bar):
            file.write(text)
        file.close()
    finally:
        file.discard()


def _coco(data: InstanceTable, threads: int, bar: tqdm) -> Iterator[bytes]:
    """Yields the COCO file in pieces."""
    yield HEAD + b',\n"categories": [\n'
    yield _lines({"id": i, "name": name} for i, name in enumerate(data.classes, 1))
    yield b'\n],\n"images": [\n'
    images = zip(data.image_files, data.extents.tolist(), strict=True)
    yield _lines({"id": i, "file_name": file, "width": w, "height": h} for i, (file, (w, h)) in enumerate(images, 1))
    yield b'\n],\n"annotations": [\n'
    before = objects = 0
    for batch in _batches(data):
        if objects and len(batch.label):
            yield b",\n"
        yield _rust.coco_annotations(batch, before, objects, threads)
        before, objects = before + len(batch.names), objects + len(batch.label)
        bar.update(len(batch.names))
    yield b"\n]}\n"


def _lines(entries: Iterator[dict[str, object]]) -> bytes:
    return ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries).encode()


def _yaml(classes: list[str]) -> str:
    """The ``data.yaml`` that YOLO trainers need."""
    import yaml  # only YOLO needs it

    record = {"path": ".", "train": "images", "val": "images", "names": dict(enumerate(classes))}
    text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=sys.maxsize)
    return f"# Put the images into the folder images, beside labels.\n{text}"
