"""What writers of results write is what was found, is complete or not there, and costs no memory."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shapely import Polygon

from results import CLASSES, result
from results import objects as objects_of
from rotx.annotations.formats import read_detections
from rotx.annotations.task1 import write_task1
from rotx.compat import build
from rotx.datasets.coco import RotatedCocoDataset
from rotx.inference.outputs import check, open_writers
from rotx.records import ImageRecord

#: Those that need no georeference.
PLAIN = ("json", "dota", "coco", "yolo")


def write(out: Path, results: Sequence[ImageRecord], formats: Sequence[str] = PLAIN) -> list[Path]:
    writers = open_writers(formats, out, CLASSES)
    for one in results:
        for writer in writers:
            writer.add(one)
    return [path for writer in writers for path in writer.close()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def many(number: int = 5) -> list[ImageRecord]:
    return [result(f"a/P{i}", seed=i, number=7 * i) for i in range(number)]


# What is in the files


def test_json_has_all_numbers_as_they_were(tmp_path: Path) -> None:
    results = many()
    assert write(tmp_path / "new/out", results, ["json"]) == [tmp_path / "new/out/predictions.json"]
    images = json.loads((tmp_path / "new/out/predictions.json").read_text())
    assert [image["name"] for image in images] == [f"a/P{i}" for i in range(5)]
    for image, one in zip(images, results, strict=True):
        found, objects = one.instances, image["objects"]
        assert (image["file"], image["width"], image["height"]) == (str(one.path), 640, 512)
        np.testing.assert_array_equal([thing["rbox"] for thing in objects] or np.zeros((0, 5)), found.rboxes)
        np.testing.assert_array_equal([thing["quad"] for thing in objects] or np.zeros((0, 8)), found.quads)
        assert [thing["score"] for thing in objects] == found.scores.tolist()
        assert [(thing["label"], thing["class"]) for thing in objects] == [
            (label, CLASSES[label]) for label in found.labels
        ]


def test_dota_is_what_write_task1_writes(tmp_path: Path) -> None:
    """Of one image to the byte; of several the same lines, image by image."""
    results = [result(f"P{i}", seed=i) for i in range(4)]
    write(tmp_path / "one", results[:1], ["dota"])
    write(tmp_path / "all", results, ["dota"])
    found = read_detections(tmp_path / "all", classes=CLASSES)
    assert len(found.scores) == 80 and set(found.images) == {"P0", "P1", "P2", "P3"}
    write_task1(found, tmp_path / "expected")
    expected = contents(tmp_path / "expected")
    assert set(expected) == {f"Task1_{name}.txt" for name in CLASSES}
    got = contents(tmp_path / "all/Task1")
    assert {name: sorted(text.splitlines()) for name, text in got.items()} == {
        name: sorted(text.splitlines()) for name, text in expected.items()
    }
    for name, text in contents(tmp_path / "one/Task1").items():
        assert text == b"".join(line for line in expected[name].splitlines(True) if line.startswith(b"P0 "))


def test_dota_has_a_file_for_every_class(tmp_path: Path) -> None:
    write(tmp_path, [result("P1", labels=1)], ["dota"])
    assert {name: len(text) > 0 for name, text in contents(tmp_path / "Task1").items()} == {
        "Task1_plane.txt": True,
        "Task1_small-vehicle.txt": False,
        "Task1_ship.txt": False,
    }


def test_coco_is_read_by_our_dataset(tmp_path: Path) -> None:
    results = many()
    for one in results:
        path = tmp_path / "images" / f"{one.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    write(tmp_path, results, ["coco"])
    config = {"type": "RotatedCocoDataset", "data_root": str(tmp_path), "ann_file": "coco.json"}
    dataset = build({**config, "data_prefix": {"img": "images/"}, "metainfo": {"classes": CLASSES}})
    assert isinstance(dataset, RotatedCocoDataset) and len(dataset) == 5
    for i, one in enumerate(results):
        record = dataset.record(i)
        assert record.path == tmp_path / f"images/a/P{i}.png" and record.size == (512, 640)
        np.testing.assert_array_equal(record.instances.quads, one.instances.quads)
        np.testing.assert_array_equal(record.instances.labels, one.instances.labels)


def test_coco_is_read_by_pycocotools(tmp_path: Path) -> None:
    """As a file of truths and as results of them: all are found then."""
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    write(tmp_path, many(), ["coco"])
    data = json.loads((tmp_path / "coco.json").read_text())
    truth = COCO(str(tmp_path / "coco.json"))
    assert truth.getImgIds() == [1, 2, 3, 4, 5] and truth.getCatIds() == [1, 2, 3]
    assert [c["name"] for c in truth.loadCats([1, 2, 3])] == list(CLASSES)
    assert len(truth.getAnnIds()) == 70 and len(truth.getAnnIds(imgIds=[3])) == 14
    scores = COCOeval(truth, truth.loadRes(copy.deepcopy(data["annotations"])), "bbox")
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    assert scores.stats[0] == pytest.approx(1)
    for thing in data["annotations"]:
        shape = Polygon(np.reshape(thing["segmentation"][0], (4, 2)))
        assert shape.area == pytest.approx(thing["area"], rel=1e-9) and thing["iscrowd"] == 0
        left, top, width, height = thing["bbox"]
        assert shape.bounds == pytest.approx((left, top, left + width, top + height))


@pytest.mark.parametrize("size", [(20_000, 20_000), (640, 512), (7, 100_000)])
def test_yolo_to_a_hundredth_of_a_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    one = result("P1", 200, size)
    assert write(tmp_path, [one, result("empty", 0)], ["yolo"]) == [tmp_path / "labels"]
    rows = np.loadtxt(tmp_path / "labels/P1.txt")
    np.testing.assert_array_equal(rows[:, 0], one.instances.labels)
    np.testing.assert_allclose(rows[:, 1:9] * np.tile(size, 4), one.instances.quads, rtol=0, atol=0.01)
    np.testing.assert_array_equal(rows[:, 9], one.instances.scores)
    assert (tmp_path / "labels/empty.txt").read_bytes() == b""


def test_a_run_without_images_or_objects(tmp_path: Path) -> None:
    write(tmp_path / "none", [])
    assert json.loads((tmp_path / "none/predictions.json").read_text()) == []
    write(tmp_path / "empty", [result("a", 0)])
    (image,) = json.loads((tmp_path / "empty/predictions.json").read_text())
    assert image["objects"] == []
    for folder, images in (("none", 0), ("empty", 1)):
        data = json.loads((tmp_path / folder / "coco.json").read_text())
        assert (len(data["images"]), data["annotations"]) == (images, [])


# Names


@pytest.mark.parametrize("name", ["day 1/P 0001", "a.b/c.d", "Häfen/港", "x" * 200, "quote\"'\\n"])
def test_names_of_any_kind(tmp_path: Path, name: str) -> None:
    write(tmp_path, [result(name)], ["json", "coco", "yolo"])
    assert json.loads((tmp_path / "predictions.json").read_text())[0]["name"] == name
    assert json.loads((tmp_path / "coco.json").read_text())["images"][0]["file_name"] == f"{name}.png"
    assert len(np.loadtxt(tmp_path / "labels" / f"{name}.txt")) == 20
    if " " not in name:
        write(tmp_path, [result(name)], ["dota"])
        assert read_detections(tmp_path).images == [name]


def test_dota_has_no_spaces_in_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image 'day 1': the name is empty or contains spaces"):
        check(["dota"], [("P1", Path("P1.png")), ("day 1", Path("day 1.png"))], CLASSES)
    with pytest.raises(ValueError, match="image 'day 1': the name is empty or contains spaces"):
        write(tmp_path, [result("day 1")], ["dota"])
    with pytest.raises(ValueError, match="class 'a/b': cannot be a file name"):
        open_writers(["json", "dota"], tmp_path / "out", ["a/b"])
    assert contents(tmp_path / "out") == {}
    check(["json", "coco", "yolo"], [("day 1", Path("day 1.png"))], ["a/b"])


def test_two_images_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"labels/a\.txt: two images have this name"):
        write(tmp_path, [result("a"), result("a")], ["yolo"])


def test_formats_that_are_none() -> None:
    with pytest.raises(ValueError, match="format 'xml': need json, dota, coco, yolo, geojson"):
        check(["json", "xml"], [], CLASSES)
    with pytest.raises(ValueError, match="format 'json': given twice"):
        check(["json", "yolo", "json"], [], CLASSES)


# Complete, or as it was before


def test_nothing_is_there_before_it_is_complete(tmp_path: Path) -> None:
    write(tmp_path, [result("a"), result("only before")], ["json", "coco", "yolo"])
    write(tmp_path, [result("a")], ["dota"])
    before = contents(tmp_path)
    writers = open_writers(PLAIN, tmp_path, CLASSES)
    for writer in writers:
        writer.add(result("a", seed=1))
    assert {name: text for name, text in contents(tmp_path).items() if ".tmp" not in name} == before
    for writer in writers:
        writer.discard()
    assert contents(tmp_path) == before
    write(tmp_path, [result("a", seed=1)])
    after = contents(tmp_path)
    assert set(after) == set(before) and after["labels/only before.txt"] == before["labels/only before.txt"]
    assert {name for name in after if after[name] == before[name]} == {"labels/only before.txt"}


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    for writer in open_writers(PLAIN, tmp_path, CLASSES):
        writer.add(result("a"))
        del writer  # as if killed: neither closed nor discarded
    assert any(".tmp" in name for name in contents(tmp_path))
    write(tmp_path, [result("b")])
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name]


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "Task1/Task1_ship.txt").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=r"Task1_ship\.txt"):
        open_writers(PLAIN, tmp_path, CLASSES)
    assert contents(tmp_path) == {}
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        open_writers(PLAIN, tmp_path / "file", CLASSES)


@pytest.mark.parametrize(
    ("name", "file"),
    [("json", "predictions.json"), ("dota", "Task1/Task1_"), ("coco", "coco.json"), ("yolo", "labels/big.txt")],
)
def test_a_disk_that_is_full(tmp_path: Path, name: str, file: str) -> None:
    """A limit on the size of files stands for it: the error names the file, and nothing is left."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "from results import *; from rotx.inference.outputs import open_writers\n"
        "writers = open_writers([sys.argv[1]], Path(sys.argv[2]), CLASSES)\n"
        "try:\n"
        "    writers[0].add(result('big', 3000)); writers[0].close()\n"
        "except OSError as error: print(error.strerror, error.filename)\n"
        "writers[0].discard()\n"
    )
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code, name, tmp_path], capture_output=True, text=True, cwd=here)
    assert done.stdout.startswith(f"File too large {tmp_path}/{file}") and not done.stderr
    assert contents(tmp_path) == {} and not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory in use from /proc")
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    def resident() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    found = [objects_of(20, (640, 512), seed) for seed in range(10)]
    one = result("x")
    writers = open_writers(["json", "dota", "coco", "yolo"], tmp_path, CLASSES)
    for i in range(5000):
        if i == 500:
            before = resident()
        for writer in writers:
            writer.add(replace(one, name=f"folder/image-{i:06d}", instances=found[i % 10]))
    for writer in writers:
        writer.close()
    # 90,000 objects: at only 100 bytes each they would be 9 MB.
    assert resident() - before < 6
    assert len(list((tmp_path / "labels/folder").iterdir())) == 5000
