"""Reading annotations and detection results of whole datasets into arrays, in Rust. Needs no torch.

Annotations: DOTA ``labelTxt``, VOC-style xml (DIOR-R, HRSC2016, roLabelImg), ICDAR 2015 ground truth, the labels of
UCAS-AOD and MSRA-TD500, and one file for many images (flat, or as GGHL writes HRSC2016 and SSDD). Results: DOTA
Task1 and Task2, ICDAR. The format is detected from the files. An error is a one-line `FormatError` with file, line,
text and reason; with ``lenient``, errors are skipped and counted instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx import _rust
from rotx.annotations.files import FormatError
from rotx.annotations.limits import check_pixels
from rotx.annotations.sniff import AnnotationFiles, annotation_files, nearest, result_files
from rotx.boxes import BoxKind
from rotx.geometry import thread_count
from rotx.records import FileProblem, InstanceTable

#: Number of problems that are listed in the notices.
_SHOWN = 20

__all__ = ["FormatError", "read_annotations", "read_detections", "read_names"]


def read_annotations(
    path: str | Path,
    *,
    classes: Sequence[str] | None = None,
    images: str | Path | None = None,
    lenient: bool = False,
    kept: int = 20,
    jobs: int | None = None,
    files: AnnotationFiles | None = None,
) -> InstanceTable:
    """Reads the annotations of a dataset.

    Args:
        path: A folder, perhaps with a subfolder ``labelTxt``; a .zip or .tar[.gz|.xz|.bz2] archive, perhaps followed by
            a folder in it; or a .txt or .txt.gz file for many images.
        classes: Class names in the order of the labels; objects of other classes are left out and counted. None: all
            classes, in order of appearance in the files sorted by name.
        images: File that lists the images to read, one name per line. None: all images.
        lenient: Whether to skip and count errors instead of raising.
        kept: Number of problems to keep with their text; further ones are only counted.
        jobs: Number of threads; None: one per core.
        files: Files at ``path``, if :func:`rotx.annotations.sniff.annotation_files` has found them already.

    Raises:
        FormatError: For the first error, unless ``lenient``; always if nothing can be read, or if all coordinates are
            fractions of the image's sides.
    """
    path = Path(path)
    wanted = None if images is None else _read_list(Path(images))
    have = files or annotation_files(path)
    notices = list(have.notices)
    found = _call(
        _rust.read_annotations,
        have.format,
        _with_subjects(have),
        have.subjects or None,
        _list(classes),
        kept if lenient else None,
        thread_count(jobs),
    )
    skipped = _skipped(found, notices)
    shown = dict(zip(have.subjects, (file.shown for file in have.files), strict=False))
    names, other_images = found["images"], list[str]()
    if wanted:
        if wanted.duplicates:
            notices.append(f"{images}: {wanted.duplicates:,} repeated names dropped")
        if have.format == "flat" and not wanted.lines.keys().isdisjoint(names):
            names = list(dict.fromkeys([*names, *wanted.lines]))  # no line for an image without objects
        names, other_images = _listed(wanted, names, path, lenient, skipped, notices)
    other_classes = _select(found, names, classes)
    left_out = [f"{name} {count:,}" for name, count in other_classes.items() if count]
    if left_out:
        notices.append(f"{path}: objects of other classes left out: {', '.join(left_out)}")
    boxes, kind = _as_written(found)
    check_pixels(found["quads"].reshape(-1, 8), str(path))
    return InstanceTable(
        images=found["images"],
        classes=found["classes"],
        boxes=boxes,
        kind=kind,
        image=found["image"],
        label=found["label"],
        difficult=found["difficult"],
        other_images=other_images,
        other_classes=other_classes,
        skipped=skipped,
        problems=[FileProblem(*problem) for problem in found["problems"]],
        line=found["line"],
        files=[shown.get(name, have.files[0].shown) for name in found["images"]],
        format=have.format,
        lost=_lost(dict(found["lost"])),
        notices=notices,
    )


def read_detections(
    path: str | Path,
    *,
    images: Sequence[str] | None = None,
    other_images: Sequence[str] = (),
    classes: Sequence[str] | None = None,
    other_classes: Iterable[str] = (),
    task: int = 1,
    lenient: bool = False,
    jobs: int | None = None,
) -> InstanceTable:
    """Reads detection results.

    Args:
        path: A folder, perhaps with a subfolder ``Task1`` or ``results``, or a .zip or .tar[.gz|.xz|.bz2] archive,
            perhaps followed by a folder in it. The files are ``Task1_<class>.txt`` or ``<class>.txt``; for ICDAR,
            ``res_<image>.txt`` or ``<image>.txt``.
        images: Images of the dataset; a detection on another image is an error. None or empty: any image.
        other_images: Images whose detections are dropped and counted.
        classes: Classes of the dataset; a file of another class is an error. None: the classes of the files.
        other_classes: Classes whose files are skipped.
        task: DOTA's task: 1 (quads) or 2 (horizontal boxes, in files ``Task2_<class>.txt``).
        lenient: Whether to skip and count errors instead of raising.
        jobs: Number of threads; None: one per core.

    Raises:
        FormatError: For the first error, unless ``lenient``; always if nothing can be read.
    """
    path = Path(path)
    if task not in (1, 2):
        raise ValueError(f"task: need 1 or 2, got {task}")
    have = result_files(path, task, classes, set(other_classes), lenient)
    notices = list(have.notices)
    known = _list([*images, *other_images]) if images else None
    kept = _SHOWN if lenient else None
    subjects, jobs = _with_subjects(have), thread_count(jobs)
    found = _call(_rust.read_detections, have.format, subjects, known, _list(classes), kept, jobs)
    skipped = _skipped(found, notices)
    if have.unknown:
        skipped["unknown class"] = have.unknown
    if images and other_images:
        dropped = _keep_first_images(found, len(images))
        if dropped:
            notices.append(f"{path}: {dropped:,} detections on images outside the list dropped")
    boxes, kind = _as_written({**found, "rboxes": (), "upright": have.format == "task2"})
    return InstanceTable(
        images=found["images"],
        classes=found["classes"],
        boxes=boxes,
        kind=kind,
        scores=found["scores"],
        image=found["image"].view(np.int32),
        label=found["label"].view(np.int32),
        format=have.format,
        skipped=skipped,
        notices=notices,
    )


def _lost(counts: dict[str, int]) -> list[str]:
    """Sentences about entries that the files hold and a table does not, by their names."""
    polygons = counts.pop("polygons without four corners", 0)
    lost = [f"{polygons:,} polygons without four corners: kept as minimum-area rectangles"] if polygons else []
    if counts:
        lost.append(f"{sum(counts.values()):,} entries of objects, such as {min(counts)!r}: not kept")
    return lost


def read_names(path: str | Path) -> list[str]:
    """Reads a list of images, one per line, without paths, suffixes and repetitions.

    Raises:
        FormatError: If the list cannot be read or is empty.
    """
    return list(_read_list(Path(path)).lines)


@dataclass(frozen=True)
class _ImageList:
    path: Path
    lines: dict[str, int]
    """Line number of each name."""
    duplicates: int


def _read_list(path: Path) -> _ImageList:
    names, lines, duplicates = _call(_rust.read_names, str(path), path)
    if not names:
        raise FormatError(f"{path}: no image name in it")
    return _ImageList(path, dict(zip(names, lines, strict=True)), duplicates)


def _listed(
    wanted: _ImageList,
    annotated: Sequence[str],
    path: Path,
    lenient: bool,
    skipped: dict[str, int],
    notices: list[str],
) -> tuple[list[str], list[str]]:
    """Splits the annotated images into those in the list, in its order, and the others."""
    have = set(annotated)
    names = [name for name in wanted.lines if name in have]
    missing = [name for name in wanted.lines if name not in have]
    if not names:
        raise FormatError(f"{wanted.path}: none of its images has an annotation in {path}")
    if missing:
        where, hint = f"{wanted.path}:{wanted.lines[missing[0]]}", nearest(missing[0], annotated)
        problem = f"{where}: image '{missing[0]}' has no annotation in {path}{hint}"
        if not lenient:
            raise FormatError(problem)
        skipped["image without annotation"] = len(missing)
        notices.append(f"skipped {len(missing):,} images of the list, first {problem}")
    return names, [name for name in annotated if name not in wanted.lines]


def _with_subjects(have: AnnotationFiles) -> list[tuple[str, str, Path | bytes]]:
    subjects = have.subjects or [""] * len(have.files)
    return [(file.shown, subject, file.data) for file, subject in zip(have.files, subjects, strict=True)]


def _list(names: Sequence[str] | None) -> list[str] | None:
    for name, count in Counter(names or ()).items():
        if count > 1:
            raise FormatError(f"'{name}' is named {count} times")
    return None if names is None else list(names)


def _call(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except ValueError as error:
        raise FormatError(str(error)) from None


def _skipped(found: Mapping[str, Any], notices: list[str]) -> dict[str, int]:
    """Number of skipped lines for each reason; adds a notice."""
    skipped = dict(found["skipped"])
    if skipped:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in skipped.items())
        notices.append(f"skipped {sum(skipped.values()):,} lines or files: {counts}")
        notices.extend(f"skipped {FileProblem(*problem)}" for problem in found["problems"][:_SHOWN])
    return skipped


def _select(found: dict[str, Any], images: list[str], classes: Sequence[str] | None) -> dict[str, int]:
    """Keeps the objects on the images and of the classes given (None: all classes that occur on these images).

    Returns the number of objects of each other class on these images.
    """
    number = {name: i for i, name in enumerate(images)}
    new_image = np.array([number.get(name, -1) for name in found["images"]], dtype=np.int32)
    image = new_image[found["image"]]
    counts = np.bincount(found["label"][image >= 0], minlength=len(found["classes"]))
    wanted = counts > 0 if classes is None else np.arange(len(counts)) < len(classes)
    new_label = np.where(wanted, np.cumsum(wanted) - 1, -1).astype(np.int32)
    label = new_label[found["label"]]
    keep = (image >= 0) & (label >= 0)
    if not keep.all():
        _keep_rows(found, ("image", "label", "difficult", "line"), keep)
        image, label = image[keep], label[keep]
    others = {name: int(n) for name, n, w in zip(found["classes"], counts, wanted, strict=True) if not w}
    found["classes"] = [name for name, w in zip(found["classes"], wanted, strict=True) if w]
    found["images"], found["image"], found["label"] = images, image, label
    return dict(sorted(others.items(), key=lambda item: -item[1]))


def _keep_first_images(found: dict[str, Any], images: int) -> int:
    """Keeps the detections on the first ``images`` images; returns the number of dropped ones."""
    keep = found["image"] < images
    found["images"] = found["images"][:images]
    dropped = int(keep.size - np.count_nonzero(keep))
    if dropped:
        _keep_rows(found, ("image", "label", "scores"), keep)
    return dropped


def _keep_rows(found: dict[str, Any], columns: Sequence[str], keep: NDArray[np.bool_]) -> None:
    for column in columns:
        found[column] = found[column][keep]
    found["quads"] = found["quads"].reshape(-1, 8)[keep]
    if len(found.get("rboxes", ())):
        found["rboxes"] = found["rboxes"].reshape(-1, 5)[keep]


def _as_written(found: Mapping[str, Any]) -> tuple[NDArray[np.float64], BoxKind]:
    """Boxes and their kind: quads, unless all objects are written as boxes of one other kind."""
    quads = found["quads"].reshape(-1, 8)
    if len(found["rboxes"]):
        return found["rboxes"].reshape(-1, 5), "rbox"
    # The Rust reader gives horizontal boxes as quads: left top, right top, right bottom, left bottom.
    return (np.ascontiguousarray(quads[:, [0, 1, 4, 5]]), "hbox") if found["upright"] else (quads, "quad")
