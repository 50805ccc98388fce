"""Writing detections as DOTA's Task1 files, and the archive that its server takes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rotx.atomic import write_bytes, write_text
from rotx.data.formats import Detections


def write_task1(detections: Detections, folder: str | Path, *, archive: bool = False) -> None:
    """Writes ``Task1_<class>.txt`` files with ``image score x1 y1 ... x4 y4`` a line, best first.

    There is one for every class, also for those that were not found: the DOTA server needs all.

    Args:
        detections: in pixels of whole images, if they are for the server.
        folder: where the files go; made if it is not there.
        archive: also write ``Task1.zip``, the files ready to be sent.

    Raises:
        ValueError: for names that these files cannot hold; nothing is written then.
    """
    check_names(detections.images, detections.classes)
    files = {f"Task1_{name}.txt": _lines(detections, label) for label, name in enumerate(detections.classes)}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        write_text(folder / file, text)
    if archive:
        write_bytes(folder / "Task1.zip", _zip(files))


def check_names(images: Sequence[str], classes: Sequence[str]) -> None:
    """Raises ValueError for names of images or classes that Task1 files cannot hold."""
    for name in images:
        if len(name.split()) != 1:
            raise ValueError(f"image {name!r}: the format has no spaces in names, nor empty ones: give it another name")
    for name in classes:
        if "/" in name or "\\" in name:
            raise ValueError(f"class {name!r}: no name of a file: name it otherwise in the config")


def _lines(detections: Detections, label: int) -> str:
    rows = np.flatnonzero(detections.label == label)
    rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
    images = [detections.images[i] for i in detections.image[rows].tolist()]
    columns = zip(images, detections.scores[rows].tolist(), detections.quads[rows].tolist(), strict=True)
    # Nine digits tell all float32 apart: equal scores would be ranked by chance.
    return "".join(f"{image} {score:.9g} {' '.join(f'{v:.2f}' for v in quad)}\n" for image, score, quad in columns)


def _zip(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            # Without the time of writing: the same detections make the same archive.
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
