"""Reading COCO-style JSON: rotated boxes (HIT-UAV), polygons and masks.

The shape of an object is the first of these that it has:

- ``segmentation`` of one polygon of four corners;
- ``bbox`` of five numbers: centre x and y, width, height, angle in radians, clockwise (HIT-UAV);
- ``segmentation`` of other polygons or a mask (RLE): the minimum-area rectangle around them, where the pixels of a mask
  are squares around their centres;
- ``bbox`` of four numbers: left, top, width, height, turned about its centre by ``attributes.rotation``, in degrees,
  clockwise (CVAT).

Shapes of an object that disagree are an error.

``iscrowd`` and ``ignore`` make an object ignored, ``difficult`` makes it difficult. An image's file is its
``file_name`` or ``filename``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from rotx.annotations.coco_shapes import DamagedCoco, Json, Shapes, short
from rotx.annotations.files import FormatError
from rotx.annotations.json_files import DamagedEntry, flag
from rotx.images.files import list_files
from rotx.records import InstanceTable, Masks


class CocoFile(NamedTuple):
    """Content of a COCO-style JSON file.

    Attributes:
        data: The parsed JSON.
        table: Images and objects; boxes are quads unless all objects have boxes of one other kind.
        folder: Folder of the images; None if no folder holds any.
        ids: The ``id`` of each object, or its index in ``annotations`` if it has none.
        skipped: Id or index of each object that cannot be read, with the reason.
    """

    data: Json
    table: InstanceTable
    folder: Path | None
    ids: list[Any]
    skipped: list[tuple[Any, str]]


def read_coco(
    file: Path,
    folders: Sequence[Path],
    *,
    upright: bool = False,
    masks: bool = False,
    lenient: bool = False,
    data: Json | None = None,
) -> CocoFile:
    """Reads a COCO-style JSON file.

    Args:
        file: Path of the JSON file.
        folders: Folders that may hold the images; the first that holds any is taken.
        upright: Whether to prefer ``bbox`` of four numbers to ``segmentation``, as MMDetection does.
        masks: Whether to read ``segmentation`` as masks, too; an object without one gets an empty mask.
        lenient: Whether to skip objects that cannot be read.
        data: Content of the file, if it has been read already.

    Raises:
        FormatError: If the file is not JSON, its images or categories are damaged, or, unless ``lenient``, an object
            is.
    """
    try:
        data, skipped = _load(file) if data is None else data, dict[int, str]()
        files = [_file_name(image, f"images[{i}]") for i, image in enumerate(_entries(data, "images"))]
        paths = [_paths(files, folder) for folder in folders]
        place = next((i for i, found in enumerate(paths) if any(found)), None)
        shapes = Shapes([_size(image) for image in data["images"]], upright, masks)
        table = _table(data, file, files, shapes, skipped if lenient else None)
    except DamagedCoco as error:
        raise FormatError(f"{file}: {error}") from None
    table.paths = [None] * len(files) if place is None else paths[place]
    names = [thing.get("id", i) for i, thing in enumerate(data.get("annotations", ()))]
    ids = [name for i, name in enumerate(names) if i not in skipped]
    folder = None if place is None else folders[place]
    return CocoFile(data, table, folder, ids, [(names[i], text) for i, text in skipped.items()])


def _load(file: Path) -> Json:
    try:
        data = json.loads(file.read_bytes())
    except OSError as error:
        raise DamagedCoco(f"cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise DamagedCoco(
            f"is not json, or is cut off: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except UnicodeDecodeError:
        raise DamagedCoco("is not UTF-8 text") from None
    except ValueError:
        raise DamagedCoco("holds a number of too many digits") from None
    except RecursionError:
        raise DamagedCoco("is nested too deeply") from None
    if not isinstance(data, dict):
        raise DamagedCoco(f"need an object with images, annotations and categories, got {short(data)}")
    return data


def _table(data: Json, file: Path, files: list[str], shapes: Shapes, skipped: dict[int, str] | None) -> InstanceTable:
    """Builds the table; a damaged object raises, or is added to ``skipped`` with the reason."""
    images, categories = _numbered(data, "images"), _numbered(data, "categories")
    # The key may be missing in test files; any other value than a list is an error.
    objects = _entries(data, "annotations") if "annotations" in data else []
    classes = [_category_name(category, f"categories[{i}]") for i, category in enumerate(data["categories"])]
    for kind, names in (("file", files), ("category", classes)):
        for name, count in Counter(names).items():
            if count > 1:
                raise DamagedCoco(f"{kind} {name!r} occurs {count} times")
    image: list[int] = []
    label: list[int] = []
    difficult: list[int] = []
    ignored: list[bool] = []
    for i, thing in enumerate(objects):
        where = f"annotations[{i}]"
        try:
            of = _reference(thing, "image_id", images, where)
            category = _reference(thing, "category_id", categories, where)
            flags = _difficulty(thing), flag(thing.get("iscrowd"), "iscrowd") or flag(thing.get("ignore"), "ignore")
            shapes.add(thing, of, where)
        except (DamagedCoco, DamagedEntry) as error:
            text = str(error) if isinstance(error, DamagedCoco) else f"{where}.{error}"
            if skipped is None:
                raise DamagedCoco(text) from None
            skipped[i] = text
        else:
            image.append(of)
            label.append(category)
            difficult.append(flags[0])
            ignored.append(flags[1])
    notices = []
    if shapes.horizontal and not shapes.upright:
        notices.append(f"{file}: {shapes.horizontal:,} objects have horizontal boxes only")
    boxes, kind_of_boxes = shapes.boxes()
    return InstanceTable(
        images=_names(files),
        classes=classes,
        boxes=boxes,
        kind=kind_of_boxes,
        image=np.array(image, np.int32),
        label=np.array(label, np.int32),
        difficult=np.array(difficult, np.uint8),
        ignored=np.array(ignored, np.bool_),
        masks=None if shapes.masks is None else Masks(shapes.masks),
        sizes=shapes.sizes,
        image_files=files,
        files=[str(file)] * len(files),
        format="coco",
        notices=notices,
    )


def _difficulty(thing: Json) -> int:
    value = thing.get("difficult")
    return 2 if value == 2 and value is not True else int(flag(value, "difficult"))


def _entries(data: Json, key: str) -> list[Json]:
    entries = data.get(key)
    if not isinstance(entries, list):
        raise DamagedCoco(f"need a list of {key}, got {short(entries)}" if key in data else f"has no {key}")
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DamagedCoco(f"{key}[{i}]: need an object {{...}}, got {short(entry)}")
    return entries


def _numbered(data: Json, key: str) -> dict[Any, int]:
    """Index of each entry by its id."""
    places: dict[Any, int] = {}
    for i, entry in enumerate(_entries(data, key)):
        number = entry.get("id")
        if not isinstance(number, int | str):
            raise DamagedCoco(f"{key}[{i}].id: need a number or a name, got {short(number)}")
        if number in places:
            raise DamagedCoco(f"{key}[{i}].id: {number!r} is also the id of {key}[{places[number]}]")
        places[number] = i
    return places


def _reference(thing: Json, key: str, places: dict[Any, int], where: str) -> int:
    number = thing.get(key)
    place = places.get(number) if isinstance(number, int | str) else None
    if place is None:
        kind = {"image_id": "image", "category_id": "category"}[key]
        raise DamagedCoco(f"{where}.{key}: there is no {kind} {short(number)}")
    return place


def _file_name(image: Json, where: str) -> str:
    name = image.get("file_name", image.get("filename"))
    if not isinstance(name, str) or not name:
        raise DamagedCoco(f"{where}: need a file_name, got {short(name)}")
    return name


def _category_name(category: Json, where: str) -> str:
    name = category.get("name")
    if not isinstance(name, str) or not name:
        raise DamagedCoco(f"{where}.name: need a name, got {short(name)}")
    return name


def _size(image: Json) -> tuple[int, int] | None:
    """Height and width of an image, if given."""
    sides = image.get("height"), image.get("width")
    if all(isinstance(side, int) and side > 0 for side in sides):
        return sides[0], sides[1]  # type: ignore[return-value]
    return None


def _names(files: Sequence[str]) -> list[str]:
    """Image names: file names without folder and suffix, unless these are ambiguous."""
    shorter: tuple[Callable[[PurePosixPath], str], ...] = (lambda p: p.stem, lambda p: str(p.with_suffix("")), str)
    for shorten in shorter:
        names = [shorten(PurePosixPath(file)) for file in files]
        if len(set(names)) == len(names):
            break
    return names


def _paths(files: Sequence[str], folder: Path) -> list[Path | None]:
    """Path of each image file; lists each folder only once."""
    paths = [folder / file for file in files]
    there = {parent: set(list_files(parent)) for parent in {path.parent for path in paths} if parent.is_dir()}
    return [path if path.name in there.get(path.parent, ()) else None for path in paths]
