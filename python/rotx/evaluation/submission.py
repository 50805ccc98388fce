"""Checks results before their submission to the DOTA server, for ``rotx check-submission``."""

from __future__ import annotations

import difflib
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rotx import _rust, geometry
from rotx.annotations.classes import DOTA_V1_0, DOTA_V1_5, DOTA_V2_0
from rotx.annotations.files import File, FormatError, read_files
from rotx.tiling.windows import PATCH

CLASSES = {"1.0": DOTA_V1_0, "1.5": DOTA_V1_5, "2.0": DOTA_V2_0}

#: Limits of coordinates; corners beyond them are far outside any image. DOTA-v2.0's largest is 29,200 x 27,620 pixels.
LOWEST, HIGHEST = -100.0, 40_000.0

Level = Literal["error", "warning"]

_DOTA_NAME = re.compile(r"P\d{4,}$")
_SUFFIX = re.compile(r"\.(png|jpe?g|tiff?|bmp)$", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """Problem in a submission.

    An error makes the server fail or loses the score of a class; a warning may be intended. ``line`` is the line of the
    first example; None if there is none or it is unknown. ``fix`` describes the fix.
    """

    level: Level
    file: str
    line: int | None
    text: str
    fix: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{self.level}: {where}: {self.text}; {self.fix}"


def check_submission(results: str | Path, version: str = "1.0", task: int = 1) -> list[Finding]:
    """Finds problems that make the DOTA server fail or lower the score.

    All files are read. There is one finding for each kind of problem and file, with its count.

    Args:
        results: The .zip file to submit, or the folder to pack.
        version: Version of DOTA, ``"1.0"``, ``"1.5"`` or ``"2.0"``; it determines the classes.
        task: DOTA task: 1 (rotated boxes) or 2 (horizontal boxes).

    Returns:
        Findings, those about the whole submission first; an empty list if nothing is wrong.

    Raises:
        ValueError: If the version or task is unknown.
        FormatError: If the file or folder does not exist.
    """
    if version not in CLASSES:
        raise ValueError(f"version: need {', '.join(CLASSES)}, got {version!r}")
    if task not in (1, 2):
        raise ValueError(f"task: need 1 or 2, got {task}")
    path = Path(results)
    try:
        files, _ = read_files(path, (f"Task{task}",))
    except FormatError as error:
        if not path.exists():
            raise
        reason = str(error).removeprefix(f"{path}: ")
        return [Finding("error", str(path), None, reason, f"pack the files Task{task}_<class>.txt in a .zip")]
    entries = _entries(path, files)
    findings = [*_check_archive(path, entries), *_check_names(path, files, entries, version, task)]
    for file in files:
        if _class_of(file, task) is not None:
            findings += _check_file(file, task)
    return findings


def _class_of(file: File, task: int) -> str | None:
    """Returns the class in the name of a result file, known or not; None if it is not a result file."""
    prefix = f"Task{task}_"
    if not file.name.endswith(".txt"):
        return None
    named = file.name.startswith(prefix) or any(file.stem in names for names in CLASSES.values())
    return file.stem.removeprefix(prefix) if named else None


def _entries(path: Path, files: Sequence[File]) -> list[str]:
    """Returns the names of everything in an archive or folder, including hidden files and folders."""
    if path.is_file() and path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    first = files[0].data
    return sorted(item.name for item in first.parent.iterdir()) if isinstance(first, Path) else []


def _check_archive(path: Path, entries: Sequence[str]) -> Iterator[Finding]:
    nested = [name for name in entries if "/" in name]
    if path.is_file() and path.suffix.lower() != ".zip":
        yield Finding("error", str(path), None, "the server takes .zip archives only", "pack a .zip")
    elif nested:
        text = f"holds the folder '{PurePosixPath(nested[0]).parts[0]}': the server looks for files at the top"
        yield Finding("error", str(path), None, text, "pack the files without a folder")


def _check_names(
    path: Path, files: Sequence[File], entries: Sequence[str], version: str, task: int
) -> Iterator[Finding]:
    """Yields findings about missing, unknown and superfluous files."""
    classes = CLASSES[version]
    have = {file.name: name for file in files if (name := _class_of(file, task)) is not None}
    missing = [name for name in classes if name not in have.values()]
    if missing:
        text = f"no file for {len(missing)} of the {len(classes)} classes of DOTA-v{version}: {', '.join(missing)}"
        yield Finding("error", str(path), None, text, f"add Task{task}_<class>.txt for each")
    for file, name in have.items():
        if name not in classes:
            yield _unknown_class(file, name, missing, version)

    rest = [PurePosixPath(name).name for name in entries if not name.endswith("/")]
    rest = [name for name in rest if name not in have]
    swapped = [name for name in rest if name.startswith(f"Task{3 - task}_")]
    if swapped:
        text = f"{_count(len(swapped), 'file')} of task {3 - task}, not {task}"
        yield Finding("error", swapped[0], None, text, f"send them as task {3 - task}")
    bare = [name for name in have if not name.startswith(f"Task{task}_")]
    if bare:
        text = f"{_count(len(bare), 'file')} named by the class alone"
        yield Finding("error", bare[0], None, text, f"rename to Task{task}_{bare[0]}")
    others = [name for name in rest if name not in swapped]
    if others:
        text = f"{_count(len(others), 'file')} besides Task{task}_<class>.txt"
        yield Finding("warning", others[0], None, text, "leave out what is no result")


def _unknown_class(file: str, name: str, missing: Sequence[str], version: str) -> Finding:
    near = difflib.get_close_matches(re.sub("[ _]", "-", name.lower()), missing, n=1)
    if near:
        fix = f"rename to {file.replace(name, near[0])}"
        return Finding("error", file, None, f"unknown class '{name}': is '{near[0]}' meant?", fix)
    text = f"DOTA-v{version} has no class '{name}'"
    versions = [v for v, names in CLASSES.items() if name in names]
    fix = f"leave it out, or check as version {versions[0]}" if versions else "leave it out"
    return Finding("warning", file, None, text, fix)


def _check_file(file: File, task: int) -> Iterator[Finding]:
    """Yields findings about the lines of a file."""
    found = _rust.read_detections(f"task{task}", [(file.shown, "", file.data)], None, None, 20, 0)
    skipped = sum(count for _, count in found["skipped"])
    problems = [(line or None, text) for _, line, _, text in found["problems"]]
    rows = _Rows(file, problems, skipped, found["image"])
    if skipped:
        line, reason = rows.problems[0]
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in found["skipped"])
        columns = "x1 y1 x2 y2 x3 y3 x4 y4" if task == 1 else "xmin ymin xmax ymax"
        text = f"{_count(skipped, 'line')} that cannot be read ({kinds}); the first: {reason}"
        yield Finding("error", file.name, line, text, f"need 'image score {columns}'")
    elif not len(found["image"]):
        fix = "lower the score threshold until the class has a detection"
        yield Finding("error", file.name, None, "is empty: the server fails on it", fix)
    if len(found["image"]):
        yield from _check_images(found["images"], rows)
        yield from _check_scores(found["scores"], rows)
        yield from _check_boxes(found["quads"].reshape(-1, 8), rows)


