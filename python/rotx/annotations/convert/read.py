"""Reading annotations of any known format, which is detected from the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rotx import _rust
from rotx.annotations.coco import read_coco
from rotx.annotations.convert import yolo
from rotx.annotations.convert.collect import counted
from rotx.annotations.convert.recognize import not_recognized, recognize
from rotx.annotations.files import File, FormatError
from rotx.annotations.formats import read_annotations
from rotx.annotations.limits import HUGE, check_pixels
from rotx.annotations.sniff import annotation_files, is_header
from rotx.geometry import thread_count
from rotx.records import InstanceTable


def read(
    source: str | Path,
    *,
    images: str | Path | None = None,
    lenient: bool = False,
    jobs: int | None = None,
    progress: bool = False,
) -> InstanceTable:
    """Reads annotations of any known format.

    Args:
        source: A file, folder or archive of COCO, labelme, Label Studio, VIA, Supervisely, Datumaro or CVAT; a folder
            of VisDrone-DET; a YOLO-OBB dataset, its ``labels`` folder or a folder in it; or anything that
            :func:`rotx.annotations.formats.read_annotations` reads.
        images: Folder of the images, which YOLO's relative coordinates need; None: beside the labels.
        lenient: Whether to skip and count errors instead of raising.
        jobs: Number of threads; None: one per core.
        progress: Whether to show a progress bar.

    Raises:
        FormatError: For the first error, unless ``lenient``; always if nothing can be read.
    """
    path = Path(source)
    found = recognize(path)
    if isinstance(found, yolo.Labels):
        return yolo.read(found, None if images is None else Path(images), lenient, jobs, progress)
    if found is None:
        return _read_others(path, lenient, jobs)
    if found.read is None:
        return _read_coco(Path(found.files[0].shown), found.content, lenient)
    return found.read(found.files, lenient)


_COCO_KEYS = {"id", "image_id", "category_id", "segmentation", "bbox", "area", "iscrowd", "ignore", "difficult"}


def _read_coco(path: Path, content: Any, lenient: bool) -> InstanceTable:
    data, table, _, ids, skipped = read_coco(path, [path.parent], data=content, lenient=lenient)
    things = data.get("annotations", [])
    reasons = [text for _, text in skipped]
    near = np.all(np.abs(table.boxes) <= HUGE, axis=1)  # false for NaN
    for row in np.flatnonzero(~near).tolist():
        place = f"annotation {ids[row]}" if lenient else f"annotations[{row}]"
        reasons.append(f"{place}: need finite coordinates up to {HUGE:.0e} pixels")
        if not lenient:
            raise FormatError(f"{path}: {reasons[0]}")
    if reasons:
        table.keep_objects(near)
        table.skipped = {"damaged object": len(reasons)}
        first = [f"skipped {path}: {text}" for text in reasons[:20]]
        table.notices += [f"skipped {len(reasons):,} objects", *first]
        kept = {repr(name) for name, is_near in zip(ids, near.tolist(), strict=True) if is_near}
        things = [thing for i, thing in enumerate(things) if repr(thing.get("id", i)) in kept]
    check_pixels(table.quads, str(path))
    outlines = sum(_is_other_polygon(thing) for thing in things)
    table.lost += _lost(outlines, "polygons or masks: kept as minimum-area rectangles")
    table.lost += _lost(sum("score" in thing for thing in things), "scores: not kept")
    others = Counter(key for thing in things for key in _entries_of(thing))
    if others:
        table.lost.append(f"{others.total():,} entries of objects: not kept: {counted(others)}")
    table.sizes = [size if size and max(size) < 1 << 31 else None for size in table.sizes]
    table.paths = [None] * len(table.images)
    return table


def _entries_of(thing: Any) -> Iterator[str]:
    """Names of what an object holds and is not read; a ``rotation`` of CVAT's is read, one of 0 says nothing."""
    for key, value in thing.items():
        if key == "attributes" and isinstance(value, dict):
            yield from (f"attributes.{name}" for name, said in value.items() if said and name != "rotation")
        elif key not in _COCO_KEYS and key != "score":
            yield key


def _is_other_polygon(thing: Any) -> bool:
    """Whether the shape of an object is neither a box nor a polygon of four corners."""
    segmentation, bbox = thing.get("segmentation"), thing.get("bbox")
    if not segmentation or (isinstance(bbox, list) and len(bbox) == 5):
        return False
    if isinstance(segmentation, dict):
        return True
    corners = [len(polygon) - 2 * (len(polygon) > 8 and polygon[:2] == polygon[-2:]) for polygon in segmentation]
    return any(corners) and corners != [8]


def _lost(count: int, what: str) -> list[str]:
    return [f"{count:,} {what}"] if count else []


def _read_others(path: Path, lenient: bool, jobs: int | None) -> InstanceTable:
    try:
        have = annotation_files(path)
    except FormatError as error:
        raise not_recognized(path, error) from None
    table = read_annotations(path, files=have, lenient=lenient, jobs=jobs)
    table.image_files = [""] * len(table.images)
    table.paths = [None] * len(table.images)
    if have.format == "voc":
        table.image_files, said = _rust.read_image_info([(f.shown, "", f.data) for f in have.files], thread_count(jobs))
        table.sizes = [(height, width) if width and height else None for width, height in said.tolist()]
    elif have.format == "dota":
        table.lost += _lost(sum(map(_has_header, have.files)), "headers (imagesource, gsd): not kept")
    elif have.format == "icdar":
        table.lost += _lost(len(table), "transcriptions: not kept, but '###' as difficult")
    return table


def _has_header(file: File) -> bool:
    return is_header(file.head(64).decode("utf-8-sig", errors="replace"))
