"""Reading JSON of the VGG Image Annotator (VIA), version 1 or 2: a project or exported annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rotx.annotations.convert.collect import Collector, box_corners, image_name
from rotx.annotations.files import File
from rotx.annotations.json_files import DamagedEntry, Json, entries, entry, flag, load_json, number, points, short
from rotx.records import InstanceTable

_SHAPE_KEYS = {"name", "x", "y", "width", "height", "all_points_x", "all_points_y"}
_ANGLES = ("theta", "angle", "rotation", "rotate")
#: Attributes that hold the class if a region has several.
_CLASS_KEYS = ("class", "label", "name", "type", "category")


def rejects(record: Any) -> str | None:
    """Why the content of a JSON file is not VIA's; None if it is."""
    if isinstance(record, Mapping) and "_via_img_metadata" in record:
        return None
    images = list(record.values()) if isinstance(record, Mapping) else record
    if not isinstance(images, list):
        return "is no object of images"
    sure = images and all(isinstance(image, Mapping) and "regions" in image and "filename" in image for image in images)
    return None if sure else "no images with filename and regions"


def read(files: Sequence[File], lenient: bool) -> InstanceTable:
    """Reads projects or exported annotations.

    Raises:
        FormatError: For the first invalid region or file, unless ``lenient``.
    """
    objects = Collector("via", lenient)
    for file in files:
        images: list[tuple[Any, Any]] = []
        with objects.checked(file.shown):
            images = _numbered(_images(load_json(file)), "_via_img_metadata")
        for key, about in images:
            with objects.checked(f"{file.shown}: {key}"):
                name = entry(about).get("filename")
                if not isinstance(name, str) or not name:
                    raise DamagedEntry("damaged entry", f"filename: need a name, got {short(name)}")
                image = objects.add_image(image_name(name), file, None, name)
                for k, region in _numbered(about.get("regions") or [], "regions"):
                    with objects.checked(f"{file.shown}: {key}: regions[{k}]"):
                        _add(objects, image, entry(region))
    return objects.table()


def _images(record: Any) -> Any:
    return record.get("_via_img_metadata", record) if isinstance(record, Mapping) else record


def _numbered(values: Any, where: str) -> list[tuple[Any, Any]]:
    """Entries with their keys; they are a list, or an object, as the regions of version 1."""
    return list(values.items() if isinstance(values, Mapping) else enumerate(entries(values, where)))


def _add(objects: Collector, image: int, region: Json) -> None:
    shape = entry(region.get("shape_attributes"), "shape_attributes")
    attributes = entry(region.get("region_attributes") or {}, "region_attributes")
    key = _class_key(attributes)
    objects.add(image, _value(attributes[key], key), _corners(shape))
    for other, value in attributes.items():
        if other != key and value:
            objects.lose_entry(other)
    for other in shape.keys() - _SHAPE_KEYS:
        objects.lose_entry(other)


def _class_key(attributes: Json) -> str:
    filled = [key for key, value in attributes.items() if value]
    if len(filled) == 1:
        return filled[0]
    named = [key for name in _CLASS_KEYS for key in filled if key.lower() == name]
    if named:
        return named[0]
    need = f"name the one that holds the class {_CLASS_KEYS[0]!r}" if filled else "need the class"
    raise DamagedEntry("damaged shape", f"region_attributes: {need}, got {short(dict(attributes))}")


def _value(value: Any, key: str) -> Any:
    """The value of an attribute; of checkboxes the one that is checked."""
    if not isinstance(value, Mapping):
        return value
    chosen = [name for name, on in value.items() if flag(on, key)]
    if len(chosen) != 1:
        raise DamagedEntry("damaged shape", f"region_attributes.{key}: need one class, got {short(chosen)}")
    return chosen[0]


def _corners(shape: Json) -> list[list[float]]:
    kind = shape.get("name")
    if kind == "polygon":
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
            raise DamagedEntry("damaged shape", "all_points_x and all_points_y: need two lists of one length")
        return points([list(pair) for pair in zip(xs, ys, strict=True)])
    if kind in ("rect", "rectangle"):
        if angle := next((shape[key] for key in _ANGLES if shape.get(key)), None):
            raise DamagedEntry(
                "damaged shape", f"a rect with an angle ({short(angle)}) of unknown unit: need a polygon"
            )
        x, y, w, h = (number(shape.get(key), key) for key in ("x", "y", "width", "height"))
        return box_corners(x, y, x + w, y + h)
    raise DamagedEntry("other shape", f"a {kind!r:.40} has no corners: need a rect or polygon")
