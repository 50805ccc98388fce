"""Text files of an archive, read into memory member by member and never unpacked to disk.

Unsafe archives are refused: members outside the archive, links, duplicate names, encryption, and the sizes of
decompression bombs. All reads are bounded, whatever the headers claim.
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
from pathlib import Path, PurePosixPath
from typing import Any

MEMBER_LIMIT = 1 << 30
TOTAL_LIMIT = 4 << 30
RATIO_LIMIT = 1000
RATIO_FROM = 16 << 20
"""Members up to this size are not checked for the compression ratio of a bomb."""

Groups = dict[str, list[tuple[str, bytes]]]
"""Files of each folder: name and content."""
_Add = Callable[[str, Callable[[], bytes]], None]


class ArchiveError(ValueError):
    """An archive that is broken or not safe to read."""


def read_archive(
    path: Path, folder: str, subfolders: Sequence[str], is_wanted: Callable[[str], bool]
) -> tuple[Groups, list[str]]:
    """Reads the files of an archive by folder; also returns the names of the members that were skipped.

    Args:
        path: Path of a .zip, or of a .tar, plain or compressed with gzip, xz or bzip2.
        folder: Folder in the archive to read; ``"."``: all folders.
        subfolders: Names of folders in ``folder`` that are read, too.
        is_wanted: Tells by its name whether to read a file.

    Raises:
        ArchiveError: If the archive is broken or not safe to read.
    """
    groups: Groups = {}
    others: list[str] = []
    seen: set[str] = set()

    def add(name: str, read: Callable[[], bytes]) -> None:
        _check_name(path, name, seen)
        member = PurePosixPath(name.replace("\\", "/"))  # some programs write Windows' separators
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in member.parts)
        if hidden or (folder != "." and str(member.parent) not in (folder, *(f"{folder}/{sub}" for sub in subfolders))):
            return
        if is_wanted(member.name):
            parent = "" if str(member.parent) == "." else str(member.parent)
            groups.setdefault(parent, []).append((member.name, read()))
        else:
            others.append(name)

    with _clear_errors(path):
        if path.name.lower().endswith(".zip"):
            _read_zip(path, add)
        else:
            _read_tar(path, add)
    return groups, sorted(others)


def read_gzip(path: Path) -> bytes:
    """Decompresses a gzip file.

    Raises:
        ArchiveError: If it is broken or too large.
    """
    with _clear_errors(path), gzip.open(path) as file:
        return _Bounded(file, str(path), path.stat().st_size, MEMBER_LIMIT).read()


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except ArchiveError:
        raise
    except (
        *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile),
        *(zlib.error, lzma.LZMAError, EOFError),
    ) as error:
        raise ArchiveError(f"{path}: broken archive: {error or 'it ends too early'}") from None
    except (NotImplementedError, RuntimeError, ValueError) as error:
        raise ArchiveError(f"{path}: cannot be read: {error}") from None


def _check_name(path: Path, name: str, seen: set[str]) -> None:
    if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        raise ArchiveError(f"{path}: member {name!r} points outside the archive: refused")
    if name in seen:
        raise ArchiveError(f"{path}: member {name!r} occurs twice: refused")
    seen.add(name)


def _check_size(shown: str, size: int, limit: int, packed: int) -> None:
    if size > limit:
        raise ArchiveError(f"{shown}: unpacks to more than {limit >> 30} GiB: refused")
    if size > max(RATIO_FROM, RATIO_LIMIT * packed):
        raise ArchiveError(f"{shown}: unpacks to more than {RATIO_LIMIT} times its size, a zip bomb: refused")


class _Bounded(io.RawIOBase):
    """Reader of decompressed data that stops at the first sign of a decompression bomb."""

    def __init__(self, file: Any, shown: str, packed: int, limit: int) -> None:
        self._file, self._shown, self._packed, self._limit = file, shown, packed, limit
        self._total = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        blocks = []
        while size:
            block = self._file.read(1 << 20 if size < 0 else min(size, 1 << 20))
            if not block:
                break
            self._total += len(block)
            _check_size(self._shown, self._total, self._limit, self._packed)
            blocks.append(block)
            size -= len(block) if size > 0 else 0
        return b"".join(blocks)


def _read_zip(path: Path, add: _Add) -> None:
    with zipfile.ZipFile(path) as archive:
        total = 0
        for info in archive.infolist():
            if info.is_dir():
                continue
            shown = f"{path}/{info.filename}"
            if info.flag_bits & 1:
                raise ArchiveError(f"{shown}: is encrypted")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise ArchiveError(f"{shown}: is a link: refused")
            total += info.file_size
            _check_size(shown, info.file_size, MEMBER_LIMIT, info.compress_size)
            _check_size(str(path), total, TOTAL_LIMIT, TOTAL_LIMIT)

            def read(info: zipfile.ZipInfo = info, shown: str = shown) -> bytes:
                with archive.open(info) as file:
                    return _Bounded(file, shown, info.compress_size, MEMBER_LIMIT).read()

            add(info.filename, read)


def _read_tar(path: Path, add: _Add) -> None:
    with _unpacker(path) as packed:
        # All reads of tarfile are bounded, including those of its headers.
        bounded = _Bounded(packed, str(path), path.stat().st_size, TOTAL_LIMIT)
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for info in archive:
                shown = f"{path}/{info.name}"
                if info.isdir():
                    continue
                if not info.isreg() or info.issparse():
                    raise ArchiveError(f"{shown}: is a link or not a regular file: refused")
                _check_size(shown, info.size, MEMBER_LIMIT, MEMBER_LIMIT)

                def read(info: tarfile.TarInfo = info) -> bytes:
                    file = archive.extractfile(info)
                    return file.read() if file else b""

                add(info.name.removeprefix("./"), read)


def _unpacker(path: Path) -> Any:
    name = path.name.lower()
    if name.endswith((".gz", ".tgz")):
        return gzip.open(path)
    if name.endswith((".xz", ".txz")):
        return lzma.open(path)
    return bz2.open(path) if name.endswith(".bz2") else path.open("rb")
