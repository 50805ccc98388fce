"""Kinds of boxes and the shapes of their arrays."""

from __future__ import annotations

import warnings
from typing import Any, Literal, get_args

BoxKind = Literal["hbox", "rbox", "quad", "points"]

#: All kinds, by the numbers of values per box.
KINDS: tuple[BoxKind, ...] = get_args(BoxKind)

_WIDTHS = {"hbox": 4, "rbox": 5, "quad": 8}


def width(kind: BoxKind, default: int = 0) -> int:
    """Returns the length of the last dimension of boxes of a kind.

    Args:
        kind: Kind of the boxes.
        default: Value to return for ``"points"``, which may have any even number.

    Raises:
        ValueError: For an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind of boxes: need one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    return _WIDTHS.get(kind, default)


def check_boxes(boxes: Any, kind: BoxKind, name: str = "boxes") -> None:
    """Checks that the last dimension of boxes matches their kind.

    Args:
        boxes: Array or tensor (..., D).
        kind: Kind of the boxes.
        name: Name of the boxes in the error.

    Raises:
        ValueError: For an unknown kind, or boxes of another width.
    """
    columns = boxes.shape[-1] if len(boxes.shape) else 0
    need = width(kind)
    if (columns != need) if need else (columns % 2 or columns < 2):
        raise ValueError(f"{name}: need {kind} boxes (..., {need or '2k'}), got shape {tuple(boxes.shape)}")


def kind_by_width(boxes: Any, name: str = "boxes") -> BoxKind:
    """Deprecated: guesses the kind of boxes given without one: quads if they have eight columns, else rboxes.

    Args:
        boxes: Array or tensor (N, D).
        name: Name of the boxes in the warning.
    """
    if boxes.shape[-1] != width("quad"):
        return "rbox"
    message = f"{name}: quads without kind='quad' are deprecated and will be an error in the next version"
    warnings.warn(message, DeprecationWarning, 4)
    return "quad"
