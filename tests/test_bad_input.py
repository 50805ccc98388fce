"""Damaged files: one clear error or a counted skip, never another exception, never a hang."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from damaged import CASES, Case, data_set
from rotx.annotations.formats import FormatError, read_annotations, read_detections
from rotx.records import InstanceTable


def read(case: Case, root: Path, lenient: bool) -> tuple[InstanceTable, InstanceTable]:
    """Makes a damaged data set and reads it as the scorer does."""
    annotations, results = case.make(root)
    images = root / "images.txt"
    gt = read_annotations(annotations, images=images if images.exists() else None, lenient=lenient)
    found = read_detections(
        results,
        images=gt.images,
        other_images=gt.other_images,
        classes=gt.classes,
        other_classes=gt.other_classes,
        task=case.task,
        lenient=lenient,
    )
    return gt, found


def skip_if_root(case: Case) -> None:
    if case.not_as_root and os.geteuid() == 0:
        pytest.skip("root may read every file")


def test_the_table_is_long_enough_and_its_names_differ() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert sum(bool(case.fragments) for case in CASES) >= 40


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_strict(case: Case, tmp_path: Path) -> None:
    skip_if_root(case)
    if not case.fragments:
        gt, found = read(case, tmp_path, lenient=False)
        assert len(gt.quads) >= 1 and len(found.quads) >= 1
        assert not gt.skipped and not found.skipped
        return
    with pytest.raises(FormatError) as error:
        read(case, tmp_path, lenient=False)
    message = str(error.value)
    for fragment in case.fragments:
        assert fragment in message, message
    assert "\n" not in message and "\0" not in message
    assert str(tmp_path) in message, "the message names the file"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_lenient(case: Case, tmp_path: Path) -> None:
    skip_if_root(case)
    if not case.lenient_ok:
        with pytest.raises(FormatError):
            read(case, tmp_path, lenient=True)
        return
    gt, found = read(case, tmp_path, lenient=True)
    total = sum(gt.skipped.values()) + sum(found.skipped.values())
    if not case.fragments:
        assert total == 0
        return
    assert total >= 1
    assert len(gt.quads) >= 1, "the good lines are kept"
    assert any("skipped" in notice for notice in gt.notices + found.notices)


def test_the_first_problem_in_file_order_is_the_error_whatever_the_threads(tmp_path: Path) -> None:
    annotations, _ = data_set(tmp_path)
    for i in range(50):
        (annotations / f"Q{i:03d}.txt").write_text("1 2 3 4 5 6 7 8 ship 0\n" * 50 + "bad\n" * (i >= 7))
    for jobs in (1, 4):
        with pytest.raises(FormatError, match=r"Q007\.txt:51: 1 column"):
            read_annotations(annotations, jobs=jobs)
    lenient = read_annotations(annotations, lenient=True, jobs=3)
    assert lenient.skipped == {"wrong number of columns": 43}
    assert len(lenient.notices) == 1 + 20, "a summary and the first twenty"


def test_numbers_of_lines_are_right_far_down_a_large_file(tmp_path: Path) -> None:
    line = "P0001 0.5 1 2 3 4 5 6 7 8\n"
    _, results = data_set(tmp_path, None, {"Task1_ship.txt": line * 60_000 + "P0001 x\n" + line * 60_000})
    for jobs in (1, 4):
        with pytest.raises(FormatError, match=r"Task1_ship\.txt:60001: 2 columns"):
            read_detections(results, images=["P0001", "P0002"], jobs=jobs)
    found = read_detections(results, images=["P0001", "P0002"], lenient=True, jobs=4)
    assert len(found.scores) == 2 + 120_000
    assert any("Task1_ship.txt:60001" in notice for notice in found.notices)
