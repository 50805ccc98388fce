"""What a run has found so far, on the disk: a run that was killed is continued, floats exact, by the same command.

A header says what the run is bound to. Then come records: a line of JSON, and a table (N, 7) of float64 ``cx, cy, w,
h, angle, score, label`` as bytes. A record holds the images of one batch, or one batch of an image's windows, so that
batches after a kill are those of a run that was never killed. What a kill tears at the end fails its check and is cut
off.
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
from rotx.inference.prediction import Table

#: Of a table, and the bytes of its rows.
_COLUMNS, _ROW = 7, 7 * 8


class Item(NamedTuple):
    """An image, or frame.

    Attributes:
        name: unique in the run.
        stamp: what tells whether its file is still the same.
        width, height: in pixels.
    """

    name: str
    stamp: tuple[int, int]
    width: int
    height: int


class _Place(NamedTuple):
    """Where the table of an image lies in the file."""

    item: Item
    offset: int
    rows: int


class Journal:
    """The journal of a run; while it is open no other run writes it.

    Args:
        path: of its file.
        settings: what the results depend on, as JSON holds it.

    Raises:
        ValueError: if the journal is one of another run, or another process has it open.
        OSError: if it cannot be read or written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._images: dict[str, _Place] = {}
        self._parts: dict[str, list[tuple[tuple[int, int], list[int], int]]] = {}
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

    def image(self, name: str, stamp: tuple[int, int]) -> tuple[Item, Table] | None:
        """What was found in an image; None if that is not known of this file."""
        place = self._images.get(name)
        return (place.item, self._table(place.offset, place.rows)) if place and place.item.stamp == stamp else None

    def has_image(self, name: str, stamp: tuple[int, int]) -> bool:
        """Whether an image is done."""
        return name in self._images and self._images[name].item.stamp == stamp

    def windows(self, name: str, stamp: tuple[int, int]) -> list[tuple[Table, list[int]]]:
        """Of each batch of an image's windows that is done what was found, and how many of it in each window."""
        parts = self._parts.get(name, [])
        return [(self._table(offset, sum(counts)), counts) for known, counts, offset in parts if known == stamp]

    def add_images(self, items: Sequence[Item], tables: Sequence[Table]) -> None:
        """Writes down what was found in a batch of images.

        Raises:
            OSError: if that fails.
        """
        counts = [len(table) for table in tables]
        self._add({"images": items, "counts": counts}, tables)

    def add_windows(self, item: Item, found: tuple[Table, list[int]]) -> None:
        """Writes down what was found in the next batch of an image's windows; raises the same.

        Args:
            item: the image.
            found: what was found, and how many of it in each window.
        """
        table, counts = found
        self._add({"windows": item, "counts": counts}, [table])

    def remove(self) -> None:
        """Removes the file: the run has ended."""
        self.path.unlink()

    def _add(self, head: dict[str, Any], tables: Sequence[Table]) -> None:
        content = np.concatenate([np.zeros((0, _COLUMNS)), *tables]).astype("<f8").tobytes()
        line = json.dumps({**head, "crc": zlib.crc32(content)}, separators=(",", ":")).encode() + b"\n"
        record = memoryview(line + content)
        self._write(record)
        self._note(head, self._end + len(line))
        self._end += len(line) + len(content)

    def _write(self, content: memoryview) -> None:
        try:
            while content:
                content = content[self._file.write(content) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _note(self, head: Mapping[str, Any], offset: int) -> None:
        """Remembers where the tables of a record lie."""
        counts = head["counts"]
        if "windows" in head:
            name, stamp, *_ = head["windows"]
            self._parts.setdefault(name, []).append((tuple(stamp), counts, offset))
            return
        for (name, stamp, width, height), rows in zip(head["images"], counts, strict=True):
            self._images[name] = _Place(Item(name, tuple(stamp), width, height), offset, rows)
            self._parts.pop(name, None)
            offset += rows * _ROW

    def _table(self, offset: int, rows: int) -> Table:
        self._file.seek(offset)
        content = bytearray()
        while len(content) < rows * _ROW and (part := self._file.read(rows * _ROW - len(content))):
            content += part
        return np.frombuffer(content, "<f8").astype(np.float64).reshape(-1, _COLUMNS)

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
        for key in settings:
            if earlier.get(key) != settings[key]:
                raise ValueError(
                    f"{self.path.parent}: holds a run that has not ended, with another {key}: "
                    f"{_short(earlier.get(key))} there, {_short(settings[key])} here: repeat that command, give "
                    f"another --out, or remove {self.path} to begin anew"
                )
        return len(line)

    def _scan(self) -> None:
        """Takes up the records that are complete."""
        with self.path.open("rb") as file:
            file.seek(self._end)
            for line in file:
                try:
                    head = json.loads(line)
                    size = sum(head["counts"]) * _ROW
                    content = file.read(size)
                    if not line.endswith(b"\n") or len(content) != size or zlib.crc32(content) != head["crc"]:
                        return
                except (ValueError, KeyError, TypeError):
                    return
                self._note(head, self._end + len(line))
                self._end += len(line) + size


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
