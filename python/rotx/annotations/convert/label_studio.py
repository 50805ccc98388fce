"""Reading Label Studio's JSON and JSON-MIN exports.

Coordinates are percent of the original image; a rectangle is turned clockwise, in degrees, about its top-left corner.
A brush mask becomes the minimum-area rectangle around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from rotx.annotations.convert.collect import Collector, box_corners, image_name, size_of, turned
from rotx.annotations.convert.masks import brush_points, rectangle_around
from rotx.annotations.files import File
from rotx.annotations.json_files import DamagedEntry, Json, entries, entry, load_json, number, points, short
from rotx.records import InstanceTable

_NEED = "need a rectangle, a polygon or a brush mask"
#: Entries of a region's value that make up its shape.
_SHAPE = ("x", "y", "width", "height", "rotation", "points", "radiusX", "radiusY", "vertices", "rle")


def rejects(record: Any) -> str | None:
    """Why the content of a JSON file is not Label Studio's; None if it is."""
    if not isinstance(record, list) or not record:
        return "is no list of tasks"
    tasks = [task for task in record if isinstance(task, Mapping)]
    if any(_results_key(task) or _min_key(task) for task in tasks):
        return None
    return "no task has annotations with a result"


def read(files: Sequence[File], lenient: bool) -> InstanceTable:
    """Reads exports; an image without annotations has no objects.

    Raises:
        FormatError: For the first invalid region or file, unless ``lenient``.
    """
    objects = Collector("label-studio", lenient)
    for file in files:
        tasks: list[Any] = []
        with objects.checked(file.shown):
            tasks = entries(load_json(file), "tasks")
        for i, task in enumerate(tasks):
            with objects.checked(f"{file.shown}: [{i}]"):
                _task(objects, file, f"{file.shown}: [{i}]", entry(task))
    return objects.table()


def _results_key(task: Json) -> str | None:
    """Key of a task's annotations; None in JSON-MIN."""
    return next((key for key in ("annotations", "completions") if isinstance(task.get(key), list)), None)


def _min_key(task: Json) -> str | None:
    """Key of the regions of a task in JSON-MIN."""
    for key, value in task.items():
        regions = value if isinstance(value, list) else []
        if any(isinstance(region, Mapping) and "original_width" in region for region in regions):
            return key
    return None


def _task(objects: Collector, file: File, place: str, task: Json) -> None:
    path = _image_path(task.get("data") if isinstance(task.get("data"), Mapping) else task)
    image = objects.add_image(image_name(path), file, None, path)
    for region in _regions(objects, task):
        with objects.checked(f"{place}.{region.place}"):
            _add(objects, image, region)


def _image_path(data: Any) -> str:
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    named = [texts[key] for key in ("image", "img", "ocr", "file", "url") if texts.get(key)]
    paths = named or [text for text in texts.values() if "/" in text or "\\" in text]
    if not paths:
        raise DamagedEntry("damaged entry", f"data: need the path of an image, got {short(dict(data))}")
    return _path_of(paths[0])


def _path_of(address: str) -> str:
    """Path of an image from its address; local storage has it in a query, as ``/data/local-files/?d=a/b.jpg``."""
    if "://" not in address and not address.startswith("/data/"):
        return address
    try:
        parts = urlsplit(address)
    except ValueError:  # not an address after all
        return address
    local = parse_qs(parts.query).get("d") if parts.path.endswith("/local-files/") else None
    return local[0] if local else unquote(parts.path) or address


class _Region(NamedTuple):
    """Results that tell of one region."""

    place: str
    first: Json
    """The result whose shape is taken."""
    shapes: list[dict[str, Any]]
    """Shapes of all its results."""
    labels: list[Any]


