"""The command `rotx convert`: what it says, refuses, skips, and leaves behind when it fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock

from rotx.annotations.convert import FORMATS
from rotx.annotations.formats import read_annotations
from rotx.cli import main
from rotx.cli.convert import _FORMATS

LINES = "imagesource:x\n10 10 40 10 40 30 10 30 ship 0\n-1 1 9 1 9 9 1 9 storage_tank 1\n"
YOLO = "0 .1 .1 .4 .1 .4 .3 .1 .3\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


def said(*arguments: object) -> list[str]:
    """What the command prints."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def failure(*arguments: object) -> str:
    """The one line that a command says which fails for the user's fault."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    line = result.stderr.splitlines()
    assert len(line) == 1 and line[0].startswith("error: "), result.stderr
    return line[0].removeprefix("error: ")


@pytest.fixture
def dota(tmp_path: Path) -> Path:
    """Two images with labels, one of them without objects."""
    (tmp_path / "set/labelTxt").mkdir(parents=True)
    (tmp_path / "set/images").mkdir()
    for name, text in (("P1", LINES), ("P2", "")):
        (tmp_path / f"set/labelTxt/{name}.txt").write_text(text)
        cv2.imwrite(str(tmp_path / f"set/images/{name}.png"), np.zeros((50, 100, 3), np.uint8))
    return tmp_path / "set"


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """The same as a YOLO data set."""
    for part in ("images", "labels"):
        (tmp_path / f"yolo/{part}/train").mkdir(parents=True)
    for name, text in (("P1", YOLO), ("P2", "")):
        (tmp_path / f"yolo/labels/train/{name}.txt").write_text(text)
        cv2.imwrite(str(tmp_path / f"yolo/images/train/{name}.png"), np.zeros((50, 100, 3), np.uint8))
    (tmp_path / "yolo/data.yaml").write_text("names: [ship]\n")
    return tmp_path / "yolo"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_command_has_all_formats() -> None:
    assert _FORMATS == FORMATS


def test_what_is_said(dota: Path, tmp_path: Path) -> None:
    out = tmp_path / "new/yolo"
    assert said(dota, out, "--to", "yolo", "--images", dota / "images") == [
        f"{out}: 2 images (1 without objects), 2 objects, read as dota",
        "2 classes: ship 1, storage_tank 1",
        "1 headers (imagesource, gsd): not kept",
        "1 difficult flags: lost, yolo has none",
        "1 objects reach beyond their images: kept, but some trainers refuse them",
    ]
    assert sorted(everything(out)) == [".rotx-convert.json", "data.yaml", "labels/P1.txt", "labels/P2.txt"]
    assert (out / "labels/P1.txt").read_text().splitlines()[0] == "0 0.1 0.2 0.4 0.2 0.4 0.6 0.1 0.6"


def test_a_second_run_replaces_what_the_first_has_written(dota: Path, tmp_path: Path) -> None:
    for to, out in (("voc", tmp_path / "voc"), ("coco", tmp_path / "a.json")):
        arguments = dota, out, "--to", to, "--images", dota / "images"
        said(*arguments)
        first = everything(out) if out.is_dir() else out.read_bytes()
        (dota / "labelTxt/P2.txt").write_text(LINES)
        assert "4 objects" in said(*arguments)[0]
        assert (everything(out) if out.is_dir() else out.read_bytes()) != first
        (dota / "labelTxt/P2.txt").write_text("")
        said(*arguments)
        assert (everything(out) if out.is_dir() else out.read_bytes()) == first
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_nothing_of_others_is_overwritten(dota: Path, tmp_path: Path) -> None:
    images = ["--images", dota / "images"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.txt").write_text("mine")
    assert "holds other files, such as x.txt: name another place" in failure(dota, other, "--to", "dota")
    (tmp_path / "a.json").write_text("{}")
    assert "exists, and was not written by rotx convert" in failure(dota, tmp_path / "a.json", "--to", "coco", *images)
    assert (tmp_path / "a.json").read_text() == "{}" and (other / "x.txt").read_text() == "mine"
    out = tmp_path / "out"
    said(dota, out, "--to", "dota")
    (out / "more.txt").write_text("mine")
    os.utime(out / "more.txt", (0, 0))
    assert "3 files, not 2" in failure(dota, out, "--to", "dota")
    (out / "more.txt").unlink()
    (out / "P1.txt").write_text("mine")
    later = time.time() + 5
    os.utime(out / "P1.txt", (later, later))
    assert "has been changed since rotx convert wrote it (P1.txt is newer)" in failure(dota, out, "--to", "dota")
    assert (out / "P1.txt").read_text() == "mine"


def test_places_that_cannot_be(dota: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert failure(dota, ".", "--to", "dota") == ".: is the current folder: name a folder in it"
    assert "coco is one file: need a name that ends with .json" in failure(dota, tmp_path / "a", "--to", "coco")
    assert "the annotations are read from here" in failure(dota / "labelTxt", dota / "labelTxt", "--to", "voc")
    assert "the annotations are read from here" in failure(dota / "labelTxt", dota, "--to", "voc")
    (tmp_path / "file").write_text("")
    assert "is a file; name a folder" in failure(dota, tmp_path / "file", "--to", "voc")
    (tmp_path / "d.json").mkdir()
    assert "is a folder; name a file" in failure(dota, tmp_path / "d.json", "--to", "coco")
    assert failure(dota, tmp_path / "file/x", "--to", "dota") == f"{tmp_path}/file: File exists"
    assert failure(tmp_path / "no", tmp_path / "out", "--to", "dota").endswith("no: no such file or folder")
    assert failure(tmp_path / "no.json", tmp_path / "out", "--to", "dota").endswith("No such file or directory")


def test_empty_folders_and_links_are_places(dota: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty", target_is_directory=True)
    for _ in range(2):
        lines = said(dota, tmp_path / "link", "--to", "dota", "--images", dota / "images")
        assert lines[0] == "note: --images: not needed, dota stores no sizes"
    assert (tmp_path / "link").is_symlink() and len(everything(tmp_path / "empty")) == 3


def test_a_set_without_objects_and_one_without_images(dota: Path, tmp_path: Path) -> None:
    (dota / "labelTxt/P1.txt").write_text("")
    lines = said(dota, tmp_path / "yolo", "--to", "yolo", "--images", dota / "images")
    assert lines == [f"{tmp_path}/yolo: 2 images (2 without objects), 0 objects, read as dota", "0 classes"]
    shutil.copytree(dota / "images", tmp_path / "yolo/images")
    assert said(tmp_path / "yolo", tmp_path / "back", "--to", "voc")[1].endswith("0 objects, read as yolo")
    nothing = coco_file(tmp_path / "in.json", [], [])
    for to in FORMATS:
        assert "0 images, 0 objects" in said(nothing, tmp_path / f"{to}.json", "--to", to)[0]


def test_sizes_that_are_not_known(dota: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    line = failure(dota, out, "--to", "coco")
    assert line == "image 'P1' (and 1 more): its size is unknown: name the image folder with --images"
    (dota / "images/P2.png").unlink()
    line = failure(dota, out, "--to", "coco", "--images", dota / "images")
    assert line.startswith("image 'P2': no readable file in ") and "--images" in line
    lines = said(dota, out, "--to", "coco", "--images", dota / "images", "--lenient")
    assert lines[0].startswith("note: skipped 1 images, first 'P2'") and "1 images, 2 objects" in lines[1]
    (dota / "images/P2.png").write_bytes(b"no image")
    line = failure(dota, out, "--to", "coco", "--images", dota / "images")
    assert line == f"{dota}/images/P2.png: is no PNG, JPEG, TIFF or BMP"
    cv2.imwrite(str(dota / "images/P2.jpg"), np.zeros((5, 5, 3), np.uint8))
    assert "P2.jpg and P2.png: two images of one name" in failure(
        dota, out, "--to", "coco", "--images", dota / "images"
    )
    assert "No such file" in failure(dota, out, "--to", "coco", "--images", tmp_path / "none")


def test_sizes_of_files_count_more_than_those_in_annotations(dota: Path, tmp_path: Path) -> None:
    said(dota, tmp_path / "a.json", "--to", "coco", "--images", dota / "images")
    cv2.imwrite(str(dota / "images/P1.png"), np.zeros((60, 70, 3), np.uint8))
    lines = said(tmp_path / "a.json", tmp_path / "b.json", "--to", "coco", "--images", dota / "images")
    assert "1 images have sizes that differ from the annotations, first 'P1': 70 x 60, not 100 x 50" in lines[0]
    assert json.loads((tmp_path / "b.json").read_bytes())["images"][0]["width"] == 70


def test_yolo_that_is_wrong(yolo: Path, tmp_path: Path) -> None:
    file = yolo / "labels/train/P1.txt"
    for text, reason in (
        ("1" + YOLO[1:], "label 1 has no name: there are 1 names, from 0 on"),
        ("x" + YOLO[1:], "label 'x' is not a number from 0 on"),
        ("0 .1 .1 .4 .1\n", "5 columns, need 9: label x1 y1 x2 y2 x3 y3 x4 y4"),
        ("0 10 10 .4 .1 .4 .3 .1 30\n", "30 is not a fraction of an image's side"),
    ):
        file.write_text(YOLO + YOLO + YOLO + text)
        line = failure(yolo, tmp_path / "out", "--to", "dota")
        assert line.startswith(f"{file}:4: {reason}"), line
        lines = said(yolo, tmp_path / f"out-{reason[:5]}", "--to", "dota", "--lenient")
        assert any(" 3 objects" in line for line in lines)
    for text, reason in (
        ("0 10 10 40 10 40 30 10 30\n", "40 is not a fraction of an image's side"),
        ("0 nan .1 .4 .1 .4 .3 .1 .3\n", "coordinate 'nan' is not finite"),
    ):
        file.write_text(text)
        assert failure(yolo, tmp_path / "out", "--to", "dota").startswith(f"{file}:1: {reason}")
    file.write_text(YOLO)
    (yolo / "images/train/P1.png").unlink()
    line = failure(yolo, tmp_path / "out", "--to", "dota")
    assert line == "image 'P1': its size is unknown: name the image folder with --images"
    line = failure(yolo, tmp_path / "out", "--to", "dota", "--images", yolo / "images")
    assert line.startswith(f"image 'P1': no readable file in {yolo}/images, and its size is needed")
    lines = said(yolo, tmp_path / "left", "--to", "dota", "--lenient")
    assert "skipped 1 images, first 'P1'" in lines[1] and "1 images (1 without objects), 0 objects" in lines[2]
    (yolo / "classes.txt").write_text("plane\n")
    assert "name different classes" in failure(yolo, tmp_path / "out", "--to", "dota")
    (yolo / "data.yaml").write_text("names: file.txt\n")
    assert failure(yolo, tmp_path / "out", "--to", "dota").startswith(
        f"{yolo}/data.yaml:1: names: need a list of names"
    )
    assert not (tmp_path / "out").exists()


def test_yolo_with_images_elsewhere(yolo: Path, tmp_path: Path) -> None:
    pictures = (yolo / "images").rename(tmp_path / "pictures")
    for k, (source, images) in enumerate([(yolo, pictures), (yolo / "labels/train", pictures / "train")]):
        said(source, tmp_path / f"{k}.json", "--to", "coco", "--images", images)
        record = json.loads((tmp_path / f"{k}.json").read_bytes())
        assert record["images"][0] == {"id": 1, "file_name": "P1.png", "width": 100, "height": 50}
        assert record["annotations"][0]["segmentation"] == [[10, 5, 40, 5, 40, 15, 10, 15]]
    for file in (pictures / "train").iterdir():  # beside the labels
        file.rename(yolo / "labels/train" / file.name)
    said(yolo, tmp_path / "beside", "--to", "dota")
    assert read_annotations(tmp_path / "beside").quads[0].tolist() == [10, 5, 40, 5, 40, 15, 10, 15]


@pytest.mark.parametrize("suffix", ["webp", "ppm", "tif", "bmp"])
def test_sizes_of_all_images_that_training_reads(suffix: str, dota: Path, tmp_path: Path) -> None:
    for file in (dota / "images").iterdir():
        cv2.imwrite(str(tmp_path / f"{file.stem}.{suffix}"), np.zeros((30, 70, 3), np.uint8))
    said(dota, tmp_path / "out.json", "--to", "coco", "--images", tmp_path)
    images = json.loads((tmp_path / "out.json").read_text())["images"]
    assert {(image["width"], image["height"]) for image in images} == {(70, 30)}


def test_yolo_with_capital_letters(yolo: Path, tmp_path: Path) -> None:
    (yolo / "labels/train/P1.txt").rename(yolo / "labels/train/P1.TXT")
    assert any(" 1 objects, read as yolo" in line for line in said(yolo, tmp_path / "out", "--to", "dota"))


def test_yolo_without_names_and_with_scores(yolo: Path, tmp_path: Path) -> None:
    (yolo / "data.yaml").unlink()
    (yolo / "labels/train/P1.txt").write_text(YOLO[:-1] + " 0.75\n")
    lines = said(yolo / "labels/train", tmp_path / "out", "--to", "dota")
    assert "no class names" in lines[0] and "classes are named by their numbers" in lines[0]
    assert lines[2:4] == ["1 classes: 0 1", "1 scores: not kept"]
    assert read_annotations(tmp_path / "out").quads[0].tolist() == [10, 5, 40, 5, 40, 15, 10, 15]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "line 1: is not json, or is cut off"),
        ("[]", "need an object with a list of shapes"),
        ('{"shapes": [1]}', "shapes[0]: need an object, got 1"),
        ('{"shapes": [{"label": "", "points": []}]}', "shapes[0]: label: need a name"),
        ('{"shapes": [{"label": "a", "points": [[1, 2]], "shape_type": "point"}]}', "a 'point' has no corners"),
        ('{"shapes": [{"label": "a", "points": [[1, 2]]}]}', "points: need three corners or more, got 1"),
        ('{"shapes": [{"label": "a", "points": [[1, 2], [3], [4, 5]]}]}', "points: need [[x, y], ...]"),
        ('{"shapes": [{"label": "a", "points": [[1, NaN], [3, 3], [4, 5]]}]}', "points: need numbers up to"),
        (f'{{"shapes": [], "imageWidth": {"9" * 5000}}}', "holds a number of too many digits"),
    ],
)
def test_labelme_that_is_wrong(content: str, reason: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.json").write_text('{"shapes": [], "imageWidth": 3, "imageHeight": 3}')
    (folder / "2.json").write_text(content)
    line = failure(folder, tmp_path / "out", "--to", "dota")
    assert line.startswith(f"{folder}/2.json: ") and reason in line
    lines = said(folder, tmp_path / "out", "--to", "dota", "--lenient")
    assert lines[0].startswith("note: skipped 1 shapes or files: ") and reason in lines[1]
    assert "2 images (2 without objects), 0 objects" in lines[2]


def test_two_files_of_labelme_for_one_image(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.JSON", "a.json"):
        (folder / name).write_text('{"shapes": []}')
    line = failure(folder, tmp_path / "out", "--to", "dota")
    assert line == f"{folder}/a.json: image 'a' already has a file: a.JSON"


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e300"])
def test_coco_with_numbers_that_no_image_has(number: str, tmp_path: Path) -> None:
    file = coco_file(tmp_path / "set.json", ["a.png"], ["a", "b"])
    file.write_text(
        file.read_text().replace("[[0, 0, 10, 0, 10, 10, 0, 10]]}]", f"[[0, 0, {number}, 0, 9, 9, 0, 9]]}}]")
    )
    line = failure(file, tmp_path / "out", "--to", "dota")
    assert line == f"{file}: annotations[1]: need finite coordinates up to 1e+09 pixels"


def test_other_formats_that_are_wrong(dota: Path, tmp_path: Path) -> None:
    (dota / "labelTxt/P1.txt").write_text(LINES + "1 2 3\n")
    assert failure(dota, tmp_path / "out", "--to", "dota").startswith(f"{dota}/labelTxt/P1.txt:4: 3 columns, need 9")
    lines = said(dota, tmp_path / "out", "--to", "dota", "--lenient")
    assert "skipped 1 lines or files: wrong number of columns 1" in lines[0] and "2 objects" in lines[2]
    coco = tmp_path / "set.json"
    coco.write_text('{"images": [], "categories": [], "annotations": [{"image_id": 3}]}')
    assert failure(coco, tmp_path / "out2", "--to", "dota").startswith(f"{coco}: annotations[0].image_id: there is no")
    shutil.copy(coco, dota / "images/a.json")
    assert "looks like COCO's: give the file itself" in failure(dota / "images", tmp_path / "out2", "--to", "dota")
    assert not (tmp_path / "out2").exists()


def coco_file(path: Path, images: list[str], classes: list[str]) -> Path:
    """A file with an object of each class on the first image."""
    square = [0, 0, 10, 0, 10, 10, 0, 10]
    record = {
        "images": [{"id": i, "file_name": name, "width": 20, "height": 20} for i, name in enumerate(images)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes)],
        "annotations": [
            {"id": i, "image_id": 0, "category_id": i, "segmentation": [square]} for i in range(len(classes))
        ],
    }
    path.write_text(json.dumps(record))
    return path


@pytest.mark.parametrize(
    ("images", "classes", "to", "reason"),
    [
        (["a/1.png", "b/1.png"], ["x"], "dota", "image 'a/1': images of one name in several folders: convert a and"),
        (["readme.png"], ["x"], "voc", "image 'readme': readers skip a file of this name"),
        (["1.png"], ["a b", "a-b"], "dota", "class 'a b': dota has no spaces in names, and 'a-b' is taken"),
        (["1.png"], ["a\tb"], "voc", "'a\\tb': the name is empty or has control characters"),
        (["1.png"], ["a\ud800"], "voc", "'a\\ud800': the name is not valid text"),
        (["1.png"], [" a"], "voc", "class ' a': the name starts or ends with a space"),
        (["1.png"], ["plane"], "hrsc", "class 'plane': hrsc stores HRSC2016 ship classes only"),
    ],
)
def test_names_that_the_target_cannot_hold(
    images: list[str], classes: list[str], to: str, reason: str, tmp_path: Path
) -> None:
    source = coco_file(tmp_path / "in.json", images, classes)
    assert failure(source, tmp_path / "out", "--to", to).startswith(reason)
    assert not (tmp_path / "out").exists()


def test_names_that_are_changed_and_files_that_are_not_named(dota: Path, tmp_path: Path) -> None:
    source = coco_file(tmp_path / "in.json", ["a/1.png", "a/2"], ["storage tank", "ship"])
    lines = said(source, tmp_path / "out", "--to", "dota")
    assert "1 names of classes have spaces, which dota has not: 'storage tank' is now 'storage-tank'" in lines
    assert read_annotations(tmp_path / "out").classes == ["storage-tank", "ship"]
    lines = said(source, tmp_path / "b.json", "--to", "coco")
    assert lines[-1].startswith("1 images: file suffixes are unknown")
    names = [image["file_name"] for image in json.loads((tmp_path / "b.json").read_bytes())["images"]]
    assert names == ["a/1.png", "a/2"]


def test_kinds_of_ships(tmp_path: Path) -> None:
    source = coco_file(tmp_path / "in.json", ["1.bmp"], ["ship", "Nimitz"])
    lines = said(source, tmp_path / "out", "--to", "hrsc")
    assert lines[-1] == "1 objects are of a kind of ship: most readers take them for 'ship'"
    text = (tmp_path / "out/1.xml").read_text()
    assert "<Class_ID>100000001</Class_ID>" in text and "<Class_ID>100000005</Class_ID>" in text
    assert read_annotations(tmp_path / "out").classes == ["ship"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of file sizes")
@pytest.mark.parametrize("to", ["coco", "labelme"])
def test_a_disk_that_is_full_leaves_what_was_there(to: str, dota: Path, tmp_path: Path) -> None:
    out = tmp_path / ("out.json" if to == "coco" else "out")
    arguments = [str(dota), str(out), "--to", to, "--images", str(dota / "images")]
    assert run(*arguments).exit_code == 0
    before = out.read_bytes() if out.is_file() else everything(out)
    (dota / "labelTxt/P1.txt").write_text(LINES * 1000)
    code = (
        "import resource, sys; from rotx.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); main(['convert', *sys.argv[1:]])"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.endswith("File too large\n"), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (out.read_bytes() if out.is_file() else everything(out)) == before
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_one_run_at_a_time_and_what_a_killed_one_leaves(dota: Path, tmp_path: Path) -> None:
    left = tmp_path / ".out.rotx-convert.tmp"
    (left / "sub").mkdir(parents=True)
    (left / "sub/P9.txt").write_text("half")
    with FileLock(tmp_path / ".out.rotx-convert.tmp.lock"):
        assert "another run is writing it" in failure(dota, tmp_path / "out", "--to", "dota")
    said(dota, tmp_path / "out", "--to", "dota")
    assert sorted(everything(tmp_path / "out")) == [".rotx-convert.json", "P1.txt", "P2.txt"]
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