@dataclass(frozen=True)
class _Rows:
    """Valid rows of a file."""

    file: File
    problems: Sequence[tuple[int | None, str]]
    skipped: int
    #: Image index (M,) of each row.
    image: NDArray[np.uint32]

    def finding(self, level: Level, rows: NDArray[np.bool_], text: str, fix: str) -> Iterator[Finding]:
        """Yields a finding about these rows, if there are any; their number precedes ``text``."""
        count = int(np.count_nonzero(rows))
        if count:
            line = self.line(int(rows.argmax()))
            yield Finding(level, self.file.name, line, f"{_count(count, 'detection')} {text}", fix)

    def line(self, row: int) -> int | None:
        """Returns the line number of a row; None if the numbers of some skipped lines are unknown."""
        if self.skipped > len(self.problems):
            return None
        bad = {line for line, _ in self.problems}
        data = self.file.data if isinstance(self.file.data, bytes) else self.file.data.read_bytes()
        lines = (i for i, text in enumerate(data.split(b"\n"), 1) if i not in bad and text.strip())
        return next((line for k, line in enumerate(lines) if k == row), None)


def _check_images(images: Sequence[str], rows: _Rows) -> Iterator[Finding]:
    patch = np.array([PATCH.match(name) is not None for name in images])
    suffix = np.array([_SUFFIX.search(name) is not None for name in images]) & ~patch
    strange = np.array([_DOTA_NAME.match(name) is None for name in images]) & ~patch & ~suffix
    checks: list[tuple[Level, NDArray[np.bool_], str, str]] = [
        ("error", patch, "on patches such as", "merge the patches' results into whole images first, by rotx merge"),
        ("error", suffix, "on images named with a suffix, as", "leave the suffix out"),
        ("warning", strange, "on images not named as those of DOTA, as", "use the names of the annotations"),
    ]
    for level, kind, text, fix in checks:
        if kind.any():
            example = images[int(kind.argmax())]
            yield from rows.finding(level, kind[rows.image], f"{text} '{example}'", fix)


def _check_scores(scores: NDArray[np.float64], rows: _Rows) -> Iterator[Finding]:
    outside: NDArray[np.bool_] = (scores < 0) | (scores > 1)
    yield from rows.finding("warning", outside, "with a score outside 0 to 1", "check what the scores are")
    if np.abs(scores.round(2) - scores).max() < 1e-9:
        _, number, counts = np.unique(scores, return_inverse=True, return_counts=True)
        tied: NDArray[np.bool_] = counts[number] > 1
        share = f"{100 * tied.mean():.0f} %"
        text = f"({share}) share their score with another, as scores have at most 2 decimals"
        yield from rows.finding("warning", tied, text, "write 6 digits: ties cost up to 1.6 points of AP")


def _check_boxes(quads: NDArray[np.float64], rows: _Rows) -> Iterator[Finding]:
    far: NDArray[np.bool_] = (quads.min(1) < LOWEST) | (quads.max(1) > HIGHEST)
    text = f"far outside: a coordinate below {LOWEST:g} or above {HIGHEST:g}"
    yield from rows.finding("warning", far, text, "use whole-image pixels, and clip to the image")
    flat: NDArray[np.bool_] = geometry.area(quads) == 0
    yield from rows.finding("warning", flat, "whose box has no area", "leave them out: they find nothing")


def _count(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"
