"""What all writers of results have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rotx.records import ImageRecord


class Writer(Protocol):
    """Results come one by one; each output is complete when the writer is closed, and never half there.

    A result is an image as it was found: ``path`` is the input's (of a frame, the video's), ``name`` is unique in the
    run (the input's path relative to its folder, ``/`` kept, without suffix; of a frame ``<stem>_<frame:06d>``),
    ``size`` is known, and ``instances`` have scores, in pixels of the file.

    Errors are an OSError with the name of the file, or a ValueError for what the format cannot hold; whoever meets
    one discards all writers.
    """

    def add(self, result: ImageRecord) -> None:
        """Takes the next result; nothing of it is kept in memory."""

    def close(self) -> list[Path]:
        """Puts the output in place; returns the files, or the folder of one file an image."""

    def discard(self) -> None:
        """Removes what is temporary; does nothing after `close`."""


def size_of(result: ImageRecord) -> tuple[int, int]:
    """Width and height of an image that was looked at."""
    assert result.size is not None
    return result.size[1], result.size[0]
