"""The submission check: every fault planted once into results that are otherwise right."""

import tarfile
import time
import zipfile

import numpy as np
import pytest

from conftest import GOLDENS
from rotx.annotations.classes import DOTA_V1_0, DOTA_V1_5, DOTA_V2_0
from rotx.annotations.files import FormatError
from rotx.evaluation.submission import CLASSES, check_submission


def good(folder, classes=DOTA_V1_0, task=1):
    """A folder of results that has no fault."""
    folder.mkdir(exist_ok=True)
    for k, name in enumerate(classes):
        box = "10 10 40 10 40 30 10 30" if task == 1 else "10 10 40 30"
        lines = [f"P{i:04d} {0.9 - 0.013131 * (i + k):.6f} {box}\n" for i in range(5)]
        (folder / f"Task{task}_{name}.txt").write_text("".join(lines))
    return folder


def packed(folder, target, prefix=""):
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
    return target


def add(folder, name, *lines):
    with (folder / f"Task1_{name}.txt").open("a") as file:
        file.writelines(line + "\n" for line in lines)


@pytest.fixture
def folder(tmp_path):
    return good(tmp_path / "Task1")


def only(findings):
    assert len(findings) == 1, "\n".join(map(str, findings))
    return findings[0]


@pytest.mark.parametrize("task", [1, 2])
@pytest.mark.parametrize("version", ["1.0", "1.5", "2.0"])
def test_nothing_wrong(tmp_path, version, task):
    folder = good(tmp_path / "results", CLASSES[version], task)
    assert check_submission(folder, version, task) == []
    assert check_submission(str(packed(folder, tmp_path / "a.zip")), version, task) == []
    if task == 1:
        folder.rename(tmp_path / "Task1")  # a folder that holds the folder
        (tmp_path / "a.zip").unlink()
        assert check_submission(tmp_path, version) == []


def test_missing_classes(folder):
    finding = only(check_submission(folder, "2.0"))
    assert finding.level == "error" and finding.file == str(folder)
    assert "3 of the 18 classes of DOTA-v2.0: container-crane, airport, helipad" in finding.text
    (folder / "Task1_ship.txt").unlink()
    assert only(check_submission(folder)).text.endswith("1 of the 15 classes of DOTA-v1.0: ship")


@pytest.mark.parametrize("wrong", ["small_vehicle", "Small-Vehicle", "small vehicle", "smal-vehicle"])
def test_misspelt_class(folder, wrong):
    (folder / "Task1_small-vehicle.txt").rename(folder / f"Task1_{wrong}.txt")
    missing, unknown = check_submission(folder)
    assert missing.text.endswith(": small-vehicle") and missing.level == "error"
    assert unknown.level == "error" and unknown.file == f"Task1_{wrong}.txt"
    assert unknown.text == f"unknown class '{wrong}': is 'small-vehicle' meant?"
    assert unknown.fix == "rename to Task1_small-vehicle.txt"


def test_extra_class(tmp_path):
    folder = good(tmp_path / "a", (*DOTA_V1_5, "windmill"))
    crane, windmill = check_submission(folder)
    assert (crane.level, crane.file) == ("warning", "Task1_container-crane.txt")
    assert crane.fix == "leave it out, or check as version 1.5"
    assert (windmill.level, windmill.fix) == ("warning", "leave it out")
    assert only(check_submission(folder, "1.5")).file == "Task1_windmill.txt"


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\r\n", b"\xef\xbb\xbf"])
def test_empty_file(folder, content):
    (folder / "Task1_ship.txt").write_bytes(content)
    finding = only(check_submission(folder))
    assert (finding.level, finding.file, finding.line) == ("error", "Task1_ship.txt", None)
    assert "is empty" in finding.text


@pytest.mark.parametrize("patch", ["P0006__1024__0___824", "P0006__1.0__254___0", "P0006__0.5__-1___-20"])
def test_patch_names(folder, patch):
    add(folder, "ship", *(f"{patch} 0.{i}12345 1 1 4 1 4 3 1 3" for i in range(1, 4)))
    finding = only(check_submission(folder))
    assert (finding.level, finding.file, finding.line) == ("error", "Task1_ship.txt", 6)
    assert finding.text == f"3 detections on patches such as '{patch}'"
    assert "merge" in finding.fix


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".tiff"])
def test_image_names_with_a_suffix(folder, suffix):
    add(folder, "ship", f"P0001{suffix} 0.123456 1 1 4 1 4 3 1 3")
    finding = only(check_submission(folder))
    assert (finding.level, finding.line) == ("error", 6)
    assert f"'P0001{suffix}'" in finding.text


def test_image_names_unlike_those_of_dota(folder):
    add(folder, "ship", "100000001 0.123456 1 1 4 1 4 3 1 3", "img_7 0.123457 1 1 4 1 4 3 1 3")
    finding = only(check_submission(folder))
    assert (finding.level, finding.line) == ("warning", 6)
    assert finding.text == "2 detections on images not named as those of DOTA, as '100000001'"


