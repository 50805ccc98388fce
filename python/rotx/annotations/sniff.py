"""Format detection, by the names and first lines of files; also finds the image or class of each file."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rotx.annotations.files import File, FormatError, read_files, read_text

_LOOKED_FOR = (
    "a folder or archive of labelTxt files (x1 y1 ... x4 y4 class difficulty), of VOC-style xml or of ICDAR"
    " files (x1,y1,...,x4,y4,transcription), of UCAS-AOD's or MSRA-TD500's, or one .txt or .txt.gz with a line"
    " an object (image x1 y1 ... x4 y4 class difficulty) or a line an image (path"
    " xmin,ymin,xmax,ymax,class,x1,y1,...,x4,y4,ratio,angle ...)"
)


_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class AnnotationFiles:
    """Files of a dataset, their format, and the image or class of each."""

    format: str
    """Format of annotations: dota, icdar, td500, ucas, voc, flat or gghl; of results: task1, task2 or icdar."""
    files: list[File]
    subjects: list[str]
    """Image or class of each file; empty for files that cover many images."""
    notices: list[str] = field(default_factory=list)
    unknown: int = 0
    """Number of result files skipped because their class is unknown (``lenient``)."""


def annotation_files(path: Path) -> AnnotationFiles:
    """Finds annotation files and detects their format.

    Raises:
        FormatError: If there are none, or two files belong to one image.
    """
    if file := read_text(path):
        return AnnotationFiles(_format_of_lines(file), [file], [])
    files, ignored = read_files(path, ("labelTxt", "annfiles"))
    by_suffix = {
        suffix: [file for file in files if file.name.lower().endswith(suffix)] for suffix in (".txt", ".xml", ".gt")
    }
    suffix = max(by_suffix, key=lambda suffix: len(by_suffix[suffix]))
    files = by_suffix.pop(suffix)
    format = {".xml": "voc", ".gt": "td500"}.get(suffix) or _format_of_texts(files)
    ignored = [name for name in ignored if not name.lower().endswith(_IMAGES)]  # images beside the labels are fine
    notices = _not_read(path, ignored + [file.name for rest in by_suffix.values() for file in rest])
    return AnnotationFiles(format, files, _images(files, "gt_" if format == "icdar" else ""), notices)


def result_files(
    path: Path, task: int, classes: Sequence[str] | None, other_classes: Container[str], lenient: bool
) -> AnnotationFiles:
    """Finds result files and detects their format; see `rotx.annotations.formats.read_detections` for the arguments.

    Raises:
        FormatError: If there are none, or, unless ``lenient``, a file is of an unknown class.
    """
    files, ignored = read_files(path, (f"Task{task}", "results"), f"Task{task}_")
    if not any(file.name.startswith(("Task1_", "Task2_")) for file in files) and _has_commas(files):
        if classes is not None and "text" not in classes:
            raise FormatError(f"{path}: ICDAR results, of class 'text'; the classes are {_some(classes)}")
        return AnnotationFiles("icdar", files, _images(files, "res_"), _not_read(path, ignored))

    prefix, other = f"Task{task}_", f"Task{3 - task}_"
    if not any(file.name.startswith(prefix) for file in files):
        prefix = ""
        if any(file.name.startswith(other) for file in files):
            raise FormatError(f"{path}: files {other}<class>.txt: these are results of task {3 - task}")
    chosen: dict[str, File] = {}
    notices: list[str] = []
    unknown = 0
    for file in files:
        name = file.stem.removeprefix(prefix)
        if not (file.name.startswith(prefix) and file.name.lower().endswith(".txt")):
            ignored.append(file.name)
        elif classes is None or name in classes:
            chosen[name] = file
        elif name in other_classes:
            notices.append(f"{file.shown}: not read: class '{name}' is not scored")
        else:
            problem = f"{file.shown}: unknown class '{name}'; the classes are {_some(classes)}"
            problem += nearest(name, classes)
            if not lenient:
                raise FormatError(problem)
            notices.append(f"skipped {problem}")
            unknown += 1
    if not (chosen or notices):
        raise FormatError(f"{path}: no result file; looked for Task{task}_<class>.txt and <class>.txt")
    if missing := [name for name in classes or () if name not in chosen]:
        notices.append(f"{path}: no result file for {_some(missing)}")
    notices += _not_read(path, ignored)
    return AnnotationFiles(f"task{task}", list(chosen.values()), list(chosen), notices, unknown)


def nearest(name: str, known: Sequence[str]) -> str:
    """Hint with the most similar known name, or an empty text."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _some(names: Sequence[str], count: int = 20) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _not_read(path: Path, ignored: Sequence[str]) -> list[str]:
    return [f"{path}: not read: {_some(ignored, 5)}"] if ignored else []


