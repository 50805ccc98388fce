"""The text files of a folder or an archive. Archives are read member by member, never unpacked to disk.

Whatever is unsafe in an archive is refused: members outside it, links, duplicate names, encryption, and
sizes that only a decompression bomb has. All is read through a bound, whatever the headers claim.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

MEMBER_LIMIT = 1 << 30
TOTAL_LIMIT = 4 << 30
RATIO_LIMIT = 1000
RATIO_FROM = 16 << 20
"""A compression ratio over the limit is a bomb only in what is larger than this."""

_SUFFIXES = (".txt", ".xml")
_NOTES = {"readme", "license", "licence", "notes", "classes", "source"}
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")


class FormatError(ValueError):
    """A file that cannot be used, for a reason the user can mend. Its text is the one clear message."""


@dataclass(frozen=True)
class File:
    """A text file, by path or already in memory."""

    name: str
    """Its name without folders."""
    shown: str
    """Its name in messages."""
    data: Path | bytes

    @property
    def stem(self) -> str:
        """The name without the suffix."""
        return PurePosixPath(self.name).stem

    def head(self, size: int = 1 << 16) -> bytes:
        """The first bytes; empty if it cannot be read (reading it in full will say why)."""
        if isinstance(self.data, bytes):
            return self.data[:size]
        try:
            if not self.data.is_file():
                return b""
            with self.data.open("rb") as file:
                return file.read(size)
        except OSError:
            return b""


def read_files(path: Path, subfolders: Sequence[str], prefix: str = "") -> tuple[list[File], list[str]]:
    """The ``.txt`` and ``.xml`` files of a folder or an archive, sorted by name, and the names of all others.

    Of several folders in it, the one is taken whose files start with ``prefix``, or else the one called as
    one of ``subfolders``; of a folder on disk only these sub-folders are looked into. A folder in an archive
    may also be named outright, as in ``results.zip/Task1``. Hidden files, and notes such as ``README.txt``,
    do not count.

    Raises:
        FormatError: if there is no such folder or archive, or nothing in it, or it is not safe to read.
    """
    archive = next((p for p in (path, *path.parents) if p.name.lower().endswith(_ARCHIVES)), None)
    with _clear_errors(path):
        if path.is_dir():
            groups, others = _list_folder(path, subfolders)
        elif archive and archive.is_file():
            groups, others = _read_archive(archive, path.relative_to(archive).as_posix())
        elif path.is_file():
            raise FormatError(f"{path}: need a folder or an archive ({', '.join(_ARCHIVES)})")
        elif path.is_symlink():
            raise FormatError(f"{path}: is a symbolic link to nothing")
        elif path.exists():
            raise FormatError(f"{path}: is neither a folder nor a regular file")
        else:
            raise FormatError(f"{path}: no such file or folder")
    return _choose(path, groups, subfolders, prefix), others


def read_text(path: Path) -> File:
    """A ``.txt`` file, or the content of a ``.txt.gz``.

    Raises:
        FormatError: if it is broken or too large.
    """
    if not path.name.lower().endswith(".gz"):
        return File(path.name, str(path), path)
    with _clear_errors(path), gzip.open(path) as file:
        content = _Bounded(file, str(path), path.stat().st_size).read()
    return File(path.name[:-3], str(path), content)


def is_text(path: Path) -> bool:
    """Whether this is one file of text, packed or not, by its name."""
    return path.name.lower().endswith((".txt", ".txt.gz")) and path.is_file()


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FormatError:
        raise
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else path
        raise FormatError(f"{where}: cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise FormatError(f"{path}: broken archive: {error or 'it ends too early'}") from None
    except (NotImplementedError, RuntimeError, ValueError) as error:
        raise FormatError(f"{path}: cannot be read: {error}") from None


_Groups = dict[str, list[File]]


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name.lower())
    return path.suffix in _SUFFIXES and path.stem not in _NOTES


def _list_folder(path: Path, subfolders: Sequence[str]) -> tuple[_Groups, list[str]]:
    groups: _Groups = {}
    others = []
    for folder in (path, *(path / name for name in subfolders)):
        if not folder.is_dir():
            continue
        group = groups.setdefault("" if folder == path else folder.name, [])
        for item in folder.iterdir():
            if _is_wanted(item.name) and not item.name.startswith("."):
                group.append(File(item.name, str(item), item))
            elif folder == path and not item.name.startswith(".") and not item.is_dir():
                others.append(item.name)
    return groups, sorted(others)


def _choose(path: Path, groups: _Groups, subfolders: Sequence[str], prefix: str) -> list[File]:
    filled = {name: files for name, files in groups.items() if files}
    if not filled:
        raise FormatError(f"{path}: no .txt or .xml file in it, nor in a sub-folder {' or '.join(subfolders)}")
    begun = [name for name in filled if any(file.name.startswith(prefix) for file in filled[name])]
    named = [name for name in filled if PurePosixPath(name).name in subfolders]
    for names in (begun, named):
        if len(names) == 1:
            filled = {names[0]: filled[names[0]]}
            break
    if len(filled) > 1:
        folders = ", ".join(f"'{name}'" for name in sorted(filled)[:5])
        raise FormatError(f"{path}: files in more than one folder ({folders}): give the one you mean")
    (files,) = filled.values()
    for file in files:
        try:
            file.shown.encode()
        except UnicodeEncodeError:
            raise FormatError(f"{file.shown!a}: the file's name is not UTF-8") from None
    return sorted(files, key=lambda file: file.name)


class _Bounded(io.RawIOBase):
    """Reads what a decompressor gives, and stops where a bomb shows."""

    def __init__(self, file: Any, shown: str, packed: int, limit: int = MEMBER_LIMIT) -> None:
        self._file, self._shown, self._limit = file, shown, limit
        self._ratio_limit = max(RATIO_FROM, RATIO_LIMIT * packed)
        self._total = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        blocks = []
        while size:
            block = self._file.read(min(size, 1 << 20) if size > 0 else 1 << 20)
            if not block:
                break
            self._total += len(block)
            check_size(self._shown, self._total, self._limit, self._ratio_limit)
            blocks.append(block)
            size -= len(block) if size > 0 else 0
        return b"".join(blocks)


def check_size(shown: str, size: int, limit: int, ratio_limit: int) -> None:
    """Raises FormatError for a size that a set of text files does not have."""
    if size > limit:
        raise FormatError(f"{shown}: unpacks to more than {limit >> 30} GiB: refused")
    if size > ratio_limit:
        raise FormatError(f"{shown}: unpacks to more than {RATIO_LIMIT} times its size: refused as a zip bomb")


def _read_archive(path: Path, folder: str) -> tuple[_Groups, list[str]]:
    """The files by folder, of one folder alone if it is named, and the names of the members passed over."""
    groups: _Groups = {}
    others: list[str] = []
    seen: set[str] = set()

    def add(name: str, read: Callable[[], bytes]) -> None:
        _check_member(path, name, seen)
        member = PurePosixPath(name)
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in member.parts)
        if hidden or folder not in (".", str(member.parent)):
            return
        if not _is_wanted(member.name):
            others.append(name)
            return
        group = groups.setdefault("" if str(member.parent) == "." else str(member.parent), [])
        group.append(File(member.name, f"{path}/{name}", read()))

    if path.name.lower().endswith(".zip"):
        _read_zip(path, add)
    else:
        _read_tar(path, add)
    return groups, sorted(others)


def _check_member(path: Path, name: str, seen: set[str]) -> None:
    if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        raise FormatError(f"{path}: member {name!r} points outside the archive: refused")
    if name in seen:
        raise FormatError(f"{path}: member {name!r} is there twice")
    seen.add(name)


def _read_zip(path: Path, add: Callable[[str, Callable[[], bytes]], None]) -> None:
    with zipfile.ZipFile(path) as archive:
        total = 0
        for info in archive.infolist():
            if info.is_dir():
                continue
            shown = f"{path}/{info.filename}"
            if info.flag_bits & 1:
                raise FormatError(f"{shown}: is encrypted")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise FormatError(f"{shown}: is a link: refused")
            total += info.file_size
            ratio_limit = max(RATIO_FROM, RATIO_LIMIT * info.compress_size)
            check_size(shown, info.file_size, MEMBER_LIMIT, ratio_limit)
            check_size(str(path), total, TOTAL_LIMIT, TOTAL_LIMIT)

            def read(info: zipfile.ZipInfo = info, shown: str = shown) -> bytes:
                with archive.open(info) as file:
                    return _Bounded(file, shown, info.compress_size).read()

            add(info.filename, read)


def _unpacker(path: Path) -> Any:
    name = path.name.lower()
    if name.endswith((".gz", ".tgz")):
        return gzip.open(path)
    if name.endswith((".xz", ".txz")):
        return lzma.open(path)
    return bz2.open(path) if name.endswith(".bz2") else path.open("rb")


def _read_tar(path: Path, add: Callable[[str, Callable[[], bytes]], None]) -> None:
    with _unpacker(path) as packed:
        # Everything that tarfile reads goes through the bound, its own headers too.
        bounded = _Bounded(packed, str(path), path.stat().st_size, TOTAL_LIMIT)
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for info in archive:
                shown = f"{path}/{info.name}"
                if info.isdir():
                    continue
                if not info.isreg() or info.issparse():
                    raise FormatError(f"{shown}: is a link or no regular file: refused")
                check_size(shown, info.size, MEMBER_LIMIT, MEMBER_LIMIT)

                def read(info: tarfile.TarInfo = info) -> bytes:
                    file = archive.extractfile(info)
                    return file.read() if file else b""

                add(info.name.removeprefix("./"), read)
