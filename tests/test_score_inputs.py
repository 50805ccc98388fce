"""What ``rotx-eval score`` compares beside DOTA's files, and what it shows where a score is undefined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rotx.cli.eval import main

QUAD = [400, 400, 500, 400, 500, 500, 400, 500]


def score(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["score", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def coco(*things: dict[str, Any], names: tuple[str, ...] = ("ship",)) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "P1.png", "width": 1000, "height": 1000}],
        "categories": [{"id": 3 + i, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 3, "segmentation": [QUAD], **thing}
            for i, thing in enumerate(things)
        ],
    }


def mean(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("| mAP")]
    return line.split("|")[-2].strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    quad = " ".join(map(str, QUAD))
    return write(tmp_path, {"gt/P1.txt": f"{quad} ship 0\n", "det/Task1_ship.txt": f"P1 0.9 {quad}\n"})


RESULTS = {
    "coco-bbox": [{"image_id": 7, "category_id": 3, "score": 0.9, "bbox": [400, 400, 100, 100]}],
    "coco-polygon": [{"image_id": 7, "category_id": 3, "score": 0.9, "segmentation": [QUAD]}],
    "coco-rbox": [{"image_id": 7, "category_id": 3, "score": 0.9, "bbox": [450, 450, 100, 100, 0]}],
}
ULTRALYTICS = {
    "poly": [{"image_id": "P1", "category_id": 1, "score": 0.9, "rbox": [1, 1, 1, 1, 0], "poly": QUAD}],
    "rbox": [{"image_id": "P1", "category_id": 1, "score": 0.9, "rbox": [450, 450, 100, 100, 0]}],
    "from-zero": [{"image_id": "P1", "category_id": 0, "score": 0.9, "poly": QUAD}],
    "file-name": [{"image_id": 1, "file_name": "P1.jpg", "category_id": 1, "score": 0.9, "poly": QUAD}],
}


@pytest.mark.parametrize("results", RESULTS.values(), ids=RESULTS)
def test_results_of_coco(results: Any, folder: Path) -> None:
    write(folder, {"gt.json": coco({}), "r.json": results})
    code, text = score(folder / "gt.json", folder / "r.json", "--protocol", "voc12")
    assert code == 0 and mean(text) == "1.0000", text


@pytest.mark.parametrize("results", ULTRALYTICS.values(), ids=ULTRALYTICS)
def test_results_of_ultralytics(results: Any, folder: Path) -> None:
    write(folder, {"predictions.json": results})
    code, text = score(folder / "gt", folder / "predictions.json", "--protocol", "voc12")
    assert code == 0 and mean(text) == "1.0000", text


def test_annotations_of_coco_and_results_of_dota(folder: Path) -> None:
    far = {"segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]], "iscrowd": 1}
    write(folder, {"gt.json": coco({}, far, names=("ship", "plane"))})
    code, text = score(folder / "gt.json", folder / "det", "--classes", "ship", "--protocol", "voc12")
    assert code == 0 and mean(text) == "1.0000", "the crowd is not missed"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "results: need a list"),
        ([{"image_id": "P2", "category_id": 1, "score": 1, "poly": QUAD}], "[0]: image_id: image 'P2' is not in"),
        ([{"image_id": "P1", "category_id": 5, "score": 1, "poly": QUAD}], "[0]: category_id: there is no category 5"),
        ([{"image_id": "P1", "category_id": 1, "poly": QUAD}], "[0]: score: need"),
        ([{"image_id": "P1", "category_id": 1, "score": "nan", "poly": QUAD}], "[0]: score: need"),
        ([{"image_id": "P1", "category_id": 1, "score": 1, "bbox": [1, 2, -3, 4]}], "[0]: bbox: width and height"),
        ([{"image_id": "P1", "category_id": 1, "score": 1}], "[0]: need poly, rbox"),
        ([3], "[0]: need an object, got 3"),
    ],
)
def test_damaged_results(content: Any, says: str, folder: Path) -> None:
    write(folder, {"r.json": content})
    code, text = score(folder / "gt", folder / "r.json", "--protocol", "voc12")
    assert code == 2 and text.count("\n") == 1 and f"r.json: {says}" in text
    if isinstance(content, list):
        code, text = score(folder / "gt", folder / "r.json", "--protocol", "voc12", "--lenient")
        assert code == 0 and "skipped 1 detections" in text


def test_results_that_cannot_be_scored(folder: Path) -> None:
    write(folder, {"r.pkl": "x", "labels/P1.txt": "0 0.4 0.4 0.5 0.4 0.5 0.5 0.4 0.5 0.93\n"})
    assert "a pickle can run code" in score(folder / "gt", folder / "r.pkl")[1]
    assert "labels/P1.txt:1: is a label file of Ultralytics" in score(folder / "gt", folder / "labels")[1]
    write(folder, {"gt/P2.txt": "1 1 9 1 9 9 1 9 plane 0\n", "p.json": ULTRALYTICS["file-name"]})
    assert "its classes are numbers; name them" in score(folder / "gt", folder / "p.json", "--protocol", "voc12")[1]
    code, text = score(folder / "gt", folder / "p.json", "--protocol", "voc12", "--classes", "ship,plane")
    assert code == 0 and mean(text) == "0.5000"


NOTHING = {
    "other classes": ("1 1 9 1 9 9 1 9 vehicle 0\n", "dota-v1.0", "--classes vehicle"),
    "two other classes": ("1 1 9 1 9 9 1 9 b 0\n1 1 9 1 9 9 1 9 a 0\n", "dota-v1.5", "--classes b,a"),
    "all difficult": ("1 1 9 1 9 9 1 9 ship 1\n", "voc12", "all objects are difficult"),
    "no objects": ("", "coco", "no objects in 1 images"),
    "no objects of dota": ("imagesource:x\ngsd:1\n", "dota-v1.0", "no objects in 1 images"),
}


@pytest.mark.parametrize(("labels", "protocol", "says"), NOTHING.values(), ids=NOTHING)
def test_nothing_to_score_is_an_error(labels: str, protocol: str, says: str, tmp_path: Path) -> None:
    write(tmp_path, {"gt/i.txt": labels, "det/vehicle.txt": "", "det/ship.txt": "", "det/a.txt": "", "det/b.txt": ""})
    code, text = score(tmp_path / "gt", tmp_path / "det", "--protocol", protocol, "--lenient")
    assert code == 2 and "nothing to score: " in text and says in text, text


def test_undefined_scores_are_not_zero(tmp_path: Path) -> None:
    """No object is medium or large, and class c has none: undefined, as pycocotools says with -1."""
    box = "10 10 20 10 20 20 10 20"
    write(
        tmp_path, {"gt/i.txt": f"{box} a 0\n", "det/Task1_a.txt": f"i 0.9 {box}\n", "det/Task1_c.txt": f"i 0.8 {box}\n"}
    )
    outputs = ["--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv", "--report", tmp_path / "r"]
    code, text = score(tmp_path / "gt", tmp_path / "det", "--protocol", "coco", *outputs)
    assert code == 0 and "| c     | 0   | 1    | –      | –" in text and "| large   | 0   | –" in text
    record = json.loads((tmp_path / "s.json").read_text())[0]
    assert [record[key] for key in ("map", "map_small", "map_medium", "map_large")] == [1.0, 1.0, None, None]
    assert record["classes"]["c"] == {"ap": None, "gts": 0, "dets": 1, "recall": None}
    assert "0.5,c,0,1,," in (tmp_path / "s.csv").read_text()


def test_a_class_without_detections_is_in_the_report(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    box = "10 10 20 10 20 20 10 20"
    write(tmp_path, {"ann/a.txt": f"{box} ship 0\n{box} plane 0\n", "det/Task1_ship.txt": f"a 0.9 {box}\n"})
    code, text = score(tmp_path / "ann", tmp_path / "det", "--protocol", "voc12", "--report", tmp_path / "r")
    assert code == 0 and mean(text) == "0.5000" and (tmp_path / "r/index.html").is_file()


@pytest.mark.parametrize("option", ["--json", "--csv", "--per-image"])
@pytest.mark.parametrize("victim", ["gt.json", "r.json", "gt/P1.txt", "det/Task1_ship.txt"])
def test_no_output_replaces_an_input(option: str, victim: str, folder: Path) -> None:
    write(folder, {"gt.json": coco({}), "r.json": RESULTS["coco-bbox"]})
    before = (folder / victim).read_bytes()
    truth = folder / ("gt" if "/" in victim else "gt.json")
    results = folder / ("det" if "/" in victim else "r.json")
    code, text = score(truth, results, "--protocol", "voc12", option, folder / victim)
    assert code == 2 and f"error: {option} " in text and "would replace what is read from" in text
    assert (folder / victim).read_bytes() == before


def test_numbers_of_images_and_classes_are_not_guessed(folder: Path) -> None:
    """An image called 5 with the id 1; ids that are names; classes that could be numbered from 0 or 1."""
    images = [{"id": i, "file_name": f"{name}.png"} for i, name in ((1, 5), (5, 9))]
    truth = coco({"image_id": 1}) | {"images": images}
    ultra = [{"image_id": 5, "category_id": 3, "score": 0.9, "poly": QUAD}]
    official = [{"image_id": 1, "category_id": 3, "score": 0.9, "segmentation": [QUAD]}]
    write(folder, {"t.json": truth, "u.json": ultra, "o.json": official})
    for results in ("u.json", "o.json"):
        assert mean(score(folder / "t.json", folder / results, "--protocol", "voc12")[1]) == "1.0000", results
    write(folder, {"n.json": ULTRALYTICS["poly"], "l.json": [{**ultra[0], "category_id": [1]}]})
    code, text = score(folder / "gt", folder / "n.json", "--protocol", "voc12", "--classes", "a,ship,b")
    assert code == 2 and "numbered from 0 or 1: give" in text
    code, text = score(folder / "t.json", folder / "l.json", "--protocol", "voc12")
    assert code == 2 and "category_id: there is no category [1]" in text


def test_images_of_one_name_in_two_folders(folder: Path) -> None:
    images = [{"id": 1, "file_name": "a/1.png"}, {"id": 2, "file_name": "b/1.png"}]
    truth = coco({"image_id": 1}, {"image_id": 2}) | {"images": images}
    results = [{"image_id": i, "category_id": 3, "score": 0.9, "segmentation": [QUAD]} for i in (1, 2)]
    write(folder, {"t.json": truth, "r.json": results})
    assert mean(score(folder / "t.json", folder / "r.json", "--protocol", "voc12")[1]) == "1.0000"
    results[0] |= {"segmentation": [[*QUAD, 3, 3]], "bbox": [400, 400, 100, 100]}
    write(folder, {"r.json": results})
    assert (
        "segmentation: need one polygon of four"
        in score(folder / "t.json", folder / "r.json", "--protocol", "voc12")[1]
    )