def _images(files: Sequence[File], prefix: str) -> list[str]:
    """Image name of each file, from the file name."""
    first: dict[str, File] = {}
    for file in files:
        image = file.stem.removeprefix(prefix)
        if image in first:
            raise FormatError(f"{file.shown}: image '{image}' already has a file: {first[image].name}")
        first[image] = file
    return list(first)


def _data_lines(head: bytes) -> list[str]:
    lines = (line.strip() for line in head.decode("utf-8-sig", errors="replace").splitlines())
    return [line for line in lines if line and not is_header(line)]


def is_header(line: str) -> bool:
    """Whether a line is a header of DOTA, such as ``imagesource:GoogleEarth``, perhaps with quotes."""
    return re.sub("['\" \t]", "", line).lower().startswith(("imagesource:", "gsd:"))


def _format_of_texts(files: Sequence[File]) -> str:
    """Detects the format of files that each cover one image."""
    if _has_commas(files):
        _refuse_numbers_with_commas(files)
        return "icdar"
    lines = next(filter(None, (_data_lines(file.head(4096)) for file in files[:25])), [""])
    words = lines[0].split()
    return "ucas" if len(words) in (13, 14) and all(map(_is_number, words[-13:])) else "dota"


def _has_commas(files: Sequence[File]) -> bool:
    """Whether most of the first non-empty files separate their columns by commas."""
    votes: list[bool] = []
    for file in files:
        if lines := _data_lines(file.head(4096)):
            votes.append(lines[0].count(",") >= 4 and len(lines[0].split()) < 9)
        if len(votes) == 25:
            break
    return 2 * sum(votes) > len(votes)


def _refuse_numbers_with_commas(files: Sequence[File]) -> None:
    """Refuses files of numbers with commas that are no quads: boxes of videos, and YOLO's labels with commas.

    Raises:
        FormatError: If most lines are such.
    """
    rows = [
        (file, [column.strip() for column in line.rstrip(",").split(",")])
        for file in files[:25]
        for line in _data_lines(file.head(4096))[:20]
    ]
    numbers = [(file, [float(c) for c in columns]) for file, columns in rows if all(map(_is_number, columns))]
    if 2 * len(numbers) <= len(rows):
        return
    shares = [row for _, row in numbers if len(row) in (5, 9) and max(map(abs, row[1:])) <= 2]
    if 2 * len(shares) > len(numbers):
        raise FormatError(f"{numbers[0][0].shown}:1: the numbers are separated by commas; YOLO's labels have spaces")
    # After left, top, width and height, videos have flags and class numbers.
    odd = [row for _, row in numbers if len(row) >= 8 and (max(map(abs, row[6:8])) <= 12 or not _is_convex(row[:8]))]
    if 2 * len(odd) > len(numbers):
        raise FormatError(
            f"{numbers[0][0].shown}:1: {len(numbers[0][1])} numbers that are no quads: boxes of a video (VisDrone-VID,"
            " UAVDT or MOT: frame,id,left,top,width,height,...), which cannot be read; export a file for each image"
        )


def _is_convex(quad: Sequence[float]) -> bool:
    """Whether a quad is strictly convex, as boxes around text are."""
    corners = [complex(x, y) for x, y in zip(quad[::2], quad[1::2], strict=True)]
    edges = [b - a for a, b in zip(corners, [*corners[1:], corners[0]], strict=True)]
    turns = [(a.conjugate() * b).imag for a, b in zip(edges, [*edges[1:], edges[0]], strict=True)]
    return min(turns) > 0 or max(turns) < 0


def _format_of_lines(file: File) -> str:
    """Detects the format of a file for many images, by a majority of its first lines."""
    votes: Counter[str] = Counter()
    for line in _data_lines(file.head(1 << 16))[:100]:
        words = line.split()
        if len(words) > 1 and words[1].count(",") >= 11:
            votes["gghl"] += 1
        elif len(words) in (10, 11) and "," not in line and _is_number(words[8]):
            votes["flat"] += 1
        elif len(words) in (9, 10) and "," not in line:
            votes["labelTxt"] += 1
    if not votes:
        raise FormatError(f"{file.shown}: no known format; looked for {_LOOKED_FOR}")
    format = votes.most_common(1)[0][0]
    if format == "labelTxt":
        raise FormatError(f"{file.shown}: is the labelTxt file of one image; give the folder of all of them")
    return format


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
