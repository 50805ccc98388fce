"""What is known of one image before it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rotx.records.instances import Instances


class Window(NamedTuple):
    """A part of the image of a file that is an image of its own.

    Attributes:
        area: Its first column and row, and the column and row after its last; it may reach beyond the image.
        padding: Blue, green and red of what lies beyond; None: that is left out.
        cache_bytes: How much a process may keep of decoded images.
    """

    area: tuple[int, int, int, int]
    padding: tuple[int, ...] | None
    cache_bytes: int


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """One image: where it is and what is on it. Boxes are in pixels of the file, or of its window.

    Attributes:
        name: What predictions and result files call the image; unique in its dataset.
        path: The image's file.
        instances: The objects as annotated, or as found.
        size: Height and width of the image, if they are known without opening it.
        window: The part of the file that is the image; None: all of it.
    """

    name: str
    path: Path
    instances: Instances
    size: tuple[int, int] | None = None
    window: Window | None = None
