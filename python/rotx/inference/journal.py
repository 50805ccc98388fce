"""What a run has found so far, on the disk: the same command continues a run that was killed, floats exact.

A header says what the run is bound to. Then come entries: a line of JSON, and for each image or batch of windows a
table (N, D + 2) of float64 as bytes: the boxes, scores and labels. After it stand the masks, if the detector finds any:
of an image as JSON, of windows as float32 grids. An entry holds the images of one batch, or one batch of an image's
windows, so that batches after a kill are those of a run that was never killed. What a kill tears at the end fails its
check and is cut off.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from rotx.atomic import OutputLock
from rotx.boxes import BoxKind, width
from rotx.inference.prediction import mask_json
from rotx.records import BoxMasks, Instances, Masks
from rotx.records.masks import Mask

#: Bytes of a number.
_FLOAT = 8


class JournalImage(NamedTuple):
    """An image, or frame of a video.

    Attributes:
        name: Name, unique in the run.
        stamp: Tells whether its file is still the same.
        width, height: Size in pixels.
    """

    name: str
    stamp: tuple[int, int]
    width: int
    height: int


class _Part(NamedTuple):
    """Where the objects of an image, or of some windows, lie in the file."""

    offset: int
    rows: int
    kind: BoxKind
    masks: int
    """Bytes of the masks; 0: none."""
    grid: tuple[int, int, float] | None
    """Height and width of the grids that the masks are, and their threshold; None: they are JSON."""

    @property
    def columns(self) -> int:
        """Columns of the table."""
        return width(self.kind) + 2

    @property
    def end(self) -> int:
        """Where the next part begins."""
        return self.offset + self.rows * self.columns * _FLOAT + self.masks


class Journal:
    """The journal of a run; while it is open no other run writes it.

    Args:
        path: Path of its file.
        settings: What the results depend on, as JSON holds it.

    Raises:
        ValueError: If the journal is one of another run, or another process has it open.
        OSError: If it cannot be read or written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._images: dict[str, tuple[JournalImage, _Part]] = {}
        self._windows: dict[str, list[tuple[tuple[int, int], list[int], _Part]]] = {}
        self._open = ExitStack()
        self._open.callback(OutputLock(path.with_name(f"{path.name}.lock"), path.parent).release)
        try:
            # Writes go to the end, wherever it was read.
            self._file = self._open.enter_context(path.open("a+b", buffering=0))
            self._end = self._begin(json.loads(json.dumps(settings)))
            self._scan()
            self._file.truncate(self._end)
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def __len__(self) -> int:
        """How many images are done."""
        return len(self._images)

    def image(self, name: str, stamp: tuple[int, int]) -> tuple[JournalImage, Instances] | None:
        """What was found in an image; None if that is not known of this file."""
        image, part = self._images.get(name, (None, None))
        return (image, self._read(part)) if image and part and image.stamp == stamp else None

    def has_image(self, name: str, stamp: tuple[int, int]) -> bool:
        """Whether an image is done."""
        return name in self._images and self._images[name][0].stamp == stamp

    def windows(self, name: str, stamp: tuple[int, int]) -> list[tuple[Instances, list[int]]]:
        """What was found in each batch of an image's windows that is done, and how much of it in each window."""
        return [(self._read(part), counts) for known, counts, part in self._windows.get(name, []) if known == stamp]

    def add_images(self, images: Sequence[JournalImage], found: Sequence[Instances]) -> None:
        """Writes down what was found in a batch of images.

        Raises:
            OSError: If that fails.
        """
        self._add({"images": images, "counts": [len(one) for one in found]}, found)

    def add_windows(self, image: JournalImage, found: tuple[Instances, list[int]]) -> None:
        """Writes down what was found in the next batch of an image's windows; raises the same.

        Args:
            image: The image.
            found: What was found, and how much of it in each window.
        """
        instances, counts = found
        self._add({"windows": image, "counts": counts}, [instances])

    def remove(self) -> None:
        """Removes the file: the run has ended."""
        self.path.unlink()

    def _add(self, head: dict[str, Any], found: Sequence[Instances]) -> None:
        tables, masks = zip(*map(_packed, found), strict=True)
        content = b"".join(part for pair in zip(tables, masks, strict=True) for part in pair)
        head = {**head, "kind": found[0].kind, "masks": [len(mask) for mask in masks], "crc": zlib.crc32(content)}
        if isinstance(found[0].masks, BoxMasks):
            head["grid"] = [*found[0].masks.grids.shape[1:], found[0].masks.threshold]
        line = json.dumps(head, separators=(",", ":")).encode() + b"\n"
        self._write(memoryview(line + content))
        self._note(head, self._end + len(line))
        self._end += len(line) + len(content)

    def _write(self, content: memoryview) -> None:
        try:
            while content:
                content = content[self._file.write(content) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _note(self, head: Mapping[str, Any], offset: int) -> None:
        """Remembers where the parts of an entry lie."""
        parts = _parts(head, offset)
        if "windows" in head:
            name, stamp, *_ = head["windows"]
            self._windows.setdefault(name, []).append((tuple(stamp), head["counts"], parts[0]))
            return
        for (name, stamp, across, down), part in zip(head["images"], parts, strict=True):
            self._images[name] = JournalImage(name, tuple(stamp), across, down), part
            self._windows.pop(name, None)

    def _read(self, part: _Part) -> Instances:
        self._file.seek(part.offset)
        size = part.end - part.offset
        content = bytearray()
        while len(content) < size and (piece := self._file.read(size - len(content))):
            content += piece
        numbers = np.frombuffer(content[: size - part.masks], "<f8").astype(np.float64).reshape(-1, part.columns)
        masks = _unpacked(content[size - part.masks :], part.grid)
        return Instances(numbers[:, :-2], part.kind, numbers[:, -1].astype(np.int64), numbers[:, -2], masks=masks)

    def _begin(self, settings: Mapping[str, Any]) -> int:
        """Reads the header, or writes it; returns where it ends."""
        with self.path.open("rb") as file:
            line = file.readline()
        if not line.endswith(b"\n"):  # it is new, or the first was killed at once
            line = json.dumps({"rotx predict": settings}).encode() + b"\n"
            self._file.truncate(0)
            self._write(memoryview(line))
            return len(line)
        try:
            earlier = dict(json.loads(line)["rotx predict"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{self.path}: is not the journal of a run: remove it, or give another --out") from None
        for key in dict.fromkeys((*settings, *earlier)):
            if earlier.get(key) != settings.get(key):
                raise ValueError(
                    f"{self.path.parent}: holds a run that has not ended, with another {key}: "
                    f"{_short(earlier.get(key))} there, {_short(settings.get(key))} here: repeat that command, give "
                    f"another --out, or remove {self.path} to begin anew"
                )
        return len(line)

    def _scan(self) -> None:
        """Takes up the entries that are complete."""
        with self.path.open("rb") as file:
            file.seek(self._end)
            for line in file:
                try:
                    head = json.loads(line)
                    size = _parts(head, 0)[-1].end
                    content = file.read(size)
                    if not line.endswith(b"\n") or len(content) != size or zlib.crc32(content) != head["crc"]:
                        return
                except (ValueError, KeyError, TypeError, IndexError):
                    return
                self._note(head, self._end + len(line))
                self._end += len(line) + size


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _parts(head: Mapping[str, Any], offset: int) -> list[_Part]:
    """Where the objects that an entry holds lie; journals of rotx 0.1 say neither kind nor masks."""
    counts = [sum(head["counts"])] if "windows" in head else head["counts"]
    parts = []
    for count, masks in zip(counts, head.get("masks", [0] * len(counts)), strict=True):
        grid = (*head["grid"],) if "grid" in head else None
        parts.append(_Part(offset, count, head.get("kind", "rbox"), masks, grid))
        offset = parts[-1].end
    return parts


def _packed(found: Instances) -> tuple[bytes, bytes]:
    """The table and the masks of objects, as bytes."""
    table = np.column_stack([found.boxes, found.scores, found.labels]).astype("<f8").tobytes()
    if isinstance(found.masks, BoxMasks):
        return table, found.masks.grids.astype("<f4").tobytes()
    masks = json.dumps([mask_json(mask) for mask in found.masks]).encode() if isinstance(found.masks, Masks) else b""
    return table, masks


def _unpacked(content: bytes | bytearray, grid: tuple[int, int, float] | None) -> Masks | BoxMasks | None:
    """The masks of which these are the bytes."""
    if grid is not None:
        height, width, threshold = grid
        return BoxMasks(np.frombuffer(content, "<f4").astype(np.float32).reshape(-1, height, width), threshold)
    return Masks([*map(_mask, json.loads(content))]) if content else None


def _mask(value: Any) -> Mask:
    mask: Mask = value if isinstance(value, dict) else [np.asarray(polygon, np.float64) for polygon in value]
    return mask
