"""Journal of a run on the disk: the same command resumes an interrupted run, with bitwise equal results.

The header contains the settings of the run. Each entry is a line of JSON, followed for each image or batch of windows
by a table (N, D + 2) of float64 as bytes, with boxes, scores and labels, and by the masks, if there are any: as JSON
for an image, as float32 grids for windows. An entry contains the images of one batch, or one batch of an image's
windows, so that a resumed run forms the same batches as an uninterrupted one. An incomplete entry at the end fails its
checksum and is removed.
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

#: Size of a number, in bytes.
_FLOAT = 8


class JournalImage(NamedTuple):
    """Image or video frame.

    Attributes:
        name: Name, unique in the run.
        stamp: Size and modification time of the file, to detect changes.
        width, height: Size in pixels.
    """

    name: str
    stamp: tuple[int, int]
    width: int
    height: int


class _Part(NamedTuple):
    """Position in the file of the objects of an image or of a batch of windows."""

    offset: int
    rows: int
    kind: BoxKind
    masks: int
    """Size of the masks in bytes; 0: no masks."""
    grid: tuple[int, int, float] | None
    """Height, width and threshold of masks that are grids; None: masks are JSON."""

    @property
    def columns(self) -> int:
        """Number of columns of the table."""
        return width(self.kind) + 2

    @property
    def end(self) -> int:
        """Offset of the next part."""
        return self.offset + self.rows * self.columns * _FLOAT + self.masks


class Journal:
    """Journal of a run, locked against other runs while it is open.

    Args:
        path: Path of the journal.
        settings: Settings that the results depend on, as JSON-compatible values.

    Raises:
        ValueError: If the journal belongs to another run, or another process has it open.
        OSError: If the journal cannot be read or written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._images: dict[str, tuple[JournalImage, _Part]] = {}
        self._windows: dict[str, list[tuple[tuple[int, int], list[int], _Part]]] = {}
        self._open = ExitStack()
        self._open.callback(OutputLock(path.with_name(f"{path.name}.lock"), path.parent).release)
        try:
            # Append mode: writes go to the end regardless of reads.
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
        """Number of processed images."""
        return len(self._images)

    def image(self, name: str, stamp: tuple[int, int]) -> tuple[JournalImage, Instances] | None:
        """Returns an image and its objects; None if it was not processed, or the file has changed since."""
        image, part = self._images.get(name, (None, None))
        return (image, self._read(part)) if image and part and image.stamp == stamp else None

    def has_image(self, name: str, stamp: tuple[int, int]) -> bool:
        """Whether an image was processed and its file has not changed since."""
        return name in self._images and self._images[name][0].stamp == stamp

    def windows(self, name: str, stamp: tuple[int, int]) -> list[tuple[Instances, list[int]]]:
        """Returns the objects of each processed batch of an image's windows, and their number in each window."""
        return [(self._read(part), counts) for known, counts, part in self._windows.get(name, []) if known == stamp]

    def add_images(self, images: Sequence[JournalImage], found: Sequence[Instances]) -> None:
        """Appends the objects found in a batch of images.

        Raises:
            OSError: If the journal cannot be written.
        """
        self._add({"images": images, "counts": [len(one) for one in found]}, found)

    def add_windows(self, image: JournalImage, found: tuple[Instances, list[int]]) -> None:
        """Appends the objects found in the next batch of an image's windows.

        Args:
            image: Image that the windows belong to.
            found: Objects of the batch, and their number in each window.

        Raises:
            OSError: If the journal cannot be written.
        """
        instances, counts = found
        self._add({"windows": image, "counts": counts}, [instances])

    def remove(self) -> None:
        """Removes the file after the end of the run."""
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
        """Registers the positions of an entry's parts."""
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
        """Reads the header, or writes a new one; returns its length."""
        with self.path.open("rb") as file:
            line = file.readline()
        if not line.endswith(b"\n"):  # a new file, or a run killed before it wrote the header
            line = json.dumps({"rotx predict": settings}).encode() + b"\n"
            self._file.truncate(0)
            self._write(memoryview(line))
            return len(line)
        try:
            earlier = dict(json.loads(line)["rotx predict"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{self.path}: is not a journal of rotx: remove it, or give another --out") from None
        for key in dict.fromkeys((*settings, *earlier)):
            if earlier.get(key) != settings.get(key):
                raise ValueError(
                    f"{self.path.parent}: contains an interrupted run with another {key}: "
                    f"{_short(earlier.get(key))} there, {_short(settings.get(key))} here: repeat that command, give "
                    f"another --out, or remove {self.path} to start again"
                )
        return len(line)

    def _scan(self) -> None:
        """Registers the complete entries of the file."""
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
    """Returns the positions of an entry's parts; journals of rotx 0.1 have neither kind nor masks."""
    counts = [sum(head["counts"])] if "windows" in head else head["counts"]
    parts = []
    for count, masks in zip(counts, head.get("masks", [0] * len(counts)), strict=True):
        grid = (*head["grid"],) if "grid" in head else None
        parts.append(_Part(offset, count, head.get("kind", "rbox"), masks, grid))
        offset = parts[-1].end
    return parts


def _packed(found: Instances) -> tuple[bytes, bytes]:
    """Serialises objects; returns their table and their masks as bytes."""
    table = np.column_stack([found.boxes, found.scores, found.labels]).astype("<f8").tobytes()
    if isinstance(found.masks, BoxMasks):
        return table, found.masks.grids.astype("<f4").tobytes()
    masks = json.dumps([mask_json(mask) for mask in found.masks]).encode() if isinstance(found.masks, Masks) else b""
    return table, masks


def _unpacked(content: bytes | bytearray, grid: tuple[int, int, float] | None) -> Masks | BoxMasks | None:
    """Deserialises masks."""
    if grid is not None:
        height, width, threshold = grid
        return BoxMasks(np.frombuffer(content, "<f4").astype(np.float32).reshape(-1, height, width), threshold)
    return Masks([*map(_mask, json.loads(content))]) if content else None


def _mask(value: Any) -> Mask:
    mask: Mask = value if isinstance(value, dict) else [np.asarray(polygon, np.float64) for polygon in value]
    return mask
