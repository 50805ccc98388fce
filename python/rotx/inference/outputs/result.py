"""What writers take: the result of one image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rotx.inference.prediction import Prediction


@dataclass(frozen=True, eq=False)
class Result:
    """One image, or frame of a video, that was looked at.

    Attributes:
        file: the input; for a frame, the video.
        name: unique in the run: the input's path relative to its folder, ``/`` kept, without suffix; for a frame
            ``<stem>_<frame:06d>``.
        width, height: in pixels.
        prediction: in pixels of the file.
    """

    file: Path
    name: str
    width: int
    height: int
    prediction: Prediction


class Writer(Protocol):
    """Results come one by one; each output is complete when the writer is closed, and never half there.

    Errors are an OSError with the name of the file, or a ValueError for what the format cannot hold; whoever meets
    one discards all writers.
    """

    def add(self, result: Result) -> None:
        """Takes the next result; nothing of it is kept in memory."""

    def close(self) -> list[Path]:
        """Puts the output in place; returns the files, or the folder of one file an image."""

    def discard(self) -> None:
        """Removes what is temporary; does nothing after `close`."""
