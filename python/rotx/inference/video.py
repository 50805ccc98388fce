"""Reads the frames of videos and writes videos of drawn frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from rotx.atomic import naming
from rotx.images.draw import Image
from rotx.images.files import UnreadableImage

#: Fraction of a file's claimed frames that may be missing: in some formats the number is an estimate.
_MISSING = 0.01


class Video:
    """Frames of a video file.

    Attributes:
        path: Path of the file.
        count: Number of frames according to the file; 0 if it does not say.

    Raises:
        UnreadableImage: If the file is not a video.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UnreadableImage(path, "is not a regular file" if path.exists() else "does not exist")
        self.path = path
        # Suppresses FFmpeg's messages for each block, as the error is reported once; users can set the variable.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise UnreadableImage(path, "is not a video that OpenCV can read")
        self.count = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        self.rate = float(self._capture.get(cv2.CAP_PROP_FPS)) or 25.0

    def frames(self, first: int = 0) -> Iterator[tuple[int, Image]]:
        """Yields the number and the pixels (H, W, 3), BGR, of each frame; may be called only once.

        Args:
            first: Number of the first frame to return; earlier frames are decoded and skipped.

        Raises:
            UnreadableImage: At the end, if the file claims to contain more frames.
        """
        number = 0
        while self._capture.grab():
            if number >= first:
                good, frame = self._capture.retrieve()
                if not good or frame is None:
                    break
                yield number, _colours(frame)
            number += 1
        missing = self.count - number
        if number == 0 or missing > max(1, _MISSING * self.count):
            raise UnreadableImage(self.path, f"ends early: {number:,} of {self.count:,} frames can be read")


def _colours(frame: object) -> Image:
    pixels = np.asarray(frame)
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(pixels).astype(np.uint8, copy=False)


class _VideoFile:
    """MP4 file that frames are added to."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate, self.count = path, rate, 0
        self.writer: cv2.VideoWriter | None = None

    def add(self, frame: Image) -> None:
        """Adds a frame of the same size as the first."""
        if self.writer is None:
            height, width = frame.shape[:2]
            fourcc = cv2.VideoWriter.fourcc(*"mp4v")
            self.writer = cv2.VideoWriter(str(self.path), fourcc, self.rate, (width, height))
            if not self.writer.isOpened():
                raise OSError(None, "this OpenCV cannot write .mp4", str(self.path))
        self.writer.write(frame)
        self.count += 1

    def close(self) -> None:
        """Completes the file; raises OSError if frames are missing, since OpenCV does not report a full disk."""
        if self.writer is not None:
            self.writer.release()
            if round(cv2.VideoCapture(str(self.path)).get(cv2.CAP_PROP_FRAME_COUNT)) != self.count:
                raise OSError(None, "cannot be written completely: is the disk full?", str(self.path))


@contextmanager
def film(path: Path, rate: float) -> Iterator[_VideoFile]:
    """Creates a video to add frames to; it replaces ``path`` when it is complete.

    Args:
        path: Output file, ending in ``.mp4``; its folders are created.
        rate: Frames per second.

    Raises:
        OSError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.tmp.mp4")
    made = _VideoFile(temporary, rate)
    try:
        yield made
        with naming(path):
            made.close()
            if made.count:
                temporary.replace(path)
    finally:
        if made.writer is not None:
            made.writer.release()
        temporary.unlink(missing_ok=True)
