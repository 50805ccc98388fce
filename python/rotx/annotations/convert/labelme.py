"""Reading labelme and X-AnyLabeling JSON: one file per image, one shape per object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rotx.annotations.convert.collect import Collector, box_corners, size_of
from rotx.annotations.files import File
from rotx.annotations.json_files import DamagedEntry, Json, entry, flag, load_json, number, points
from rotx.records import InstanceTable

_SHAPE_KEYS = {"label", "points", "shape_type", "flags", "difficult", "direction", "score"}
_NEED = "need an object with a list of shapes, as labelme writes it"
_HELD = {"difficult", "truncated"}
#: Shapes with corners; a shape of another type counts only if it has four points.
_POLYGONS = ("polygon", "rotation", "rectangle", "oriented_rectangle", "quadrilateral")


def rejects(record: Any) -> str | None:
    """Why the content of a JSON file is not labelme's; None if it is."""
    if not isinstance(record, dict):
        return f"is a {type(record).__name__}"
    return None if isinstance(record.get("shapes"), list) else "shapes missing"


def read(files: Sequence[File], lenient: bool) -> InstanceTable:
    """Reads label files, one per image.

    Shapes of four points are kept; other polygons become minimum-area rectangles. The flags ``difficult`` and
    ``truncated`` of a shape give its difficulty.

    Raises:
        FormatError: For the first invalid shape or file, unless ``lenient``.
    """
    objects = Collector("labelme", lenient)
    for file in files:
        record: Json | None = {"shapes": []}  # of a damaged file
        with objects.checked(file.shown):
            record = _load(file)
        if record is None:
            with objects.checked(file.shown):
                raise DamagedEntry("not labelme's", f"{_NEED}: shapes missing")
            continue  # a file of something else is no image
        size = size_of(record.get("imageHeight"), record.get("imageWidth"))
        image = objects.add_image(file.stem, file, size, str(record.get("imagePath") or ""))
        for k, shape in enumerate(record["shapes"]):
            with objects.checked(f"{file.shown}: shapes[{k}]"):
                _add(objects, image, entry(shape))
    return objects.table()


def _load(file: File) -> Json | None:
    """Content of a file; None for a JSON object that is not labelme's."""
    record = load_json(file)
    if isinstance(record, dict) and "shapes" not in record:
        return None
    if rejects(record):
        raise DamagedEntry("not labelme's", _NEED)
    return record  # type: ignore[no-any-return]


def _add(objects: Collector, image: int, shape: Json) -> None:
    said = shape.get("flags")
    flags = said if isinstance(said, dict) else {}
    truncated, hard = (flag(flags.get(key), f"flags.{key}") for key in ("truncated", "difficult"))
    difficult = 2 if truncated else int(hard or flag(shape.get("difficult"), "difficult"))
    objects.add(image, shape.get("label"), _corners(shape), difficult)
    if isinstance(shape.get("score"), int | float):
        objects.lose("scores: not kept")
    others = [(key, value) for key, value in shape.items() if key not in _SHAPE_KEYS]
    for key, value in others + [(key, value) for key, value in flags.items() if key not in _HELD]:
        if value:
            objects.lose_entry(key)


def _corners(shape: Json) -> list[list[float]]:
    kind, corners = shape.get("shape_type") or "polygon", points(shape.get("points"))
    if kind == "rectangle" and len(corners) == 2:
        (x0, y0), (x1, y1) = corners
        corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
        direction = number(shape.get("direction") or 0, "direction")
        if direction:  # radians; the points are those before the turn
            if abs(direction) > 2 * math.pi + 1e-3:
                raise DamagedEntry("damaged shape", f"direction: need radians, clockwise, got {direction:g}")
            return box_corners(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1), direction)
        return corners
    if kind not in _POLYGONS and not (len(corners) == 4 and kind not in ("linestrip", "line", "points")):
        need = "need a polygon, rotation, rectangle or oriented_rectangle"
        raise DamagedEntry("other shape", f"a {kind!r:.40} has no corners: {need}")
    return corners
