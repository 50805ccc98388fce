"""Reading annotations of any format that is known, which is found by looking at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rotx import _rust
from rotx.annotations.convert import labelme, yolo
from rotx.annotations.convert.dataset import HUGE, DataSet
from rotx.annotations.files import File, FormatError
from rotx.annotations.formats import read_annotations
from rotx.annotations.sniff import annotation_files
from rotx.geometry import thread_count


def read(
    source: str | Path,
    *,
    images: str | Path | None = None,
    lenient: bool = False,
    jobs: int | None = None,
    progress: bool = False,
) -> DataSet:
    """Reads annotations.

    Args:
        source: a file ``.json`` as COCO's; a folder of labelme's json, one an image; a YOLO-OBB data set, or its
            folder ``labels`` or one in it; or whatever :func:`rotx.annotations.formats.read_annotations` takes.
        images: the folder of the images, which YOLO's coordinates need; None: beside the labels.
        lenient: skip and count what is wrong; a file as COCO's has to be right.
        jobs: number of threads; None: one a core.
        progress: show a bar.

    Raises:
        FormatError: for the first thing that is wrong, unless lenient; always if nothing can be read.
    """
    path = Path(source)
    if path.suffix.lower() == ".json" and not path.is_dir():
        return _read_coco(path)
    if path.is_dir():
        if files := labelme.find(path):
            return labelme.read(files, lenient)
        if labels := yolo.find(path):
            return yolo.read(labels, None if images is None else Path(images), lenient, jobs, progress)
    return _read_others(path, lenient, jobs)


_COCO_KEYS = {"id", "image_id", "category_id", "segmentation", "bbox", "area", "iscrowd", "ignore", "difficult"}


def _read_coco(path: Path) -> DataSet:
    from rotx.datasets.coco import read_coco  # most runs need it not

    try:
        data, found = read_coco(path, path.parent)
    except ValueError as error:
        raise FormatError(str(error)) from None
    things = data.get("annotations", [])
    far = np.flatnonzero(~(np.abs(found.quads) <= HUGE).all(axis=1))  # NaN is not either
    if len(far):
        raise FormatError(f"{path}: annotations[{far[0]}]: need finite coordinates up to {HUGE:.0e} pixels")
    lost = [
        _lost(sum(_is_other_polygon(thing) for thing in things), "polygons or masks: kept as the least rectangles"),
        _lost(sum("score" in thing for thing in things), "scores: not kept"),
    ]
    others = [key for thing in things for key in thing.keys() - _COCO_KEYS - {"score"}]
    if others:
        names = sorted(set(others))
        lost.append(f"{len(others):,} entries of objects, such as {names[0]!r}: not kept")
    sizes = [(w, h) if max(w, h) < 1 << 31 else (0, 0) for h, w in (size or (0, 0) for size in found.sizes)]
    return DataSet(
        format="coco",
        images=found.names,
        files=[str(image.get("file_name", image.get("filename"))) for image in data["images"]],
        paths=[None] * len(found.names),
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        classes=found.classes,
        quads=found.quads,
        image=found.image.astype(np.int32),
        label=found.label.astype(np.int32),
        difficult=np.array([_difficulty(thing.get("difficult")) for thing in things], np.uint8),
        crowd=found.ignored.astype(np.uint8),
        lost=list(filter(None, lost)),
        notices=found.notices,
    )


def _difficulty(value: Any) -> int:
    return 2 if value == 2 else int(bool(value))


def _is_other_polygon(thing: Any) -> bool:
    """Whether the shape of an object is neither a box nor a polygon of four corners."""
    segmentation, bbox = thing.get("segmentation"), thing.get("bbox")
    if not segmentation or (isinstance(bbox, list) and len(bbox) == 5):
        return False
    return not (isinstance(segmentation, list) and len(segmentation) == 1 and len(segmentation[0]) == 8)


def _lost(count: int, what: str) -> str | None:
    return f"{count:,} {what}" if count else None


def _read_others(path: Path, lenient: bool, jobs: int | None) -> DataSet:
    have = annotation_files(path)
    read = read_annotations(path, files=have, lenient=lenient, jobs=jobs)
    count = len(read.images)
    files, sizes = [""] * count, np.zeros((count, 2), np.int64)
    lost = []
    if have.format == "voc":
        files, said = _rust.read_image_info([(f.shown, "", f.data) for f in have.files], thread_count(jobs))
        sizes = said.astype(np.int64)
    elif have.format == "dota":
        lost.append(_lost(sum(map(_has_header, have.files)), "headers (imagesource, gsd): not kept"))
    elif have.format == "icdar":
        lost.append(_lost(len(read.quads), "transcriptions: not kept, but '###' as difficult"))
    return DataSet(
        format=have.format,
        images=read.images,
        files=files,
        paths=[None] * count,
        sizes=sizes,
        classes=read.classes,
        quads=read.quads,
        image=read.image.astype(np.int32),
        label=read.label.astype(np.int32),
        difficult=read.difficult,
        crowd=np.zeros(len(read.quads), np.uint8),
        lost=list(filter(None, lost)),
        notices=read.notices,
    )


def _has_header(file: File) -> bool:
    return file.head(64).lower().lstrip(b"\xef\xbb\xbf").startswith((b"imagesource:", b"gsd:"))