def test_scores_with_two_decimals(folder):
    scores = [0.25, 0.25, 0.25, 0.5, 0.75, 1, 0, 0.75]
    lines = [f"P{i:04d} {score} 1 1 4 1 4 3 1 3\n" for i, score in enumerate(scores)]
    (folder / "Task1_ship.txt").write_text("".join(lines))
    finding = only(check_submission(folder))
    assert (finding.level, finding.line) == ("warning", 1)
    assert finding.text.startswith("5 detections (62 %) share their score")
    # As few digits do no harm where no two are equal, nor do equal scores among precise ones.
    (folder / "Task1_ship.txt").write_text("".join(lines[2:5]))
    assert check_submission(folder) == []
    add(folder, "ship", "P0009 0.123456 1 1 4 1 4 3 1 3", "P0009 0.123456 1 1 4 1 4 3 1 3")
    assert check_submission(folder) == []


@pytest.mark.parametrize("bad", [-101, 40001, -1e8])
def test_boxes_far_outside(folder, bad):
    add(folder, "ship", f"P0001 0.123456 1 1 4 1 4 {bad} 1 3", "P0001 0.123457 -99 1 4 1 29200 3 1 3")
    finding = only(check_submission(folder))
    assert (finding.level, finding.line) == ("warning", 6)
    assert finding.text.startswith("1 detection far outside")


@pytest.mark.parametrize("word", ["nan", "inf", "-Infinity", "1e999"])
@pytest.mark.parametrize("column", [1, 5])
def test_numbers_that_are_not_finite(folder, word, column):
    words = ["P0001", "0.123456", "1", "1", "4", "1", "4", "3", "1", "3"]
    words[column] = word
    add(folder, "ship", " ".join(words), "P0001 0.123456 1 1 4 1 4 3 1 3")
    finding = only(check_submission(folder))
    assert (finding.level, finding.line) == ("error", 6)
    assert finding.text.startswith("1 line that cannot be read (1 not finite)") and word in finding.text


def test_wrong_columns(folder):
    add(folder, "ship", "P0001 0.5 1 1 4 3", "P0001 0.5 1 1 4 1 4 3 1 3 ship", "P0001 x 1 1 4 1 4 3 1 3")
    finding = only(check_submission(folder))
    assert (finding.level, finding.line) == ("error", 6)
    assert "3 lines that cannot be read (2 wrong number of columns, 1 not a number)" in finding.text
    assert "6 columns" in finding.text and "x4 y4" in finding.fix


def test_file_that_is_no_text(folder):
    (folder / "Task1_ship.txt").write_bytes("P0001 0.5".encode("utf-16"))
    finding = only(check_submission(folder))
    assert finding.level == "error" and finding.line is None
    assert "UTF-16" in finding.text


def test_boxes_without_area(folder):
    add(folder, "ship", "P0001 0.123456 1 1 4 1 4 1 1 1", "P0001 0.123457 7 7 7 7 7 7 7 7")
    finding = only(check_submission(folder))
    assert (finding.level, finding.line) == ("warning", 6)
    assert finding.text == "2 detections whose box has no area"


def test_scores_out_of_range(folder):
    add(folder, "ship", "P0001 99.123456 1 1 4 1 4 3 1 3", "P0001 -0.123457 1 1 4 1 4 3 1 3")
    finding = only(check_submission(folder))
    assert (finding.level, finding.line) == ("warning", 6)
    assert finding.text == "2 detections with a score outside 0 to 1"


def test_files_of_the_other_task(tmp_path):
    folder = good(tmp_path / "a", task=2)
    missing, swapped = check_submission(folder)
    assert "15 of the 15 classes" in missing.text
    assert swapped.level == "error" and swapped.text == "15 files of task 2, not 1"
    assert [f.text for f in check_submission(good(folder), task=2)] == ["15 files of task 1, not 2"]


def test_files_named_by_the_class_alone(folder):
    (folder / "Task1_ship.txt").rename(folder / "ship.txt")
    finding = only(check_submission(folder))
    assert (finding.level, finding.file, finding.fix) == ("error", "ship.txt", "rename to Task1_ship.txt")
    (folder / "ship.txt").write_text("")
    assert [f.file for f in check_submission(folder)] == ["ship.txt", "ship.txt"]  # it is read all the same


def test_other_files(folder, tmp_path):
    for name in ("README.txt", "results.json"):
        (folder / name).write_text("a\n")
    for path in (folder, packed(folder, tmp_path / "a.zip")):
        finding = only(check_submission(path))
        assert (finding.level, finding.file) == ("warning", "README.txt")
        assert finding.text == "2 files besides Task1_<class>.txt"


