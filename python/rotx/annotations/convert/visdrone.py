"""Reading VisDrone-DET: lines ``left,top,width,height,score,class,truncation,occlusion``, one file per image.

The score of annotations is 1, or 0 for objects and regions that evaluation ignores.
"""

from __future__ import annotations

from collections.abc import Sequence

from rotx.annotations.convert.collect import Collector, box_corners
from rotx.annotations.files import File, FormatError
from rotx.annotations.json_files import DamagedEntry, number
from rotx.records import InstanceTable

CLASSES = (
    "ignored regions",
    "pedestrian",
    "people",
    "bicycle",
    "car",
    "van",
    "truck",
    "tricycle",
    "awning-tricycle",
    "bus",
    "motor",
    "others",
)
_COLUMNS = "left,top,width,height,score,class,truncation,occlusion"


def accepts(files: Sequence[File]) -> bool:
    """Whether most of the first lines of files are VisDrone-DET's."""
    lines = [file.head(4096).decode("utf-8-sig", errors="replace").splitlines() for file in files]
    firsts = [_columns(head[0]) for head in lines if head]
    good = [len(c) == 8 and {c[4]} <= {"0", "1"} and c[5].isdigit() and int(c[5]) < 12 for c in firsts]
    good = [fine and {c[6], c[7]} <= {"0", "1", "2", "-1"} for fine, c in zip(good, firsts, strict=True)]
    return bool(good) and 2 * sum(good) > len(good)


def read(files: Sequence[File], lenient: bool) -> InstanceTable:
    """Reads label files, one per image.

    Raises:
        FormatError: For the first invalid line or file, unless ``lenient``.
    """
    objects = Collector("visdrone", lenient)
    objects.add_classes(CLASSES[1:])
    for file in files:
        try:
            text = file.read().decode("utf-8-sig")
        except OSError as error:
            raise FormatError(f"{file.shown}: cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise FormatError(f"{file.shown}: is not UTF-8 text") from None
        image = objects.add_image(file.stem, file, None)
        for i, line in enumerate(text.splitlines(), 1):
            if line.strip():
                with objects.checked(f"{file.shown}:{i}"):
                    _add(objects, image, _columns(line))
    return objects.table()


def _columns(line: str) -> list[str]:
    return [column.strip() for column in line.strip().removesuffix(",").split(",")]


def _add(objects: Collector, image: int, columns: list[str]) -> None:
    if len(columns) != 8:
        raise DamagedEntry("wrong number of columns", f"{len(columns)} columns, need 8: {_COLUMNS}")
    x, y, w, h, score, label, truncation, _ = (number(column, "column") for column in columns)
    if not label.is_integer() or not 0 <= label < len(CLASSES):
        raise DamagedEntry("unknown class", f"class {columns[5]}: need a number from 0 to {len(CLASSES) - 1}")
    if score == 0 or label == 0:
        objects.lose("ignored regions and objects: not kept")
        return
    objects.add(image, CLASSES[int(label)], box_corners(x, y, x + w, y + h), 2 if truncation else 0)
