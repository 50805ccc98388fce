"""Conversion of annotations between formats. Needs no torch.

Reads all formats of :func:`rotx.annotations.formats.read_annotations`, COCO JSON, YOLO-OBB and labelme JSON; writes
those of `FORMATS`. A report gives the numbers of images and objects, and what the target format cannot hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rotx.annotations.convert.class_numbers import set_classes
from rotx.annotations.convert.images import add_sizes
from rotx.annotations.convert.read import read
from rotx.annotations.convert.report import ConversionReport, report_of
from rotx.annotations.convert.target import check_target
from rotx.annotations.convert.write import FORMATS, write

__all__ = ["FORMATS", "ConversionReport", "convert", "read", "write"]


def convert(
    source: str | Path,
    out: str | Path,
    to: str,
    *,
    images: str | Path | None = None,
    classes: Sequence[str] | None = None,
    renames: Mapping[str, str] | None = None,
    lenient: bool = False,
    jobs: int | None = None,
    progress: bool = False,
) -> ConversionReport:
    """Detects the format of annotations, reads them, and writes them in another format.

    ``out`` appears when it is complete. It replaces an earlier output of this function, and nothing else.

    Args:
        source: Folder, file or archive of annotations.
        out: A new or empty folder; for ``coco`` the path of a ``.json`` file.
        to: Format to write, one of `FORMATS`.
        images: Folder of the images, to read their sizes from; None: take the sizes from the annotations, or for YOLO
            the folder beside the labels. All formats but ``dota`` need sizes.
        classes: Names of the classes to keep, in the order of their numbers; None: all, in the order of a source that
            numbers them, otherwise sorted.
        renames: New name of each class to rename; classes of one new name become one.
        lenient: Whether to skip and count errors instead of raising.
        jobs: Number of threads; None: one per core.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: For invalid annotations, names that the target cannot hold, an unknown image size, or an ``out``
            that holds other files.
        OSError: If a file cannot be read or written.
    """
    if to not in FORMATS:
        raise ValueError(f"--to: unknown format {to!r}; choose one of {', '.join(FORMATS)}")
    out = Path(out)
    check_target(out, to, Path(source))
    folder = None if images is None else Path(images)
    data = read(source, images=folder, lenient=lenient, jobs=jobs, progress=progress)
    set_classes(data, classes, renames or {}, to)
    if to != "dota":
        add_sizes(data, folder, lenient, progress)
    elif folder is not None and not any(data.paths):
        data.notices.append("--images: not needed, dota stores no sizes")
    report = report_of(data, out)
    report.lost += write(data, out, to, jobs=jobs, progress=progress)
    return report
