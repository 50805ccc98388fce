"""Writing detections as DOTA's Task1 files, in a folder or in the .zip archive that the server takes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rotx import _rust
from rotx.atomic import remove_leftovers, write_bytes
from rotx.records import InstanceTable


def write_task1(detections: InstanceTable, folder: str | Path) -> None:
    """Writes ``Task1_<class>.txt`` files with lines ``image score x1 y1 ... x4 y4``, best first.

    Every class gets a file, even without detections: the DOTA server needs all of them. Scores are written so that
    reading them gives the same numbers; coordinates are exact to a millionth of a pixel.

    Args:
        detections: Detections; for the server, in pixels of the whole images.
        folder: Folder to write to; made if it does not exist.

    Raises:
        ValueError: For names that these files cannot hold; nothing is written then.
        OSError: If a file cannot be written.
    """
    check_names(detections.images, detections.classes)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _files(detections):
        _write(folder / name, text)


def write_task1_zip(detections: InstanceTable, path: str | Path) -> None:
    """Writes the files of `write_task1` as a .zip archive ready for submission; raises the same errors."""
    check_names(detections.images, detections.classes)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, _zip(_files(detections)))


def check_names(images: Sequence[str], classes: Sequence[str]) -> None:
    """Raises ValueError for names of images or classes that Task1 files cannot hold."""
    for name in images:
        if len(name.split()) != 1:
            raise ValueError(f"image {name!r}: the name is empty or contains spaces; rename it")
    for name in classes:
        odd = any(c in "/\\" or ord(c) < 32 for c in name) or len(name.encode(errors="replace")) > 200
        if odd or not name.strip(". "):
            raise ValueError(f"class {name!r}: cannot be a file name; rename it in the config")


def check_target(out: str | Path, results: str | Path, classes: Sequence[str]) -> None:
    """Raises ValueError if Task1 files of other results must not be written to ``out``.

    This is the case if ``results`` are read from there, or if it holds files of other classes, which would be scored or
    submitted along with the new ones.
    """
    out, read = Path(out), Path(results)
    if out.exists() and out.is_dir() == (out.suffix.lower() == ".zip"):
        what = "a folder" if out.is_dir() else "not a folder"
        raise ValueError(f"{out}: is {what}; name a folder, or a .zip archive")
    sources = [read, read / "Task1", read / "results", *(path for path in read.parents if path.is_file())]
    if out.exists() and any(path.exists() and path.samefile(out) for path in sources):
        raise ValueError(f"{out}: the results are read from here; name another output")
    names = {file_name(name) for name in classes}
    if other := sorted(path.name for path in out.glob("Task1_*.txt") if path.name not in names):
        many = f" and {len(other) - 1} more" if len(other) > 1 else ""
        raise ValueError(f"{out}: holds {other[0]}{many}, of other classes: remove them, or name another folder")


def _write(path: Path, content: bytes | memoryview) -> None:
    remove_leftovers(path)
    write_bytes(path, content)


def file_name(label: str) -> str:
    """Name of the file of a class."""
    return f"Task1_{label}.txt"


def _files(detections: InstanceTable) -> Iterator[tuple[str, bytes]]:
    d, quads = detections, detections.quads
    for label, name in enumerate(d.classes):
        yield file_name(name), _rust.write_task1(d.images, quads, d.scores, d.image, d.label, label)


def _zip(files: Iterator[tuple[str, bytes]]) -> memoryview:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files:
            # No timestamps: the same detections give the same archive.
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return buffer.getbuffer()
