"""Protocol of the writers of results."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rotx.records import ImageRecord


class Writer(Protocol):
    """Takes results one by one; the output appears, complete, when the writer is closed.

    Of a result, ``path`` is the path of the input (for a frame, of the video), ``name`` is unique in the run (the
    input's path relative to its folder, with ``/``, without suffix; for a frame ``<stem>_<frame:06d>``), ``size`` is
    known, and ``instances`` have scores and are in pixels of the file.

    Methods raise OSError with the name of the file, or ValueError if the format cannot store a value; the caller then
    discards all writers.
    """

    def add(self, result: ImageRecord) -> None:
        """Writes the next result without keeping it in memory."""

    def close(self) -> list[Path]:
        """Moves the output into place; returns the files, or the folder if there is one file per image."""

    def discard(self) -> None:
        """Removes temporary files; does nothing after `close`."""


def size_of(result: ImageRecord) -> tuple[int, int]:
    """Returns width and height of a processed image."""
    assert result.size is not None
    return result.size[1], result.size[0]
