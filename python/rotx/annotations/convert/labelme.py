"""Reading labelme JSON: one file per image, one shape per object."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from rotx.annotations.files import FormatError, clear_errors, is_wanted
from rotx.annotations.limits import HUGE
from rotx.geometry import min_area_rect, rbox_to_quad
from rotx.images.files import list_files
from rotx.records import InstanceTable

_SHAPE_KEYS = {"label", "points", "shape_type", "flags", "difficult", "direction"}
_HELD = {"difficult", "truncated"}


class _Wrong(ValueError):
    """Error of a shape or a file, with the short name under which it is counted."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def find(folder: Path) -> list[Path]:
    """JSON files of a folder if the first one has shapes; else []."""
    with clear_errors(folder):
        names = [name for name in list_files(folder) if name[0] != "."]
        files = [folder / name for name in names if name.lower().endswith(".json")]
        head = files[0].read_bytes() if files else b""
    if b'"shapes"' in head:
        first: dict[str, str] = {}
        for file in files:
            if first.setdefault(file.stem, file.name) != file.name:
                raise FormatError(f"{file}: image {file.stem!r} already has a file: {first[file.stem]}")
        return files
    others = any(map(is_wanted, names)) or (folder / "labels").is_dir() or (folder / "labelTxt").is_dir()
    if b'"annotations"' in head and not others:
        raise FormatError(f"{folder}: holds {files[0].name}, which looks like COCO's: give the file itself")
    return []


def read(files: list[Path], lenient: bool) -> InstanceTable:
    """Reads label files, one per image.

    A polygon of four corners is kept, as is a ``rotation`` of X-AnyLabeling; other polygons become minimum-area
    rectangles. The flags ``difficult`` and ``truncated`` of a shape give its difficulty.

    Raises:
        FormatError: For the first invalid shape or file, unless ``lenient``.
    """
    objects = _Objects()
    said: list[tuple[str, int, int]] = []
    problems: list[str] = []
    skipped: Counter[str] = Counter()
    for i, file in enumerate(files):
        try:
            record = _load(file)
            said.append((str(record.get("imagePath") or ""), _side(record, "imageWidth"), _side(record, "imageHeight")))
            shapes = record["shapes"]
        except _Wrong as error:
            said[i:] = [("", 0, 0)]
            shapes = []
            _skip(f"{file}: {error}", error.kind, lenient, problems, skipped)
        for k, shape in enumerate(shapes):
            try:
                objects.add(shape, i)
            except _Wrong as error:
                _skip(f"{file}: shapes[{k}]: {error}", error.kind, lenient, problems, skipped)
    notices = []
    if skipped:
        counts = ", ".join(f"{kind} {count:,}" for kind, count in skipped.items())
        notices = [f"skipped {sum(skipped.values()):,} shapes or files: {counts}", *problems[:20]]
    return objects.data_set(files, said, notices)


def _skip(problem: str, kind: str, lenient: bool, problems: list[str], skipped: Counter[str]) -> None:
    if not lenient:
        raise FormatError(problem)
    skipped[kind] += 1
    problems.append(f"skipped {problem}")


def _load(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_bytes())
    except OSError as error:
        raise _Wrong("unreadable", f"cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise _Wrong("not json", f"line {error.lineno}: is not json, or is cut off: {error.msg}") from None
    except (UnicodeDecodeError, RecursionError):
        raise _Wrong("not json", "is not json in UTF-8") from None
    except ValueError:
        raise _Wrong("not json", "holds a number of too many digits") from None
    if not isinstance(record, dict) or not isinstance(record.get("shapes"), list):
        raise _Wrong("not labelme's", "need an object with a list of shapes, as labelme writes it")
    return record


def _side(record: dict[str, Any], key: str) -> int:
    side = record.get(key)
    return side if type(side) is int and 0 < side < 1 << 31 else 0


class _Objects:
    """Collects the objects of all files."""

    def __init__(self) -> None:
        self._classes: dict[str, int] = {}
        self._quads: list[list[float]] = []
        self._image: list[int] = []
        self._label: list[int] = []
        self._difficult: list[int] = []
        self._others = 0  # polygons that do not have four corners
        self._scores = 0
        self._entries: Counter[str] = Counter()

    def add(self, shape: Any, image: int) -> None:
        """Adds a shape of the image at an index."""
        if not isinstance(shape, dict):
            raise _Wrong("damaged shape", f"need an object, got {shape!r:.40}")
        label = shape.get("label")
        if not isinstance(label, str) or not label.strip():
            raise _Wrong("damaged shape", f"label: need a name, got {label!r:.40}")
        quad, other = _quad(shape)
        flags = shape.get("flags")
        flags = {key for key, value in flags.items() if value} if isinstance(flags, dict) else set()
        difficult = 2 if "truncated" in flags else int("difficult" in flags or bool(shape.get("difficult")))
        self._quads.append(quad)
        self._image.append(image)
        self._label.append(self._classes.setdefault(label.strip(), len(self._classes)))
        self._difficult.append(difficult)
        self._others += other
        self._scores += isinstance(shape.get("score"), int | float)
        self._entries.update(key for key, value in shape.items() if value and key not in _SHAPE_KEYS | {"score"})
        self._entries.update(flags - _HELD)

    def data_set(self, files: list[Path], said: list[tuple[str, int, int]], notices: list[str]) -> InstanceTable:
        """Builds the table of all objects, with the names and sizes of the images from the files."""
        lost = []
        if self._others:
            lost.append(f"{self._others:,} polygons without four corners: kept as minimum-area rectangles")
        if self._scores:
            lost.append(f"{self._scores:,} scores: not kept")
        if self._entries:
            count, first = self._entries.total(), min(self._entries)
            lost.append(f"{count:,} entries or flags of objects, such as {first!r}: not kept")
        return InstanceTable(
            format="labelme",
            images=[file.stem for file in files],
            image_files=[PurePosixPath(path.replace("\\", "/")).name for path, _, _ in said],
            files=[str(file) for file in files],
            paths=[None] * len(files),
            sizes=[(height, width) if width and height else None for _, width, height in said],
            classes=list(self._classes),
            boxes=np.array(self._quads, np.float64).reshape(-1, 8),
            kind="quad",
            image=np.array(self._image, np.int32),
            label=np.array(self._label, np.int32),
            difficult=np.array(self._difficult, np.uint8),
            lost=lost,
            notices=notices,
        )


def _quad(shape: dict[str, Any]) -> tuple[list[float], bool]:
    """Four corners of a shape, and whether they are only the minimum-area rectangle around it."""
    kind = shape.get("shape_type") or "polygon"
    points = _points(shape.get("points"))
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return [x0, y0, x1, y0, x1, y1, x0, y1], False
    if kind not in ("polygon", "rotation", "rectangle"):
        raise _Wrong("other shape", f"a {kind!r:.40} has no corners: need a polygon, rotation or rectangle")
    if len(points) < 3:
        raise _Wrong("damaged shape", f"points: need three corners or more, got {len(points)}")
    if len(points) == 4:
        return [v for point in points for v in point], False
    corners: list[float] = rbox_to_quad(min_area_rect(np.array(points))[None])[0].tolist()
    return corners, True


def _points(points: Any) -> list[list[float]]:
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise _Wrong("damaged shape", f"points: need [[x, y], ...], got {points!r:.40}")
    for v in (v for point in points for v in point):
        if type(v) not in (int, float) or not abs(v) <= HUGE:  # also true for NaN
            raise _Wrong("damaged shape", f"points: need numbers up to {HUGE:.0e}, got {v!r:.40}")
    return [[float(x), float(y)] for x, y in points]
