"""Reading Label Studio's JSON and JSON-MIN exports.

Coordinates are percent of the original image; a rectangle is turned clockwise, in degrees, about its top-left corner.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rotx.annotations.convert.collect import Collector, box_corners, image_name, size_of, turned
from rotx.annotations.files import File
from rotx.annotations.json_files import DamagedEntry, Json, entries, entry, load_json, number, points, short
from rotx.records import InstanceTable

_NEED = "need a rectangle or a polygon"


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
    image = objects.add_image(image_name(path), file, None, path.split("?")[0])
    for where, region, labels in _regions(objects, task):
        with objects.checked(f"{place}.{where}"):
            _add(objects, image, region, labels)


def _image_path(data: Any) -> str:
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    named = [texts[key] for key in ("image", "img", "ocr", "file", "url") if texts.get(key)]
    paths = named or [text for text in texts.values() if "/" in text or "\\" in text]
    if not paths:
        raise DamagedEntry("damaged entry", f"data: need the path of an image, got {short(dict(data))}")
    return paths[0]


def _regions(objects: Collector, task: Json) -> Iterator[tuple[str, Json, Any]]:
    """Yields the place, content and labels of each region of a task."""
    key = _results_key(task)
    if key is None:
        key = _min_key(task) or ""
        for i, region in enumerate(task.get(key, ())):
            labels = next((value for name, value in region.items() if name.endswith("labels")), None)
            yield f"{key}[{i}]", {"value": region, **region}, labels
        return
    done = [(i, one) for i, one in enumerate(task[key]) if isinstance(one, Mapping) and not one.get("was_cancelled")]
    if len(done) > 1:
        done = [pair for pair in done if pair[1].get("ground_truth")][:1] or done[:1]
        objects.lose("images with several annotations: one kept")
    if task.get("predictions"):
        objects.lose("images with predictions: not kept")
    for i, annotation in done:
        results = [
            entry(one, f"{key}[{i}].result") for one in entries(annotation.get("result", []), f"{key}[{i}].result")
        ]
        labels_of = {one.get("id"): _labels(one) for one in results if _labels(one)}
        for k, result in enumerate(results):
            value = result.get("value")
            if not isinstance(value, Mapping) or not {"x", "points", "rle", "vertices"} & value.keys():
                objects.lose_entry(str(result.get("type")))  # choices, texts, relations
            elif _labels(result) or not _is_named_later(result, results[k + 1 :]):
                yield f"{key}[{i}].result[{k}]", result, _labels(result) or labels_of.get(result.get("id"))


def _is_named_later(result: Json, later: list[Json]) -> bool:
    """Whether another result of the same region has its labels."""
    return any(one.get("id") == result.get("id") and _labels(one) for one in later)


def _labels(result: Json) -> Any:
    value = result.get("value")
    if not isinstance(value, Mapping):
        return None
    return value.get(str(result.get("type"))) or next(
        (value[key] for key in value if key.endswith("labels") and value[key]), None
    )


def _add(objects: Collector, image: int, result: Json, labels: Any) -> None:
    value = entry(result.get("value"), "value")
    width, height = result.get("original_width"), result.get("original_height")
    size = size_of(height, width)
    if size is None:
        raise DamagedEntry(
            "damaged shape", f"original_width, original_height: need pixels, got {short(width)}, {short(height)}"
        )
    if result.get("image_rotation"):
        raise DamagedEntry("turned image", f"image_rotation: need 0, got {short(result['image_rotation'])}")
    if not isinstance(labels, list) or not labels:
        raise DamagedEntry("damaged shape", "has no label")
    objects.set_size(image, size)
    objects.add(image, labels[0], _corners(value, size))
    if len(labels) > 1:
        objects.lose("further labels of objects: not kept", len(labels) - 1)


def _corners(value: Json, size: tuple[int, int]) -> list[list[float]]:
    sx, sy = size[1] / 100, size[0] / 100
    if "points" in value:
        return [[x * sx, y * sy] for x, y in points(value["points"])]
    if not {"x", "y", "width", "height"} <= value.keys():
        kind = "an ellipse" if "radiusX" in value else "a brush mask" if "rle" in value else "a point"
        raise DamagedEntry("other shape", f"{kind} has no corners: {_NEED}")
    x, y, w, h = (number(value[key], key) for key in ("x", "y", "width", "height"))
    corners = box_corners(x * sx, y * sy, (x + w) * sx, (y + h) * sy)
    rotation = number(value.get("rotation") or 0, "rotation")
    return turned(corners, (x * sx, y * sy), math.radians(rotation)) if rotation else corners
