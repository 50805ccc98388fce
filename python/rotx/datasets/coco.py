"""COCO-style json: rotated boxes (HIT-UAV), polygons and masks, whatever each object has."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.classes import CLASSES_OF
from rotx.datasets.dataset import FileDataset
from rotx.datasets.found import Found
from rotx.geometry import min_area_rect, rbox_to_quad
from rotx.images.files import list_files

Json = Mapping[str, Any]


class RotatedCocoDataset(FileDataset):
    """Images with one json file for all, as COCO's; configs may call it ``CocoDataset``.

    The shape of an object is, of what it has, the first of:

    - ``bbox`` of five numbers: centre x and y, width, height, angle in radians, clockwise (HIT-UAV);
    - ``segmentation``: a polygon of four corners as it is, other polygons and masks (RLE) as the least rectangle
      around all of it; the pixels of a mask are squares around their centres;
    - ``bbox`` of four numbers: left, top, width, height.

    ``iscrowd`` and ``ignore`` make an object ignored, ``difficult`` makes it difficult. An image's file is its
    ``file_name`` or ``filename``. Categories that the config does not ask for are left out and counted.
    """

    lists_classes = True

    def _read(self) -> Found:
        file = self._existing("ann_file", self.ann_file)
        folder = self._existing("data_prefix", self.images)
        return read_coco(file, folder)[1]


def read_coco(file: Path, folder: Path) -> tuple[Json, Found]:
    """The json of a file, and what it says of the images in ``folder``; see :class:`RotatedCocoDataset`.

    Raises:
        ValueError: for what is wrong with it.
    """
    try:
        data = _load(file)
        return data, _found(data, file, folder)
    except _Damaged as error:
        raise ValueError(f"{file}: {error}") from None


class SARShipDataset(RotatedCocoDataset):
    """SSDD, HRSID and RSDD-SAR as json: one class, ``ship``."""

    own_classes = CLASSES_OF["SARShipDataset"]


class HITUAVDataset(RotatedCocoDataset):
    """HIT-UAV: persons, cars, bicycles and other vehicles in infrared.

    What it marks as ``DontCare`` is of no class: it is left out and counted.
    """

    own_classes = CLASSES_OF["HITUAVDataset"]


class Lenient(NamedTuple):
    """What a json file says, without the objects that cannot be read."""

    found: Found
    folder: Path | None
    """Of the images; None if no folder holds any."""
    ids: list[Any]
    """The ``id`` of each object, or its place in ``annotations`` where it has none."""
    skipped: list[tuple[Any, str]]
    """Of the others, and what is wrong with each."""


def read_leniently(file: Path, folders: Sequence[Path]) -> Lenient:
    """Reads a json file, passing over objects that cannot be read.

    Args:
        file: the json.
        folders: where its images may be; the first that holds any is taken.

    Raises:
        ValueError: if it is no json, or its images or categories are damaged.
    """
    try:
        data, skipped = _load(file), dict[int, str]()
        files = [_file_name(image, f"images[{i}]") for i, image in enumerate(_entries(data, "images"))]
        folder = next((folder for folder in folders if any(_paths(files, folder))), None)
        found = _found(data, file, folder or file.parent, skipped)
    except _Damaged as error:
        raise ValueError(f"{file}: {error}") from None
    names = [thing.get("id", i) for i, thing in enumerate(data.get("annotations", ()))]
    ids = [name for i, name in enumerate(names) if i not in skipped]
    return Lenient(found, folder, ids, [(names[i], text) for i, text in skipped.items()])


class _Damaged(ValueError):
    """What is wrong with a json file; whoever knows the file adds its name."""


def _load(file: Path) -> Json:
    try:
        data = json.loads(file.read_bytes())
    except OSError as error:
        raise _Damaged(f"cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise _Damaged(f"is not json, or is cut off: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except UnicodeDecodeError:
        raise _Damaged("is not UTF-8 text") from None
    except ValueError:
        raise _Damaged("holds a number of too many digits") from None
    except RecursionError:
        raise _Damaged("is nested too deeply") from None
    if not isinstance(data, dict):
        raise _Damaged(f"need an object with images, annotations and categories, got {_short(data)}")
    return data


def _found(data: Json, file: Path, folder: Path, skipped: dict[int, str] | None = None) -> Found:
    """What a file says; an object that cannot be read is an error, or goes to ``skipped``: its place, and why."""
    images, categories = _numbered(data, "images"), _numbered(data, "categories")
    # A file for testing has no annotations, but then the key is missing; anything else is damaged.
    objects = _entries(data, "annotations") if "annotations" in data else []
    files = [_file_name(image, f"images[{i}]") for i, image in enumerate(data["images"])]
    classes = [_category_name(category, f"categories[{i}]") for i, category in enumerate(data["categories"])]
    for kind, names in (("file", files), ("category", classes)):
        for name, count in Counter(names).items():
            if count > 1:
                raise _Damaged(f"{kind} {name!r} stands {count} times")
    shapes = _Shapes([_size(image) for image in data["images"]])
    image: list[int] = []
    label: list[int] = []
    for i, thing in enumerate(objects):
        where = f"annotations[{i}]"
        try:
            of = _reference(thing, "image_id", images, where)
            category = _reference(thing, "category_id", categories, where)
            shapes.add(thing, of, where)
        except _Damaged as error:
            if skipped is None:
                raise
            skipped[i] = str(error)
        else:
            image.append(of)
            label.append(category)
    notices = []
    if shapes.horizontal:
        notices.append(f"{file}: {shapes.horizontal:,} objects have horizontal boxes only")
    flags = [
        [bool(thing.get(key)) for key in ("difficult", "iscrowd", "ignore")]
        for i, thing in enumerate(objects)
        if i not in (skipped or ())
    ]
    difficult, crowd, ignore = np.array(flags, np.bool_).reshape(-1, 3).T
    return Found(
        names=_names(files),
        paths=_paths(files, folder),
        classes=classes,
        quads=shapes.quads(),
        image=np.array(image, np.int64),
        label=np.array(label, np.int64),
        difficult=difficult.astype(np.uint8),
        ignored=crowd | ignore,
        sizes=shapes.sizes,
        notices=notices,
    )


class _Shapes:
    """The shapes of the objects of a file, in turn."""

    def __init__(self, sizes: list[tuple[int, int] | None]) -> None:
        self.sizes = sizes
        self.horizontal = 0
        self._rows: list[list[float]] = []
        self._turned: list[int] = []

    def add(self, thing: Json, image: int, where: str) -> None:
        """Adds an object of an image."""
        bbox, segmentation = thing.get("bbox"), thing.get("segmentation")
        if isinstance(bbox, list) and len(bbox) == 5:
            row = [*_numbers(bbox, f"{where}.bbox"), 0.0, 0.0, 0.0]
            _check_box(row[2:4], f"{where}.bbox")
            if abs(row[4]) > 2 * math.pi + 1e-3:
                raise _Damaged(f"{where}.bbox: the angle must be in radians, clockwise; got {row[4]}")
            self._turned.append(len(self._rows))
        elif segmentation:
            row = _outline(segmentation, self.sizes[image], f"{where}.segmentation")
        elif isinstance(bbox, list) and len(bbox) == 4:
            x, y, w, h = _numbers(bbox, f"{where}.bbox")
            _check_box([w, h], f"{where}.bbox")
            row = [x, y, x + w, y, x + w, y + h, x, y + h]
            self.horizontal += 1
        else:
            need = "cx, cy, w, h, angle or left, top, width, height"
            raise _Damaged(f"{where}: has no segmentation, and bbox must be {need}; got {_short(bbox)}")
        self._rows.append(row)

    def quads(self) -> NDArray[np.float64]:
        """(N, 8)."""
        quads = np.array(self._rows, np.float64).reshape(-1, 8)
        quads[self._turned] = rbox_to_quad(quads[self._turned, :5])
        return quads


def _outline(segmentation: Any, size: tuple[int, int] | None, where: str) -> list[float]:
    """The four corners around polygons or a mask."""
    if isinstance(segmentation, dict):
        points = _mask_points(segmentation, size, where)
    else:
        polygons = segmentation if isinstance(segmentation, list) else None
        if not polygons or not all(isinstance(polygon, list) for polygon in polygons):
            raise _Damaged(f"{where}: need polygons [[x1, y1, x2, y2, ...], ...] or a mask, got {_short(segmentation)}")
        flat = [_numbers(polygon, f"{where}[{i}]") for i, polygon in enumerate(polygons)]
        for i, polygon in enumerate(flat):
            if len(polygon) % 2 or len(polygon) < 6:
                raise _Damaged(f"{where}[{i}]: a polygon needs three corners or more, got {len(polygon)} numbers")
            if len(polygon) > 8 and polygon[:2] == polygon[-2:]:
                del polygon[-2:]  # closed by its first corner
        if len(flat) == 1 and len(flat[0]) == 8:
            return flat[0]
        points = np.array([number for polygon in flat for number in polygon]).reshape(-1, 2)
    corners: list[float] = rbox_to_quad(min_area_rect(points)[None])[0].tolist()
    return corners


def _mask_points(mask: Json, size: tuple[int, int] | None, where: str) -> NDArray[np.float64]:
    """Points (N, 2) whose hull is that of a mask's pixels, as squares around their centres."""
    shape, counts = mask.get("size"), mask.get("counts")
    if not isinstance(shape, list) or [type(side) for side in shape] != [int, int] or min(shape) < 1:
        raise _Damaged(f"{where}.size: need height and width, got {_short(shape)}")
    if size and tuple(shape) != size:
        raise _Damaged(f"{where}.size: the mask is of height and width {shape}, its image of {list(size)}")
    if isinstance(counts, str):
        runs = _unpacked(counts)
    elif isinstance(counts, list) and all(type(run) is int for run in counts):
        runs = counts
    else:
        raise _Damaged(f"{where}.counts: need a list of integers or a string, got {_short(counts)}")
    if min(runs, default=0) < 0 or sum(runs) != math.prod(shape) or sum(runs) > 1 << 40:
        raise _Damaged(f"{where}.counts: the runs must add up to {math.prod(shape)} pixels")
    # Runs go down the columns, off and on in turn.
    stops = np.cumsum(runs, dtype=np.int64)[1::2]
    lengths = np.array(runs, np.int64)[1::2]
    starts, stops = (stops - lengths)[lengths > 0], stops[lengths > 0]
    if not len(stops):
        raise _Damaged(f"{where}: the mask is empty")
    (x1, y1), (x2, y2) = np.divmod(starts, shape[0]), np.divmod(stops - 1, shape[0])
    top, bottom = np.zeros_like(y1), np.full_like(y1, shape[0] - 1)
    over, wide = x2 > x1, x2 > x1 + 1  # runs over the end of a column; with whole columns within
    points = [(x1, y1), (x2, y2), (x1[over], bottom[over]), (x2[over], top[over])]
    for x in (x1 + 1, x2 - 1):
        points += [(x[wide], top[wide]), (x[wide], bottom[wide])]
    centres = np.concatenate([np.stack(point, axis=1) for point in points]).astype(np.float64)
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    pixels: NDArray[np.float64] = centres[:, None] + corners
    return pixels.reshape(-1, 2)


