"""Collects the images and objects of an annotation tool's files for a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

import numpy as np

from rotx.annotations.files import File, FormatError
from rotx.annotations.json_files import DamagedEntry
from rotx.annotations.limits import check_pixels
from rotx.geometry import min_area_rect, rbox_to_quad
from rotx.records import FileProblem, InstanceTable

#: Number of skipped entries that are listed.
_SHOWN = 20


class Collector:
    """Collects images and objects.

    Args:
        format: Name of the format.
        lenient: Whether to skip and count damaged entries instead of raising.
    """

    def __init__(self, format: str, lenient: bool) -> None:
        self._format = format
        self._lenient = lenient
        self._images: list[str] = []
        self._files: list[str] = []
        self._image_files: list[str] = []
        self._sizes: list[tuple[int, int] | None] = []
        self._names: dict[str, str] = {}
        self._classes: dict[str, int] = {}
        self._quads: list[list[float]] = []
        self._image: list[int] = []
        self._label: list[int] = []
        self._difficult: list[int] = []
        self._ignored: list[bool] = []
        self._skipped: Counter[str] = Counter()
        self._problems: list[FileProblem] = []
        self._lost: Counter[str] = Counter()
        self._entries: Counter[str] = Counter()

    @contextmanager
    def checked(self, place: str) -> Iterator[None]:
        """Raises a `FormatError` for a damaged entry at a place, or skips and counts it."""
        try:
            yield
        except DamagedEntry as error:
            if not self._lenient:
                raise FormatError(f"{place}: {error}") from None
            self._skipped[error.kind] += 1
            if len(self._problems) < _SHOWN:
                self._problems.append(FileProblem(place, 0, error.kind, str(error)))

    def add_image(self, name: str, file: File, size: tuple[int, int] | None, image_file: str = "") -> int:
        """Adds an image; returns its index.

        Args:
            name: Name of the image, without folder and suffix.
            file: Annotation file.
            size: Height and width in pixels, if known.
            image_file: Name of the image file, if known.

        Raises:
            FormatError: If there is an image of this name already.
        """
        shown = f"{file.shown} ({image_file or name})" if self._names.get(name) == file.shown else file.shown
        if name in self._names:
            raise FormatError(f"{shown}: image {name!r} occurs twice, first in {self._names[name]}")
        self._names[name] = file.shown
        self._images.append(name)
        self._files.append(file.shown)
        self._image_files.append(image_file)
        self._sizes.append(size)
        return len(self._images) - 1

    def set_size(self, image: int, size: tuple[int, int]) -> None:
        """Sets the height and width of an image that its objects tell.

        Raises:
            DamagedEntry: If another object told another size.
        """
        known = self._sizes[image]
        if known is not None and known != size:
            raise DamagedEntry("damaged entry", f"the image has height and width {size} here, and {known} before")
        self._sizes[image] = size

    def add(
        self,
        image: int,
        label: object,
        corners: Sequence[Sequence[float]],
        difficult: int = 0,
        ignored: bool = False,
    ) -> None:
        """Adds an object.

        Args:
            image: Index of its image.
            label: Name of its class.
            corners: Points of its polygon, three or more, in pixels; of other than four points the minimum-area
                rectangle is kept, and counted.
            difficult: 0, 1 (difficult) or 2 (truncated).
            ignored: Whether the object counts neither as object nor as background.

        Raises:
            DamagedEntry: If the class has no name, or there are too few points.
        """
        if not isinstance(label, str) or not label.strip():
            raise DamagedEntry("damaged shape", f"label: need a name, got {label!r:.40}")
        if len(corners) > 3 and list(corners[0]) == list(corners[-1]):
            corners = corners[:-1]  # closed by its first corner
        if len(corners) < 3:
            raise DamagedEntry("damaged shape", f"points: need three corners or more, got {len(corners)}")
        if len(corners) == 4:
            quad = [float(v) for point in corners for v in point]
        else:
            self.lose("polygons without four corners: kept as minimum-area rectangles")
            quad = rbox_to_quad(min_area_rect(np.array(corners, np.float64))[None])[0].tolist()
        self._quads.append(quad)
        self._image.append(image)
        self._label.append(self._classes.setdefault(label.strip(), len(self._classes)))
        self._difficult.append(difficult)
        self._ignored.append(ignored)

    def add_classes(self, names: Sequence[str]) -> None:
        """Adds classes in the order of their labels, with or without objects."""
        for name in names:
            self._classes.setdefault(name, len(self._classes))

    def lose(self, what: str, count: int = 1) -> None:
        """Counts what the table does not hold."""
        self._lost[what] += count

    def lose_entry(self, key: str) -> None:
        """Counts an entry or flag of an object that is not read."""
        self._entries[key] += 1

    def table(self) -> InstanceTable:
        """Builds the table of all objects.

        Raises:
            FormatError: If all coordinates are shares of the image instead of pixels.
        """
        quads = np.array(self._quads, np.float64).reshape(-1, 8)
        check_pixels(quads, self._files[0] if self._files else "")
        lost = [f"{count:,} {what}" for what, count in self._lost.items() if count]
        if self._entries:
            lost.append(f"{self._entries.total():,} entries or flags of objects: not kept: {counted(self._entries)}")
        notices = []
        if self._skipped:
            counts = ", ".join(f"{kind} {count:,}" for kind, count in self._skipped.items())
            notices = [
                f"skipped {self._skipped.total():,} shapes or files: {counts}",
                *(f"skipped {problem}" for problem in self._problems),
            ]
        return InstanceTable(
            format=self._format,
            images=self._images,
            image_files=[PurePosixPath(path.replace("\\", "/")).name for path in self._image_files],
            files=self._files,
            paths=[None] * len(self._images),
            sizes=self._sizes,
            classes=list(self._classes),
            boxes=quads,
            kind="quad",
            image=np.array(self._image, np.int32),
            label=np.array(self._label, np.int32),
            difficult=np.array(self._difficult, np.uint8),
            ignored=np.array(self._ignored, np.bool_) if any(self._ignored) else None,
            skipped=dict(self._skipped),
            problems=self._problems,
            lost=lost,
            notices=notices,
        )


def counted(entries: Counter[str]) -> str:
    """Names and counts, the most frequent first; of many names the first ten."""
    shown = ", ".join(f"{name!r:.40} {count:,}" for name, count in entries.most_common(10))
    return f"{shown}, ..." if len(entries) > 10 else shown


def image_name(path: str) -> str:
    """Name of an image, without folder and suffix, from a path or address of any system."""
    return PurePosixPath(path.replace("\\", "/").split("?")[0].rstrip("/")).stem


def size_of(height: object, width: object) -> tuple[int, int] | None:
    """Height and width in pixels; None unless both are integers from 1 on."""
    sides = [int(side) if isinstance(side, float) and side.is_integer() else side for side in (height, width)]
    if all(type(side) is int and 0 < side < 1 << 31 for side in sides):
        return sides[0], sides[1]  # type: ignore[return-value]
    return None


def box_corners(x0: float, y0: float, x1: float, y1: float, rotation: float = 0.0) -> list[list[float]]:
    """Corners of a horizontal box that is turned about its centre, clockwise in radians.

    Raises:
        DamagedEntry: If a maximum is below its minimum.
    """
    if x1 < x0 or y1 < y0:
        raise DamagedEntry("max below min", f"width and height must not be negative, got {x1 - x0:g} and {y1 - y0:g}")
    if not rotation:
        return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    return turned([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], ((x0 + x1) / 2, (y0 + y1) / 2), rotation)


def turned(corners: list[list[float]], pivot: tuple[float, float], rotation: float) -> list[list[float]]:
    """Points turned about a pivot, clockwise in radians (y points down)."""
    cos, sin = math.cos(rotation), math.sin(rotation)
    px, py = pivot
    return [[px + (x - px) * cos - (y - py) * sin, py + (x - px) * sin + (y - py) * cos] for x, y in corners]
