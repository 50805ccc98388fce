"""Reading Supervisely's JSON: one file ``IMAGE.json`` per image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rotx.annotations.convert.collect import Collector, box_corners, image_name, size_of
from rotx.annotations.files import File
from rotx.annotations.json_files import DamagedEntry, Json, entries, entry, load_json, number, points
from rotx.records import InstanceTable

#: Keys that are read, and those of Supervisely's own book-keeping.
_READ = {"classTitle", "geometryType", "points", "angle"} | {
    "id", "classId", "description", "labelerLogin", "createdAt", "updatedAt", "entityId", "nnCreated", "nnUpdated"
}  # fmt: skip


def rejects(record: Any) -> str | None:
    """Why the content of a JSON file is not Supervisely's; None if it is."""
    if not isinstance(record, Mapping) or not isinstance(record.get("objects"), list):
        return "objects missing"
    return None if isinstance(record.get("size"), Mapping) else "size missing"


def read(files: Sequence[File], lenient: bool) -> InstanceTable:
    """Reads annotation files, one per image.

    Raises:
        FormatError: For the first invalid object or file, unless ``lenient``.
    """
    objects = Collector("supervisely", lenient)
    for file in files:
        record: Json | None = None
        with objects.checked(file.shown):
            record = _load(file)
        if record is None:
            continue  # an image whose labels cannot be read is not an image without objects
        size = record["size"]
        image = objects.add_image(
            image_name(file.stem), file, size_of(size.get("height"), size.get("width")), file.stem
        )
        for k, thing in enumerate(record["objects"]):
            with objects.checked(f"{file.shown}: objects[{k}]"):
                thing = entry(thing)
                objects.add(image, thing.get("classTitle"), _corners(objects, thing))
                for key in thing.keys() - _READ:
                    if thing[key]:
                        objects.lose_entry(key)
    return objects.table()


def _load(file: File) -> Json:
    record = entry(load_json(file))
    if why := rejects(record):
        raise DamagedEntry("not supervisely's", why)
    return record


def _corners(objects: Collector, thing: Json) -> list[list[float]]:
    kind = thing.get("geometryType")
    if kind not in ("polygon", "rectangle", "oriented_bbox"):
        raise DamagedEntry("other shape", f"a {kind!r:.40} has no corners: need a polygon, rectangle or oriented_bbox")
    listed = thing.get("points")  # of an oriented box, Supervisely writes the two corners themselves
    shape = {"exterior": listed} if isinstance(listed, list) else entry(listed, "points")
    outer = points(entries(shape.get("exterior"), "points.exterior"), "points.exterior")
    if kind == "polygon":
        if shape.get("interior"):
            objects.lose("holes of polygons: not kept")
        return outer
    if len(outer) != 2:
        raise DamagedEntry("damaged shape", f"points.exterior: need two corners, got {len(outer)}")
    (x0, y0), (x1, y1) = outer
    angle = number(thing.get("angle") or shape.get("angle") or 0, "angle")
    if abs(angle) > 2 * math.pi + 1e-3:
        raise DamagedEntry("damaged shape", f"angle: need radians, clockwise, got {angle:g}")
    return box_corners(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1), angle)
