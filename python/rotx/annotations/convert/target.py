"""The output of a conversion: a folder or file that appears when it is complete, and replaces only earlier outputs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rotx.annotations.files import FormatError
from rotx.atomic import OutputLock

#: The first bytes of a file, and the name of a file in a folder, that mark outputs of ``rotx convert``.
HEAD = b'{"info": {"description": "made by rotx convert"}'
MARK = ".rotx-convert.json"

_ANOTHER = "name another place, or remove this one"


def check_target(out: Path, to: str, source: Path | None = None) -> None:
    """Raises FormatError unless ``out`` is new, empty, or an unchanged output of an earlier conversion.

    ``out`` must neither be the ``source`` nor contain it.
    """
    if to == "coco" and out.suffix.lower() != ".json":
        raise FormatError(f"{out}: coco is one file: need a name that ends with .json")
    if out.exists() and out.samefile("."):
        raise FormatError(f"{out}: is the current folder: name a folder in it")
    if out.exists() and out.is_dir() == (to == "coco"):
        raise FormatError(f"{out}: is a {'folder' if out.is_dir() else 'file'}; name a {_kind(to)}")
    if source and out.exists() and any(path.exists() and path.samefile(out) for path in (source, *source.parents)):
        raise FormatError(f"{out}: the annotations are read from here; name another output")
    if out.is_dir():
        _check_folder(out)
    elif out.exists() and not _head(out).startswith(HEAD):
        raise FormatError(f"{out}: exists, and was not written by rotx convert: {_ANOTHER}")


def _kind(to: str) -> str:
    return "file" if to == "coco" else "folder"


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(len(HEAD))


def _check_folder(folder: Path) -> None:
    files = [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]
    if not files:
        return
    mark = folder / MARK
    try:
        count, when = json.loads(mark.read_bytes())["files"], mark.stat().st_mtime_ns
    except (OSError, ValueError, TypeError, KeyError):
        first = min(files).relative_to(folder)
        raise FormatError(f"{folder}: holds other files, such as {first}: {_ANOTHER}") from None
    changed = [file for file in files if file.stat().st_mtime_ns > when]
    if changed or len(files) != count + 1:
        what = f"{min(changed).relative_to(folder)} is newer" if changed else f"{len(files) - 1:,} files, not {count:,}"
        raise FormatError(f"{folder}: has been changed since rotx convert wrote it ({what}): {_ANOTHER}")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Context with a folder beside ``out`` to fill: it replaces ``out`` at the end, or is removed after an error.

    The files are not synced to disk: that would take longer than converting again after a power failure.

    Raises:
        ValueError: If another run is writing ``out``.
        OSError: If the folder cannot be made.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.rotx-convert.tmp")
    folder.mkdir(exist_ok=True)
    lock = OutputLock(folder.with_name(f"{folder.name}.lock"), out)
    try:
        _empty(folder)
        yield folder
        count = sum(len(names) for _, _, names in os.walk(folder))
        (folder / MARK).write_text(json.dumps({"made_by": "rotx convert", "files": count}) + "\n")
        _put(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.release()


def _empty(folder: Path) -> None:
    """Removes the leftovers of a killed run."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _put(folder: Path, out: Path) -> None:
    """Replaces a folder by another one; the old one is removed."""
    old = out.with_name(f".{out.name}.rotx-convert.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    try:
        folder.rename(out)
    except BaseException:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
