"""Annotations and detection results of whole data sets, read in Rust into arrays. Needs no torch.

Annotations: DOTA ``labelTxt``, VOC-style xml (DIOR-R, HRSC2016, roLabelImg), ICDAR 2015 ground truth, and one
file for many images (flat, or as GGHL writes HRSC2016 and SSDD). Results: DOTA Task1 and Task2, ICDAR. The
format is found by looking at the files. What is wrong is one `FormatError` that names file, line, text and
reason, or, with ``lenient``, is skipped and counted.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx import _rust
from rotx.data.files import File, FormatError, is_text, read_files, read_text

__all__ = ["Annotations", "Detections", "FormatError", "read_annotations", "read_detections", "read_names"]

_LOOKED_FOR = (
    "a folder or archive of labelTxt files (x1 y1 ... x4 y4 class difficulty), of VOC-style xml or of ICDAR"
    " files (x1,y1,...,x4,y4,transcription), or one .txt or .txt.gz with a line an object (image x1 y1 ... x4"
    " y4 class difficulty) or a line an image (path xmin,ymin,xmax,ymax,class,x1,y1,...,x4,y4,ratio,angle ...)"
)


@dataclass(frozen=True)
class Annotations:
    """The objects of a data set; one entry an object in the arrays, in file order."""

    images: list[str]
    """Names of the images, those without objects included."""
    classes: list[str]
    quads: NDArray[np.float64]
    """(N, 8): corners as written."""
    image: NDArray[np.int32]
    """(N,): index into ``images``."""
    label: NDArray[np.int32]
    """(N,): index into ``classes``."""
    difficult: NDArray[np.uint8]
    """(N,): 0, 1 (difficult) or 2 (truncated)."""
    other_images: list[str] = field(default_factory=list)
    """Annotated images that the list of images leaves out."""
    other_classes: dict[str, int] = field(default_factory=dict)
    """Objects left out because of their class."""
    skipped: dict[str, int] = field(default_factory=dict)
    """What was wrong and skipped (lenient): how many lines, files or names for each reason."""
    notices: list[str] = field(default_factory=list)
    """What the user should know, a sentence each."""


@dataclass(frozen=True)
class Detections:
    """The detections on a data set; one entry a detection in the arrays, in file order."""

    images: list[str]
    classes: list[str]
    quads: NDArray[np.float64]
    """(M, 8): corners as written; horizontal boxes clockwise from the top left."""
    scores: NDArray[np.float64]
    """(M,): finite; 1 where the format has none."""
    image: NDArray[np.int32]
    """(M,): index into ``images``."""
    label: NDArray[np.int32]
    """(M,): index into ``classes``."""
    skipped: dict[str, int] = field(default_factory=dict)
    """What was wrong and skipped (lenient): how many lines, files or names for each reason."""
    notices: list[str] = field(default_factory=list)
    """What the user should know, a sentence each."""


def read_annotations(
    path: str | Path,
    *,
    classes: Sequence[str] | None = None,
    images: str | Path | None = None,
    lenient: bool = False,
    jobs: int | None = None,
) -> Annotations:
    """Reads the annotations of a data set.

    Args:
        path: a folder (or one with a sub-folder ``labelTxt``), a .zip or .tar[.gz|.xz|.bz2] of one, perhaps
            followed by the folder in it, or a .txt or .txt.gz for many images.
        classes: the classes wanted, in this order; objects of others are left out and counted. None: all, in
            order of appearance in the files sorted by name.
        images: a file that lists the images wanted, a name a line. None: all.
        lenient: skip and count what is wrong.
        jobs: number of threads; None: one a core.

    Raises:
        FormatError: for the first thing that is wrong, unless lenient; always if nothing can be read.
    """
    path = Path(path)
    notices: list[str] = []
    skipped: Counter[str] = Counter()
    wanted = None if images is None else _read_list(Path(images), notices)
    format, files, ignored = _annotation_files(path)
    _tell_ignored(ignored, notices)
    one_file = format in ("flat", "gghl")
    subjects = [] if one_file else _subjects(files, "gt_" if format == "icdar" else "")
    names, other_images = subjects, list[str]()
    if wanted is not None and not one_file:
        names = _listed(wanted, subjects, path, lenient, skipped)
        chosen = set(names)
        other_images = [name for name in subjects if name not in chosen]
        pairs = [(f, s) for f, s in zip(files, subjects, strict=True) if s in chosen]
        files, subjects = [f for f, _ in pairs], [s for _, s in pairs]
    found = _call(
        _rust.read_annotations,
        format,
        [(f.shown, s, f.data) for f, s in zip(files, subjects or [""] * len(files), strict=True)],
        names,
        None if classes is None else list(classes),
        lenient,
        _jobs(jobs),
    )
    if wanted is not None and one_file:
        # A flat file has no line for an image without objects.
        names = list(wanted.lines) if format == "flat" else _listed(wanted, found["images"], path, lenient, skipped)
        other_images = _restrict(found, names, keep_classes=classes is not None)
    _tell_skipped(found, skipped, notices)
    other_classes = dict(found["other_classes"])
    if other_classes:
        counts = ", ".join(f"{name} {count:,}" for name, count in other_classes.items())
        notices.append(f"{path}: objects of other classes left out: {counts}")
    return Annotations(
        images=found["images"],
        classes=found["classes"],
        quads=found["quads"].reshape(-1, 8),
        image=found["image"].view(np.int32),
        label=found["label"].view(np.int32),
        difficult=found["difficult"],
        other_images=other_images,
        other_classes=other_classes,
        skipped=dict(skipped),
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
) -> Detections:
    """Reads detection results.

    Args:
        path: a folder (or one with a sub-folder ``Task1`` or ``results``) or a .zip or .tar[.gz|.xz|.bz2] of
            one, perhaps followed by the folder in it. It has files ``Task1_<class>.txt`` or ``<class>.txt``, or
            for ICDAR ``res_<image>.txt`` or ``<image>.txt``.
        images: the images of the data set; a detection on another is an error. None or empty: any image.
        other_images: images whose detections are dropped and counted.
        classes: the classes of the data set; a file of another is an error. None: those of the files.
        other_classes: classes whose files are passed over.
        task: 1 (quads) or 2 (horizontal boxes, in files ``Task2_<class>.txt``).
        lenient: skip and count what is wrong.
        jobs: number of threads; None: one a core.

    Raises:
        FormatError: for the first thing that is wrong, unless lenient; always if nothing can be read.
    """
    path = Path(path)
    if task not in (1, 2):
        raise ValueError(f"task: need 1 or 2, got {task}")
    notices: list[str] = []
    skipped: Counter[str] = Counter()
    files, ignored = read_files(path, (f"Task{task}", "results"), f"Task{task}_")
    if _is_icdar_result(files):
        format, subjects = "icdar", _subjects(files, "res_")
        if classes is not None and "text" not in classes:
            raise FormatError(f"{path}: looks like ICDAR results, whose class is 'text'; need {_some(classes)}")
    else:
        format = f"task{task}"
        chosen = _ResultFiles(path, task, classes, set(other_classes), lenient)
        files, subjects = chosen.choose(files, ignored, skipped, notices)
    _tell_ignored(ignored, notices)
    known = [*images, *other_images] if images else None
    found = _call(
        _rust.read_detections,
        format,
        [(f.shown, s, f.data) for f, s in zip(files, subjects, strict=True)],
        known,
        None if classes is None else list(classes),
        lenient,
        _jobs(jobs),
    )
    if images and other_images:
        dropped = _restrict_detections(found, len(images))
        if dropped:
            notices.append(f"{path}: {dropped:,} detections on images outside the list dropped")
    _tell_skipped(found, skipped, notices)
    return Detections(
        images=found["images"],
        classes=found["classes"],
        quads=found["quads"].reshape(-1, 8),
        scores=found["scores"],
        image=found["image"].view(np.int32),
        label=found["label"].view(np.int32),
        skipped=dict(skipped),
        notices=notices,
    )


def read_names(path: str | Path) -> list[str]:
    """The names in a list of images, one a line, without paths, image suffixes and duplicates.

    Raises:
        FormatError: if it cannot be read.
    """
    return list(_read_list(Path(path), []).lines)


@dataclass(frozen=True)
class _ImageList:
    path: Path
    lines: dict[str, int]
    """The line of each name."""


def _read_list(path: Path, notices: list[str]) -> _ImageList:
    names, lines, duplicates = _call(_rust.read_names, str(path), path)
    if not names:
        raise FormatError(f"{path}: no image name in it")
    if duplicates:
        notices.append(f"{path}: {duplicates:,} duplicate names dropped")
    return _ImageList(path, dict(zip(names, lines, strict=True)))


def _listed(
    wanted: _ImageList, annotated: Sequence[str], path: Path, lenient: bool, skipped: Counter[str]
) -> list[str]:
    """The names of the list that are annotated."""
    have = set(annotated)
    for name, line in wanted.lines.items():
        if name not in have:
            if not lenient:
                hint = _nearest(name, annotated)
                raise FormatError(f"{wanted.path}:{line}: image '{name}' has no annotation in {path}{hint}")
            skipped["image without annotation"] += 1
    names = [name for name in wanted.lines if name in have]
    if not names:
        raise FormatError(f"{wanted.path}: none of its images has an annotation in {path}")
    return names


def _annotation_files(path: Path) -> tuple[str, list[File], list[str]]:
    """The format, the files, and the names of those passed over."""
    if is_text(path):
        file = read_text(path)
        return _format_of_lines(file), [file], []
    files, ignored = read_files(path, ("labelTxt",))
    xml = [file for file in files if file.name.lower().endswith(".xml")]
    if 2 * len(xml) >= len(files):
        return "voc", xml, ignored + [file.name for file in files if file not in set(xml)]
    texts = [file for file in files if file not in set(xml)]
    return ("icdar" if _has_commas(texts) else "dota"), texts, ignored + [file.name for file in xml]


def _data_lines(head: bytes) -> list[str]:
    lines = head.decode("utf-8-sig", errors="replace").splitlines()
    return [s for line in lines[:100] if (s := line.strip()) and not s.lower().startswith(("imagesource:", "gsd:"))]


def _has_commas(files: Sequence[File]) -> bool:
    """Whether most of the first files with content part their columns by commas."""
    votes = []
    for file in files:
        if lines := _data_lines(file.head(4096)):
            votes.append(lines[0].count(",") >= 4 and len(lines[0].split()) < 9)
        if len(votes) == 25:
            break
    return 2 * sum(votes) > len(votes)


def _format_of_lines(file: File) -> str:
    """The format that most of the first lines of a file for many images have."""
    votes: Counter[str] = Counter()
    for line in _data_lines(file.head()):
        words = line.split()
        if len(words) > 1 and words[1].count(",") >= 11:
            votes["gghl"] += 1
        elif len(words) in (10, 11) and "," not in line:
            votes["flat" if _is_number(words[8]) else "labelTxt"] += 1
        elif len(words) == 9 and "," not in line:
            votes["labelTxt"] += 1
    best = votes.most_common(1)
    if not best:
        raise FormatError(f"{file.shown}: no known format; looked for {_LOOKED_FOR}")
    if best[0][0] == "labelTxt":
        raise FormatError(f"{file.shown}: is the labelTxt file of one image; give the folder of all of them")
    return best[0][0]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _subjects(files: Sequence[File], prefix: str) -> list[str]:
    """The image of each file, by its name."""
    first: dict[str, File] = {}
    for file in files:
        image = file.stem.removeprefix(prefix)
        if image in first:
            raise FormatError(f"{file.shown}: image '{image}' is there already as {first[image].name}")
        first[image] = file
    return list(first)


def _is_icdar_result(files: Sequence[File]) -> bool:
    return not any(file.name.startswith(("Task1_", "Task2_")) for file in files) and _has_commas(files)


@dataclass(frozen=True)
class _ResultFiles:
    """Which files of a folder are results, and of which class."""

    path: Path
    task: int
    classes: Sequence[str] | None
    others: set[str]
    lenient: bool

    def choose(
        self, files: Sequence[File], ignored: list[str], skipped: Counter[str], notices: list[str]
    ) -> tuple[list[File], list[str]]:
        prefix = f"Task{self.task}_"
        style = prefix if any(file.name.startswith(prefix) for file in files) else ""
        if not style:
            other = f"Task{3 - self.task}_"
            if any(file.name.startswith(other) for file in files):
                raise FormatError(
                    f"{self.path}: has files {other}<class>.txt, but none {prefix}<class>.txt; score them as "
                    f"task {3 - self.task}"
                )
        chosen: dict[str, File] = {}
        for file in files:
            name = file.stem.removeprefix(style)
            if not file.name.startswith(style) or not file.name.lower().endswith(".txt"):
                ignored.append(file.name)
            elif self.classes is None or name in self.classes:
                chosen[name] = file
            elif name in self.others:
                notices.append(f"{file.shown}: passed over, '{name}' is not among the classes asked for")
            elif self.lenient:
                skipped["unknown class"] += 1
                notices.append(f"{file.shown}: skipped, unknown class '{name}'{_nearest(name, self.classes)}")
            else:
                hint = _nearest(name, self.classes) or f"; the classes are {_some(self.classes)}"
                raise FormatError(f"{file.shown}: unknown class '{name}'{hint}")
        if not chosen:
            raise FormatError(f"{self.path}: no result file; looked for {prefix}<class>.txt and <class>.txt")
        missing = [name for name in self.classes or () if name not in chosen]
        if missing:
            notices.append(f"{self.path}: no result file for {', '.join(missing)}")
        return list(chosen.values()), list(chosen)


def _nearest(name: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def _some(names: Sequence[str], count: int = 20) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _call(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except ValueError as error:
        raise FormatError(str(error)) from None


def _tell_ignored(ignored: Sequence[str], notices: list[str]) -> None:
    if ignored:
        notices.append(f"not read: {_some(ignored, 5)}")


def _tell_skipped(found: Mapping[str, Any], skipped: Counter[str], notices: list[str]) -> None:
    skipped.update(dict(found["skipped"]))
    if skipped:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in skipped.items())
        notices.append(f"skipped {sum(skipped.values()):,}: {counts}")
        notices.extend(f"skipped {problem}" for problem in found["problems"])


def _restrict(found: dict[str, Any], names: list[str], keep_classes: bool) -> list[str]:
    """Keeps the objects of the images given; returns the names of the others."""
    number = {name: i for i, name in enumerate(names)}
    new = np.array([number.get(name, -1) for name in found["images"]], dtype=np.int32)
    keep = new[found["image"]] >= 0 if len(new) else np.zeros(0, dtype=bool)
    others = [name for name in found["images"] if name not in number]
    for key in ("image", "label", "difficult"):
        found[key] = found[key][keep]
    found["quads"] = found["quads"].reshape(-1, 8)[keep]
    found["images"], found["image"] = names, new[found["image"]]
    if not keep_classes:
        used, found["label"] = np.unique(found["label"], return_inverse=True)
        found["label"] = found["label"].astype(np.int32)
        found["classes"] = [found["classes"][i] for i in used]
    return others


def _restrict_detections(found: dict[str, Any], images: int) -> int:
    """Keeps the detections on the first ``images`` images; returns how many are dropped."""
    keep = found["image"] < images
    found["images"] = found["images"][:images]
    dropped = int(keep.size - np.count_nonzero(keep))
    if dropped:
        for key in ("image", "label", "scores"):
            found[key] = found[key][keep]
        found["quads"] = found["quads"].reshape(-1, 8)[keep]
    return dropped


def _jobs(jobs: int | None) -> int:
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs: need at least 1, or None for one a core, got {jobs}")
    return jobs or 0
