"""Description of an image that is not read yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rotx.records.instances import Instances


class Window(NamedTuple):
    """A part of an image file that is used as an image of its own.

    Attributes:
        area: First column and row, and the column and row after the last; the window may reach beyond the image.
        padding: Blue, green and red of pixels beyond the image; None: crop the window to the image.
        cache_bytes: Greatest size in bytes of the decoded pixels that a process keeps.
    """

    area: tuple[int, int, int, int]
    padding: tuple[int, ...] | None
    cache_bytes: int


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """An image file with its objects. Boxes are in pixels of the file, or of its window.

    Attributes:
        name: Name of the image in predictions and result files; unique in its dataset.
        path: Path of the image file.
        instances: Annotated or detected objects.
        size: Height and width of the image; None if not known yet.
        window: Part of the file that is the image; None: all of it.
    """

    name: str
    path: Path
    instances: Instances
    size: tuple[int, int] | None = None
    window: Window | None = None
