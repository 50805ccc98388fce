"""Finding and opening the text files of a folder or an archive."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

#: Suffixes of label files that the readers in Rust know.
SUFFIXES = (".txt", ".xml", ".gt")
_NOTES = {"readme", "license", "licence", "notes", "classes", "source"}
#: Suffixes of archives.
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")


class FormatError(ValueError):
    """A file that cannot be used for a reason that the user can fix; the text is a one-line message."""


@dataclass(frozen=True)
class File:
    """A text file, by path or already in memory."""

    name: str
    """Name of the file, without folders."""
    shown: str
    """Name of the file in messages."""
    data: Path | bytes

    @property
    def stem(self) -> str:
        """The name without the suffix."""
        return PurePosixPath(self.name).stem

    def open(self) -> BinaryIO:
        """Opens the file for reading.

        Raises:
            OSError: If it cannot be opened, or is not a regular file.
        """
        if isinstance(self.data, bytes):
            return io.BytesIO(self.data)
        if self.data.exists() and not self.data.is_file():
            raise OSError(errno.EINVAL, "is not a regular file")
        return self.data.open("rb")

    def read(self) -> bytes:
        """Returns the content; raises as `open` does."""
        with self.open() as file:
            return file.read()

    def head(self, size: int = 1 << 16) -> bytes:
        """Returns the first bytes; empty if the file cannot be read (reading all of it reports why)."""
        if isinstance(self.data, bytes):
            return self.data[:size]
        try:
            if not self.data.is_file():
                return b""
            with self.data.open("rb") as file:
                return file.read(size)
        except OSError:
            return b""


Groups = dict[str, list[File]]
"""Files by their folder."""


def is_archive(path: Path) -> bool:
    """Whether a path is an archive, or a folder in one, as in ``results.zip/Task1``."""
    return _archive(path) is not None


def _archive(path: Path) -> Path | None:
    found = next((p for p in (path, *path.parents) if p.name.lower().endswith(ARCHIVES)), None)
    return found if found and found.is_file() else None


def read_files(
    path: Path,
    subfolders: Sequence[str],
    prefix: str | None = None,
    suffixes: tuple[str, ...] = SUFFIXES,
    required: bool = True,
) -> tuple[list[File], list[str]]:
    """Finds the label files of a folder or archive, sorted by name, and all other names.

    Of several folders, the one whose files start with ``prefix`` is taken, else the one with a name in
    ``subfolders``; on disk, and in a folder of an archive (``results.zip/Task1``), only these subfolders are searched.
    Hidden files, and notes such as ``README.txt``, are ignored.

    Args:
        path: Folder, archive, or folder in an archive.
        subfolders: Usual names of the folder of the files.
        prefix: Prefix of the file names.
        suffixes: Suffixes of the file names.
        required: Whether it is an error if there is no such file.

    Raises:
        FormatError: If the path does not exist, holds no such file, or is not safe to read.
    """
    archive = _archive(path)

    def wanted(name: str) -> bool:
        return is_wanted(name, suffixes)

    with clear_errors(path):
        if path.is_dir():
            groups, others = _list_folder(path, subfolders, wanted)
        elif archive:
            groups, others = _unpack(archive, path.relative_to(archive).as_posix(), subfolders, wanted)
        elif path.is_file():
            raise FormatError(f"{path}: need a folder or an archive ({', '.join(ARCHIVES)})")
        else:
            raise _no_file(path)
    if not required and not any(groups.values()):
        return [], others
    return _choose(path, groups, others, subfolders, prefix, suffixes), others


def read_text(path: Path) -> File | None:
    """Reads one text file, decompressed if it is a ``.txt.gz``; None if the path has another suffix.

    Raises:
        FormatError: If the file is missing, broken or too large.
    """
    name = path.name.lower()
    with clear_errors(path):
        if not name.endswith((".txt", ".txt.gz")) or path.is_dir():
            return None
        if not path.is_file():
            raise _no_file(path)
        if name.endswith(".txt"):
            return File(path.name, str(path), path)
        return File(path.name[:-3], str(path), _unpack_text(path))


def is_wanted(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether a file of this name may hold labels; ``README.roboflow.txt`` and the like do not."""
    words = name.lower().split(".")
    return f".{words[-1]}" in suffixes and words[0] not in _NOTES and not name.startswith(".")


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turns operating system errors into one-line FormatErrors."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else path
        raise FormatError(f"{where}: cannot be read: {error.strerror or error}") from None


def _no_file(path: Path) -> FormatError:
    if path.is_symlink():
        return FormatError(f"{path}: is a broken symbolic link")
    if path.exists():
        return FormatError(f"{path}: is neither a folder nor a regular file")
    return FormatError(f"{path}: no such file or folder")


def _list_folder(path: Path, subfolders: Sequence[str], wanted: Callable[[str], bool]) -> tuple[Groups, list[str]]:
    groups: Groups = {}
    others = []
    for folder in (path, *(path / name for name in subfolders)):
        if not folder.is_dir():
            continue
        group = groups.setdefault(folder.name if folder != path else "", [])
        for item in folder.iterdir():
            if wanted(item.name):
                group.append(File(item.name, str(item), item))
            elif folder == path and not item.name.startswith(".") and not item.is_dir():
                others.append(item.name)
    return groups, sorted(others)


def _unpack(
    path: Path, folder: str, subfolders: Sequence[str], wanted: Callable[[str], bool]
) -> tuple[Groups, list[str]]:
    from rotx.annotations import archives  # few runs need it

    try:
        packed, others = archives.read_archive(path, folder, subfolders, wanted)
    except archives.ArchiveError as error:
        raise FormatError(str(error)) from None
    groups = {}
    for parent, files in packed.items():
        shown = f"{path}/{parent}" if parent else str(path)
        groups[parent] = [File(name, f"{shown}/{name}", content) for name, content in files]
    return groups, others


def _unpack_text(path: Path) -> bytes:
    from rotx.annotations import archives

    try:
        return archives.read_gzip(path)
    except archives.ArchiveError as error:
        raise FormatError(str(error)) from None


def _choose(
    path: Path,
    groups: Groups,
    others: Sequence[str],
    subfolders: Sequence[str],
    prefix: str | None,
    suffixes: Sequence[str],
) -> list[File]:
    filled = {name: files for name, files in groups.items() if files}
    if not filled:
        kinds = " or ".join(suffixes[:2])
        text = f"{path}: no {kinds} file in it, nor in a sub-folder {' or '.join(subfolders)}"
        if packed := [name for name in others if name.lower().endswith(ARCHIVES)]:
            raise FormatError(f"{text}; it holds archives: unpack {', '.join(packed[:5])} first")
        raise FormatError(text)
    begun = [name for name in filled if prefix and any(f.name.startswith(prefix) for f in filled[name])]
    named = [name for name in filled if PurePosixPath(name).name in subfolders]
    chosen = next((names for names in (begun, named, list(filled)) if len(names) == 1), None)
    if chosen is None:
        folders = ", ".join(f"'{name or '.'}'" for name in sorted(filled)[:5])
        one = path / min(filled)
        raise FormatError(f"{path}: files in more than one folder ({folders}): give the one you mean, as {one}")
    files = filled[chosen[0]]
    for file in files:
        try:
            file.shown.encode()
        except UnicodeEncodeError:
            raise FormatError(f"{file.shown!a}: the file's name is not UTF-8") from None
    return sorted(files, key=lambda file: file.name)