@pytest.mark.parametrize("prefix", ["Task1/", "results/dota/"])
def test_folder_in_the_archive(folder, tmp_path, prefix):
    finding = only(check_submission(packed(folder, tmp_path / "a.zip", prefix)))
    assert finding.level == "error"
    assert f"'{prefix.split('/')[0]}'" in finding.text


@pytest.mark.parametrize("name", ["../Task1_ship.txt", "/Task1_ship.txt", "a\\..\\..\\Task1_ship.txt"])
def test_members_outside_the_archive(folder, tmp_path, name):
    path = packed(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "P0001 0.5 1 1 4 1 4 3 1 3")
    finding = only(check_submission(path))
    assert finding.level == "error" and "outside the archive" in finding.text


def test_what_is_no_zip(folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for file in folder.iterdir():
            archive.add(file, file.name)
    assert "takes .zip" in only(check_submission(tmp_path / "a.tar.gz")).text

    (tmp_path / "b.zip").write_bytes(b"PK not at all")
    assert only(check_submission(tmp_path / "b.zip")).level == "error"
    (tmp_path / "empty").mkdir()
    assert "no .txt" in only(check_submission(tmp_path / "empty")).text
    with pytest.raises(FormatError, match="no such file"):
        check_submission(tmp_path / "nowhere.zip")


def test_unknown_version_or_task(folder):
    with pytest.raises(ValueError, match=r"1\.0, 1\.5, 2\.0"):
        check_submission(folder, "3.0")
    with pytest.raises(ValueError, match="1 or 2"):
        check_submission(folder, task=3)


def test_it_does_not_stop_at_the_first(folder, tmp_path):
    (folder / "Task1_plane.txt").unlink()
    (folder / "Task1_harbor.txt").write_text("")
    add(folder, "ship", "P0001.png 0.123456 1 1 4 1 4 1 1 1", "nonsense", "", "P0002 7.123456 1 1 4 1 4 9e7 1 3")
    add(folder, "bridge", "P0006__1024__0___824 0.123456 -500 1 4 1 4 3 1 3")
    for path in (folder, packed(folder, tmp_path / "a.zip")):
        found = [(f.level, f.file, f.line) for f in check_submission(path)]
        assert sorted(found, key=str) == sorted(
            [
                ("error", str(path), None),
                ("error", "Task1_harbor.txt", None),
                ("error", "Task1_ship.txt", 6),  # the suffix
                ("error", "Task1_ship.txt", 7),  # nonsense
                ("warning", "Task1_ship.txt", 6),  # no area
                ("warning", "Task1_ship.txt", 9),  # the score, past a bad and a blank line
                ("warning", "Task1_ship.txt", 9),  # far outside
                ("error", "Task1_bridge.txt", 6),
                ("warning", "Task1_bridge.txt", 6),
            ],
            key=str,
        )


def test_line_numbers_unknown_after_many_bad_lines(folder):
    add(folder, "ship", *["nonsense"] * 30, "P0001 7.123456 1 1 4 1 4 3 1 3")
    bad, score = check_submission(folder)
    assert bad.line == 6 and "30 lines" in bad.text
    assert score.line is None and score.file == "Task1_ship.txt"


def test_text_of_a_finding(folder):
    add(folder, "ship", "P0001 7.123456 1 1 4 1 4 3 1 3")
    want = "warning: Task1_ship.txt:6: 1 detection with a score outside 0 to 1; check what the scores are"
    assert str(only(check_submission(folder))) == want


def test_stored_sets():
    assert {f.level for f in check_submission(GOLDENS / "devkit/small/Task1.zip")} <= {"warning"}
    empty = [f.file for f in check_submission(GOLDENS / "devkit/ugly/Task1.zip", "2.0") if "is empty" in f.text]
    assert empty == ["Task1_ground-track-field.txt", "Task1_swimming-pool.txt"]


def test_fast_enough_for_dota(tmp_path):
    """340,000 detections with faults in every line: no work a line in Python."""
    folder = tmp_path / "Task1"
    folder.mkdir()
    rng = np.random.default_rng(0)
    per = 340_000 // len(DOTA_V2_0)
    for name in DOTA_V2_0:
        rows = zip(rng.random(per).round(2).tolist(), rng.integers(-200, 30_000, (per, 8)).tolist(), strict=True)
        lines = [f"P{i % 458:04d}__1024__0___824 {s} {' '.join(map(str, q))}\n" for i, (s, q) in enumerate(rows)]
        (folder / f"Task1_{name}.txt").write_text("".join(lines))
    start = time.process_time()
    findings = check_submission(folder, "2.0")
    took = time.process_time() - start
    assert len(findings) == 3 * len(DOTA_V2_0)  # patches, ties, outside
    assert took < 4, f"{took:.2f} s of processor time"
