"""Finds the inputs of a run: image files, folders, glob patterns such as ``"*.png"``, and videos."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rotx.images.files import SUFFIXES

#: Suffixes of video files, case-insensitive.
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")


@dataclass(frozen=True)
class InputFile:
    """Image or video file to process.

    Attributes:
        path: Path of the file.
        name: Name in the results: the path below the given folder, with ``/``, without the suffix.
    """

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        """Whether the file is a video, which is processed frame by frame."""
        return self.path.suffix.lower() in VIDEOS

    @cached_property
    def stamp(self) -> tuple[int, int]:
        """Size in bytes and modification time at the first access, which tell a later run if the file has changed."""
        try:
            status = self.path.stat()
        except OSError:
            return 0, 0  # opening the file will report the error
        return status.st_size, status.st_mtime_ns


def find_inputs(words: Sequence[str], leave_out: Sequence[Path] = ()) -> tuple[list[InputFile], list[str]]:
    """Returns the input files of command line arguments, and notices for the user.

    A file may have any suffix. Folders, searched recursively, and patterns give their images and videos, sorted. A file
    that is given several times is processed once.

    Args:
        words: Files, folders or glob patterns.
        leave_out: Folders of results, which folders and patterns do not search.

    Raises:
        ValueError: If an argument matches nothing, or two files share a name.
        OSError: If a folder cannot be listed.
    """
    found: dict[Path, InputFile] = {}
    twice = 0
    results = [path.resolve() for path in leave_out]
    for word in words:
        count = 0
        for one in _meant_by(word):
            real = one.path.resolve()
            if Path(word).is_file() or not any(folder in real.parents for folder in results):
                count += 1
                twice += real in found
                found.setdefault(real, one)
        if count == 0:
            what = "contains no image or video" if Path(word).is_dir() else "matches no image or video"
            besides = f", besides those in {leave_out[0]}" if leave_out else ""
            raise ValueError(f"{word}: {what}{besides} ({' '.join(SUFFIXES + VIDEOS)})")
    inputs = list(found.values())
    _check_names(inputs)
    return inputs, [f"{twice:,} files are given more than once and processed once"] if twice else []


def _meant_by(word: str) -> Iterator[InputFile]:
    path = Path(word)
    if not word:  # as a path it would be the current folder
        raise ValueError("one of INPUTS is empty: give a file, a folder or a pattern")
    if path.is_dir():
        yield from _below(path)
    elif path.exists():
        yield InputFile(path, path.stem)
    elif glob.has_magic(word):
        base = _fixed_part(path)
        for match in sorted(map(Path, glob.iglob(word, recursive=True))):  # noqa: PTH207 - pathlib's glob rejects absolute patterns
            if match.suffix.lower() in SUFFIXES + VIDEOS and not match.is_dir():
                name = match.relative_to(base).with_suffix("")
                # Outputs get this name: ".." would lead out of their folder.
                yield InputFile(match, match.stem if ".." in name.parts else name.as_posix())
    else:
        raise ValueError(f"{word}: no such file or folder")


def _fixed_part(pattern: Path) -> Path:
    """Returns the folder that contains all matches of a pattern."""
    base = Path(pattern.anchor)
    for part in pattern.relative_to(base).parts[:-1]:
        if glob.has_magic(part):
            break
        base /= part
    return base


def _below(top: Path) -> Iterator[InputFile]:
    """Yields images and videos in a folder, recursively and sorted; follows links, but visits each folder once."""

    def refuse(error: OSError) -> None:
        raise error

    seen: set[Path] = set()
    paths: list[Path] = []
    for folder, folders, files in os.walk(top, onerror=refuse, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(folder, name) for name in files if not name.startswith(".")]
    for path in sorted(paths):
        if path.suffix.lower() in SUFFIXES + VIDEOS:
            yield InputFile(path, path.relative_to(top).with_suffix("").as_posix())


def frame_name(video: InputFile, number: int) -> str:
    """Returns the name of a video frame in the results."""
    return f"{video.name}_{number:06d}"


def _check_names(inputs: Sequence[InputFile]) -> None:
    first: dict[str, Path] = {}
    videos = {one.name: one.path for one in inputs if one.is_video}
    for one in inputs:
        try:
            one.name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{str(one.path)!a}: the file's name is not UTF-8; rename it") from None
        if one.name in first:
            raise ValueError(
                f"{first[one.name]} and {one.path}: both would be named '{one.name}' in the results: rename one, "
                "or give their common parent folder"
            )
        first[one.name] = one.path
        frame = re.fullmatch(r"(.*)_(\d{6}|[1-9]\d{6,})", one.name, re.DOTALL)
        if frame and not one.is_video and frame[1] in videos:
            raise ValueError(
                f"{one.path} and {videos[frame[1]]}: the image and a frame of the video would both be named "
                f"'{one.name}' in the results: rename one, or process them separately with different --out"
            )