def _unpacked(text: str) -> list[int]:
    """The runs in COCO's packed string: 5 bits a character from 48 on, and from the fourth, the change over two runs.

    pycocotools takes strings that end too early for masks, and fills up with whatever is in memory.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if shift > 60:
            return []  # no run is that long
        if not bits & 0x20:  # the last character of this run
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return runs


def _entries(data: Json, key: str) -> list[Json]:
    entries = data.get(key)
    if not isinstance(entries, list):
        raise _Damaged(f"need a list of {key}, got {_short(entries)}" if key in data else f"has no {key}")
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise _Damaged(f"{key}[{i}]: need an object {{...}}, got {_short(entry)}")
    return entries


def _numbered(data: Json, key: str) -> dict[Any, int]:
    """The place of each entry by its id."""
    places: dict[Any, int] = {}
    for i, entry in enumerate(_entries(data, key)):
        number = entry.get("id")
        if not isinstance(number, int | str):
            raise _Damaged(f"{key}[{i}].id: need a number or a name, got {_short(number)}")
        if number in places:
            raise _Damaged(f"{key}[{i}].id: {number!r} is that of {key}[{places[number]}] too")
        places[number] = i
    return places


def _reference(thing: Json, key: str, places: dict[Any, int], where: str) -> int:
    number = thing.get(key)
    place = places.get(number) if isinstance(number, int | str) else None
    if place is None:
        kind = {"image_id": "image", "category_id": "category"}[key]
        raise _Damaged(f"{where}.{key}: there is no {kind} {_short(number)}")
    return place


def _file_name(image: Json, where: str) -> str:
    name = image.get("file_name", image.get("filename"))
    if not isinstance(name, str) or not name:
        raise _Damaged(f"{where}: need a file_name, got {_short(name)}")
    return name


def _category_name(category: Json, where: str) -> str:
    name = category.get("name")
    if not isinstance(name, str) or not name:
        raise _Damaged(f"{where}.name: need a name, got {_short(name)}")
    return name


def _size(image: Json) -> tuple[int, int] | None:
    """Height and width, if an image says them."""
    sides = image.get("height"), image.get("width")
    if all(isinstance(side, int) and side > 0 for side in sides):
        return sides[0], sides[1]  # type: ignore[return-value]
    return None


def _names(files: Sequence[str]) -> list[str]:
    """What images are called: their files' names without folder and suffix, as far as that tells them apart."""
    shorter: tuple[Callable[[PurePosixPath], str], ...] = (lambda p: p.stem, lambda p: str(p.with_suffix("")), str)
    for shorten in shorter:
        names = [shorten(PurePosixPath(file)) for file in files]
        if len(set(names)) == len(names):
            break
    return names


def _paths(files: Sequence[str], folder: Path) -> list[Path | None]:
    """The file of each image; each folder is listed once."""
    paths = [folder / file for file in files]
    there = {parent: set(list_files(parent)) for parent in {path.parent for path in paths} if parent.is_dir()}
    return [path if path.name in there.get(path.parent, ()) else None for path in paths]


def _numbers(values: Sequence[Any], where: str) -> list[float]:
    if not all(type(value) in (int, float) for value in values):
        raise _Damaged(f"{where}: need numbers, got {_short(values)}")
    try:
        return list(map(float, values))
    except OverflowError:
        raise _Damaged(f"{where}: a number is too large: {_short(values)}") from None


def _check_box(sides: Sequence[float], where: str) -> None:
    if min(sides) < 0:
        raise _Damaged(f"{where}: width and height must not be negative, got {sides[0]} and {sides[1]}")


def _short(value: Any) -> str:
    text = json.dumps(value) if value is not None else "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."