def _regions(objects: Collector, task: Json) -> Iterator[_Region]:
    """Yields the regions of a task."""
    key = _results_key(task)
    if key is None:
        key = _min_key(task) or ""
        for i, value in enumerate(task.get(key, ())):
            region = entry(value, f"{key}[{i}]")
            yield _Region(f"{key}[{i}]", {"value": region, **region}, [], _labels({"value": region}))
        return
    done = [(i, one) for i, one in enumerate(task[key]) if isinstance(one, Mapping) and not one.get("was_cancelled")]
    if len(done) > 1:
        done = [pair for pair in done if pair[1].get("ground_truth")][:1] or done[:1]
        objects.lose("images with several annotations: one kept")
    if task.get("predictions"):
        objects.lose("images with predictions: not kept")
    for i, annotation in done:
        place = f"{key}[{i}].result"
        yield from _joined(objects, [entry(one, place) for one in entries(annotation.get("result", []), place)], place)


def _joined(objects: Collector, results: list[Json], place: str) -> Iterator[_Region]:
    """Joins the results of each region, which have its ``id``: its shape, its labels, choices and texts."""
    regions: dict[Any, list[int]] = {}
    for k, result in enumerate(results):
        name = result.get("id")
        regions.setdefault(name if isinstance(name, str) and name else k, []).append(k)
    for members in regions.values():
        drawn = [k for k in members if _shape(results[k])]
        for k in members:
            if not _labels(results[k]) and (not drawn or _is_attribute(results[k])):
                objects.lose_entry(str(results[k].get("type")))  # choices, texts, relations
        if drawn:
            shapes = [shape for k in drawn if (shape := _shape(results[k]))]
            labels = [label for k in members for label in _labels(results[k])]
            yield _Region(f"{place}[{drawn[0]}]", results[drawn[0]], shapes, labels)


def _shape(result: Json) -> dict[str, Any] | None:
    """The shape of a result; None if it has none."""
    value = result.get("value")
    if not isinstance(value, Mapping) or not {"x", "points", "rle", "vertices"} & value.keys():
        return None
    return {key: value[key] for key in _SHAPE if key in value}


def _is_attribute(result: Json) -> bool:
    """Whether a result tells something else of a region than its shape and label."""
    value, kind = result.get("value"), str(result.get("type"))
    return not _shape(result) or (isinstance(value, Mapping) and (kind in value or "text" in value))


def _labels(result: Json) -> list[Any]:
    value = result.get("value")
    found = [value[key] for key in value if key.endswith("labels")] if isinstance(value, Mapping) else []
    return [label for labels in found if isinstance(labels, list) for label in labels]


def _add(objects: Collector, image: int, region: _Region) -> None:
    result, labels = region.first, region.labels
    value = entry(result.get("value"), "value")
    width, height = result.get("original_width"), result.get("original_height")
    size = size_of(height, width)
    if size is None:
        raise DamagedEntry(
            "damaged shape", f"original_width, original_height: need pixels, got {short(width)}, {short(height)}"
        )
    if result.get("image_rotation"):
        raise DamagedEntry("turned image", f"image_rotation: need 0, got {short(result['image_rotation'])}")
    if not labels:
        raise DamagedEntry("damaged shape", "has no label")
    if any(shape != region.shapes[0] for shape in region.shapes):
        raise DamagedEntry("damaged shape", f"id {short(result['id'])}: results of one region disagree about its shape")
    objects.set_size(image, size)
    objects.add(image, labels[0], _corners(objects, value, size))
    if len(labels) > 1:
        objects.lose("further labels of objects: not kept", len(labels) - 1)


def _corners(objects: Collector, value: Json, size: tuple[int, int]) -> list[list[float]]:
    sx, sy = size[1] / 100, size[0] / 100
    if "points" in value:
        return [[x * sx, y * sy] for x, y in points(value["points"])]
    if "rle" in value:
        outline = brush_points(value["rle"], size[1], size[0])
        objects.lose("masks: kept as minimum-area rectangles")
        return rectangle_around(outline)
    if not {"x", "y", "width", "height"} <= value.keys():
        kind = "an ellipse" if "radiusX" in value else "a vector" if "vertices" in value else "a point"
        raise DamagedEntry("other shape", f"{kind} has no corners: {_NEED}")
    x, y, w, h = (number(value[key], key) for key in ("x", "y", "width", "height"))
    corners = box_corners(x * sx, y * sy, (x + w) * sx, (y + h) * sy)
    rotation = number(value.get("rotation") or 0, "rotation")
    return turned(corners, (x * sx, y * sy), math.radians(rotation)) if rotation else corners
