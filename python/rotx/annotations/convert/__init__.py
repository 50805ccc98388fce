"""Annotations from one format into another. Needs no torch.

Reads all formats of :func:`rotx.annotations.formats.read_annotations`, COCO's json, YOLO-OBB and labelme's json;
writes those of `FORMATS`. A report says how many images and objects there were, and what the target cannot hold.
"""

from __future__ import annotations

from pathlib import Path

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
    lenient: bool = False,
    jobs: int | None = None,
    progress: bool = False,
) -> ConversionReport:
    """Reads annotations, whose format is found by looking at them, and writes them in another format.

    ``out`` appears when it is complete. What this function has written there before is replaced; anything else is
    never touched.

    Args:
        source: a folder, file or archive of annotations.
        out: a folder that is new or empty; for ``coco`` a file ``.json``.
        to: one of `FORMATS`.
        images: the folder of the images, for their sizes; None: what the annotations say, or for YOLO the folder
            beside theirs. All formats but ``dota`` need sizes.
        lenient: skip and count what is wrong.
        jobs: number of threads; None: one a core.
        progress: show a bar.

    Raises:
        ValueError: for annotations that are wrong, names that the target cannot hold, a size that is not known, or
            an ``out`` that holds something else.
        OSError: if something cannot be read or written.
    """
    if to not in FORMATS:
        raise ValueError(f"--to: there is no format {to!r}: there are {', '.join(FORMATS)}")
    out = Path(out)
    check_target(out, to, Path(source))
    folder = None if images is None else Path(images)
    data = read(source, images=folder, lenient=lenient, jobs=jobs, progress=progress)
    if to != "dota":
        add_sizes(data, folder, lenient, progress)
    elif folder is not None and not any(data.paths):
        data.notices.append("--images: not needed, dota has no place for sizes")
    report = report_of(data, out)
    report.lost += write(data, out, to, jobs=jobs, progress=progress)
    return report
