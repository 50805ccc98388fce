"""Reading Datumaro's JSON: images as ``items``, with the labels of ``categories``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rotx.annotations.convert.collect import Collector, box_corners, image_name, size_of
from rotx.annotations.convert.masks import mask_corners
from rotx.annotations.files import File
from rotx.annotations.json_files import DamagedEntry, Json, entries, entry, flag, load_json, number, short
from rotx.records import InstanceTable

_KEYS = {"id", "type", "label_id", "attributes", "bbox", "points", "rle", "rbox", "rotated_bbox", "group", "z_order"}
_KEYS |= {"cx", "cy", "w", "h", "r"}
_READ = {"rotation", "difficult", "truncated", "is_crowd"}


def rejects(record: Any) -> str | None:
    """Why the content of a JSON file is not Datumaro's; None if it is."""
    if not isinstance(record, Mapping) or not isinstance(record.get("items"), list):
        return "items missing"
    return None if isinstance(record.get("categories"), Mapping) else "categories missing"


def read(files: Sequence[File], lenient: bool) -> InstanceTable:
    """Reads annotation files.

    Raises:
        FormatError: For the first invalid annotation or file, unless ``lenient``.
    """
    objects = Collector("datumaro", lenient)
    for file in files:
        record: Json = {}
        names: list[str] = []
        with objects.checked(file.shown):
            record = entry(load_json(file))
            names = _names(record)
            objects.add_classes(names)
        for i, item in enumerate(record.get("items", ())):
            with objects.checked(f"{file.shown}: items[{i}]"):
                about = entry(entry(item).get("image") or item.get("media") or {})
                sides = about.get("size")
                path = str(about.get("path") or item.get("id") or "")
                if not path:
                    raise DamagedEntry("damaged entry", "id: need a name")
                name = image_name(path) if about.get("path") else str(item["id"]).rsplit("/", 1)[-1]
                image = objects.add_image(
                    name, file, size_of(*sides) if isinstance(sides, list) and len(sides) == 2 else None, path
                )
                for k, one in enumerate(entries(item.get("annotations", []), "annotations")):
                    with objects.checked(f"{file.shown}: items[{i}].annotations[{k}]"):
                        _add(objects, image, entry(one), names)
    return objects.table()


def _names(record: Json) -> list[str]:
    label = entry(entry(record.get("categories"), "categories").get("label", {}), "categories.label")
    said = [entry(one, "label").get("name") for one in entries(label.get("labels", []), "categories.label.labels")]
    names = [name for name in said if isinstance(name, str) and name]
    if len(set(names)) < len(said):
        raise DamagedEntry("damaged entry", f"categories.label.labels: need different names, got {short(said)}")
    return names


def _add(objects: Collector, image: int, one: Json, names: list[str]) -> None:
    label = one.get("label_id")
    if one.get("type") in ("label", "caption"):
        objects.lose_entry(one["type"])  # of the whole image
        return
    if type(label) is not int or not 0 <= label < len(names):
        raise DamagedEntry("damaged shape", f"label_id: need a number from 0 to {len(names) - 1}, got {short(label)}")
    attributes = entry(one.get("attributes") or {}, "attributes")
    difficult = (
        2 if flag(attributes.get("truncated"), "truncated") else int(flag(attributes.get("difficult"), "difficult"))
    )
    objects.add(
        image, names[label], _corners(objects, one, attributes), difficult, flag(attributes.get("is_crowd"), "is_crowd")
    )
    others = [(key, value) for key, value in attributes.items() if key not in _READ]
    for key, value in others + [(key, value) for key, value in one.items() if key not in _KEYS]:
        if value:
            objects.lose_entry(key)


def _corners(objects: Collector, one: Json, attributes: Json) -> list[list[float]]:
    """Corners of an annotation; a box may be turned by an attribute ``rotation``, degrees clockwise (CVAT)."""
    kind = one.get("type")
    if kind == "polygon":
        flat = [number(v, "points") for v in entries(one.get("points"), "points")]
        if len(flat) % 2:
            raise DamagedEntry("damaged shape", f"points: need pairs of numbers, got {len(flat)} numbers")
        return [flat[i : i + 2] for i in range(0, len(flat), 2)]
    if kind == "mask":
        outline = mask_corners(one.get("rle"))
        objects.lose("masks: kept as minimum-area rectangles")
        return outline
    if kind not in ("bbox", "rotated_bbox"):
        raise DamagedEntry("other shape", f"a {kind!r:.40} has no corners: need a bbox, rotated_bbox, polygon or mask")
    if kind == "rotated_bbox":
        keys = [key for key in ("rotated_bbox", "rbox", "points") if key in one]
        given = one[keys[0]] if keys else [one.get(key) for key in ("cx", "cy", "w", "h", "r")]
        values = [number(v, "rotated_bbox") for v in entries(given, "rotated_bbox")]
        if len(values) != 5:
            raise DamagedEntry("damaged shape", f"rotated_bbox: need cx, cy, w, h, degrees, got {short(values)}")
        cx, cy, w, h, degrees = values
        return box_corners(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, math.radians(degrees))
    values = [number(v, "bbox") for v in entries(one.get("bbox"), "bbox")]
    if len(values) != 4:
        raise DamagedEntry("damaged shape", f"bbox: need left, top, width, height, got {short(values)}")
    x, y, w, h = values
    return box_corners(x, y, x + w, y + h, math.radians(number(attributes.get("rotation") or 0, "rotation")))
