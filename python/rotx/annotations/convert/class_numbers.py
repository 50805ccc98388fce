"""Classes of a conversion: renaming, merging and selecting them, and the numbers that they get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rotx.annotations.files import clear_errors
from rotx.annotations.sniff import nearest
from rotx.records import InstanceTable

#: Source formats that number their classes; others only name them.
_NUMBERED = ("coco", "yolo", "datumaro", "visdrone")
#: Target formats that number them.
_NUMBERS = ("coco", "yolo")


def read_class_names(option: str) -> list[str]:
    """Reads the value of ``--classes``: names such as ``ship,plane``, or a file with one name per line.

    Raises:
        ValueError: If a name is empty or occurs twice.
        OSError: If the file cannot be read.
    """
    path = Path(option)
    if path.is_file():
        with clear_errors(path):
            names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        names = [name for name in names if name]
    else:
        names = [name.strip() for name in option.split(",")]
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError(f"--classes: need different names such as plane,ship, or a file of names, got '{option}'")
    return names


def read_renames(options: Sequence[str]) -> dict[str, str]:
    """Reads the values of ``--rename OLD=NEW``.

    Raises:
        ValueError: If a value has another form, or an old name occurs twice.
    """
    renames: dict[str, str] = {}
    for option in options:
        old, equals, new = (part.strip() for part in option.partition("="))
        if not (old and equals and new) or renames.get(old, new) != new:
            raise ValueError(f"--rename: need OLD=NEW with a different OLD each time, got '{option}'")
        renames[old] = new
    return renames


def set_classes(data: InstanceTable, classes: Sequence[str] | None, renames: Mapping[str, str], to: str) -> None:
    """Renames classes, selects those wanted, and numbers them, in place.

    Args:
        data: Table.
        classes: Names to keep, in the order of their numbers; None: all, in the order of a source that numbers them,
            otherwise sorted.
        renames: New name of each class to rename; classes of one new name become one.
        to: Target format, for the notices.

    Raises:
        ValueError: For a class to rename that does not occur.
    """
    for name in renames:
        if name not in data.classes:
            raise ValueError(f"--rename: there is no class '{name}'{nearest(name, data.classes)}")
    names = [renames.get(name, name) for name in data.classes]
    order = list(dict.fromkeys(names))
    data.label = np.array([order.index(name) for name in names] or [0], np.int32)[data.label]
    data.classes = order
    if classes is None:
        if data.format in _NUMBERED:
            return
        classes = sorted(order)
        if to in _NUMBERS and classes != order:
            data.notices.append(f"classes are numbered in alphabetical order; for another order use {_option(classes)}")
    dropped = data.keep_classes(classes)
    if dropped:
        counts = ", ".join(f"{name} {count:,}" for name, count in dropped.items())
        data.lost.append(f"{sum(dropped.values()):,} objects of other classes: left out ({counts})")


def _option(classes: Sequence[str]) -> str:
    text = ",".join(classes)
    return f"--classes {text}" if len(text) < 60 and " " not in text else "--classes A,B,..."
