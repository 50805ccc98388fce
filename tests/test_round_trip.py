"""One object of each kind, with every optional field, from a label file to a result file: the same object."""

from __future__ import annotations

import json
from copy import copy
from dataclasses import replace
from math import pi
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rotx import boxes, geometry
from rotx.annotations.convert import FORMATS, read, write
from rotx.annotations.formats import read_detections
from rotx.annotations.task1 import write_task1
from rotx.compat import build
from rotx.datasets.dataset import Dataset
from rotx.records import ImageRecord, Instances, InstanceTable, Masks

torch = pytest.importorskip("torch")
pytest.importorskip("pycocotools")

from echo import detector_of, teach  # noqa: E402
from rotx.datasets.loader import LoadedImages  # noqa: E402
from rotx.datasets.samplers import Draw  # noqa: E402
from rotx.datasets.tiled import TiledDataset  # noqa: E402
from rotx.inference.outputs import open_writers  # noqa: E402
from rotx.inference.windowed import merge_windows  # noqa: E402
from rotx.models.predict import predict_images  # noqa: E402
from rotx.tiling.rules import RULES  # noqa: E402
from rotx.tiling.windowed_image import WindowedImage  # noqa: E402

SIZE = (120, 120)
LOAD = {"type": "LoadImageFromFile"}
MOVES: list[dict[str, Any]] = [
    {"type": "Resize", "scale": (240, 240), "keep_ratio": True},
    {"type": "RandomFlip", "prob": 1.0, "direction": "vertical"},
    {"type": "Pad", "size_divisor": 32},
    {"type": "Rotate", "rotate_angle": 33},
]
TURNED = [*MOVES[:3], {"type": "Rotate", "rotate_angle": 90}]  # hboxes stay hboxes

RBOX = [60.0, 55.0, 40.0, 16.0, 0.3]
HBOX = [40.0, 45.0, 80.0, 70.0]
QUAD = [42.0, 50.0, 78.0, 46.0, 81.0, 63.0, 44.0, 66.0]
POLYGON = [40.0, 45, 80, 45, 80, 70, 60, 60, 40, 70]
FIELDS = {"image_id": 1, "category_id": 1, "iscrowd": 1, "difficult": 2, "id": 1}


def coco(folder: Path, thing: dict[str, Any], load: dict[str, Any], moves: list[dict[str, Any]]) -> Dataset:
    data = {
        "images": [{"id": 1, "file_name": "P1.png", "height": SIZE[0], "width": SIZE[1]}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [{**FIELDS, **thing}],
    }
    (folder / "all.json").write_text(json.dumps(data))
    return dataset_of(folder, "CocoDataset", "all.json", load, moves)


def dota(folder: Path, moves: list[dict[str, Any]]) -> Dataset:
    (folder / "labels").mkdir()
    (folder / "labels/P1.txt").write_text(" ".join(map(str, QUAD)) + " ship 2\n")
    return dataset_of(folder, "DOTADataset", "labels", {"box_type": "qbox"}, moves, diff_thr=1)


def dataset_of(folder: Path, kind: str, file: str, load: Any, moves: Any, **settings: Any) -> Dataset:
    (folder / "images").mkdir()
    cv2.imwrite(str(folder / "images/P1.png"), np.zeros((*SIZE, 3), np.uint8))
    pipeline = [LOAD, {"type": "LoadAnnotations", **load}, *moves]
    config = {"type": kind, "data_root": str(folder), "ann_file": file, "data_prefix": {"img_path": "images"}}
    if kind == "CocoDataset":
        config["data_prefix"] = {"img": "images"}
    dataset = build({**config, "metainfo": {"classes": ("ship",)}, "pipeline": pipeline, **settings})
    assert isinstance(dataset, Dataset)
    return dataset


def tiled(dataset: Dataset) -> TiledDataset:
    """Windows of the same images; the object is whole on each of the four."""
    dataset, transforms = copy(dataset), dataset.transforms
    dataset.transforms = []
    return TiledDataset(dataset=dataset, sizes=(100,), gaps=(80,), pipeline=transforms)


CASES = {
    "quad": lambda folder: dota(folder, MOVES),
    "rbox": lambda folder: coco(folder, {"bbox": RBOX}, {"box_type": "rbox"}, MOVES),
    "hbox": lambda folder: coco(
        folder, {"bbox": [40, 45, 40, 25], "segmentation": [POLYGON], "area": 900}, {"with_mask": True}, TURNED
    ),
    "points": lambda folder: dota(folder, MOVES),
}


@pytest.fixture(params=CASES)
def walked(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ImageRecord, Instances]:
    """The kind; the record that a dataset has read; its objects after transforms, loader, and the way back."""
    kind = request.param
    dataset = CASES[kind](tmp_path)
    loaded = LoadedImages(dataset, box_kind=kind, angle_version="le90")[Draw(0, 0)]
    assert loaded.instances.kind == kind and loaded.image.shape == (3, 256, 256) and not loaded.dropped
    undone, masks = np.linalg.inv(loaded.matrix), loaded.instances.masks
    back = replace(loaded.instances.numpy(), masks=None).move(undone)
    if masks is not None:  # the loader gives pixels
        pixels = [cv2.warpAffine(mask, undone[:2], SIZE, flags=cv2.INTER_NEAREST) for mask in masks.pixels.numpy()]
        back = replace(back, masks=Masks.of_bitmaps(np.stack(pixels)))
    return kind, replace(dataset.record(0), size=loaded.size), back


def test_the_record_is_what_the_file_says(walked: tuple[str, ImageRecord, Instances]) -> None:
    kind, record, _ = walked
    known = record.instances
    written = {"quad": QUAD, "rbox": RBOX, "hbox": HBOX, "points": QUAD}
    assert known.boxes.tolist() == [written[kind]] and known.kind == ("quad" if kind == "points" else kind)
    assert (known.labels.tolist(), known.difficult.tolist(), known.ignored.tolist()) == ([0], [2], [True])
    if kind == "hbox":
        assert [polygon.tolist() for polygon in known.masks.items[0]] == [POLYGON]


def test_it_comes_back_from_the_loader(walked: tuple[str, ImageRecord, Instances]) -> None:
    kind, record, back = walked
    want = record.instances.convert(kind)
    got, expected = back.boxes.astype(np.float64), want.boxes
    if kind == "rbox":  # the same rectangle
        got, expected = boxes.regularize(got, "le90"), boxes.regularize(expected, "le90")
        assert abs(got[0, 4] - expected[0, 4]) % pi < 1e-5
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert back.labels.tolist() == want.labels.tolist() and back.ignored.tolist() == want.ignored.tolist()
    if want.masks is not None:
        bitmaps = back.masks.bitmaps(*SIZE), want.masks.bitmaps(*SIZE)
        assert (bitmaps[0] != bitmaps[1]).mean() < 0.01


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_holds_it(walked: tuple[str, ImageRecord, Instances], to: str, tmp_path: Path) -> None:
    kind, record, back = walked
    known = record.instances
    if kind == "points":
        back = back.convert("rbox")  # formats hold rectangles and quads
        known = known.convert("rbox")
    objects = replace(back, boxes=back.boxes.astype(np.float64), difficult=known.difficult, masks=None)
    table = InstanceTable.of_records([replace(record, instances=objects)], ["ship"])
    out = tmp_path / ("out.json" if to == "coco" else "out")
    write(table, out, to)
    found = read(out, images=tmp_path / "images" if to == "yolo" else None)
    assert (found.images, len(found)) == (["P1"], 1)
    assert found.classes in (["ship"], ["100000001"])
    want, got = known.quads, found.quads
    if to in ("rolabelimg", "hrsc"):  # these hold rectangles
        want, got = boxes.qbox2rbox(want), boxes.qbox2rbox(got)
        want, got = boxes.rbox2hbox(want), boxes.rbox2hbox(got)
    np.testing.assert_allclose(got, want, atol=0.01)
    if to in ("coco", "dota", "labelme"):
        assert found.difficult.tolist() == [2]
    if to == "coco":
        assert found.ignored.tolist() == [True]


def test_a_format_that_needs_sizes_says_so(tmp_path: Path) -> None:
    table = InstanceTable.of_records([dota(tmp_path, []).record(0)], ["ship"])
    with pytest.raises(ValueError, match="image 'P1': its size is unknown, and yolo needs it"):
        write(table, tmp_path / "out", "yolo")
    assert not (tmp_path / "out").exists()


def test_results_hold_it(walked: tuple[str, ImageRecord, Instances], tmp_path: Path) -> None:
    _, record, back = walked
    scored = replace(back, scores=np.array([0.123456]), masks=None)
    table = InstanceTable.of_records([replace(record, instances=scored)], ["ship"])
    write_task1(table, tmp_path / "results")
    found = read_detections(tmp_path / "results", images=["P1"], classes=["ship"])
    assert found.scores.tolist() == [0.123456]
    np.testing.assert_allclose(found.quads, back.quads, atol=1e-3)


@pytest.fixture(scope="module", params=CASES)
def detected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The kind, the record, and by merge rule what a detector finds that has learnt the object on four windows."""
    kind = request.param
    whole = CASES[kind](tmp_path_factory.mktemp("detected"))
    windows = tiled(whole)
    assert len(windows) == 4
    loader = LoadedImages(windows, box_kind=kind, angle_version="le90")
    detector = detector_of(kind)
    batches, areas = [], []
    for i in range(len(windows)):
        loaded = loader[Draw(i, i)]
        batch = detector.data_preprocessor([loaded.image])
        teach(detector, replace(loaded.instances, ignored=None), batch)
        found = predict_images(detector, [loaded.image], [loaded.matrix], "cpu")[0]
        area = windows.record(i).window.area
        batches.append((found.move(boxes.translation_matrix(*area[:2])), [len(found)]))
        areas.append(area)
    image = WindowedImage(whole.record(0).path)
    iou = detector.nms_iou or 0.1
    merged = {rule: merge_windows(batches, np.array(areas), image, rule, iou) for rule in RULES}
    return kind, replace(whole.record(0), size=SIZE), merged


@pytest.mark.parametrize("rule", RULES)
def test_a_detector_that_has_learnt_it_finds_it_once(detected: Any, rule: str) -> None:
    kind, record, merged = detected
    known, found = record.instances, merged[rule]
    assert found.labels.tolist() == [0] and found.scores[0] > 0.999
    if kind == "hbox":
        assert found.kind == "hbox"
        np.testing.assert_allclose(found.boxes, known.boxes, atol=1e-3)
        pixels = found.masks.bitmaps(*SIZE), known.masks.bitmaps(*SIZE)
        assert (pixels[0] != pixels[1]).sum() < 0.1 * pixels[1].sum()  # cells of 28 along a box of 40 pixels
    else:
        assert found.kind == "rbox"
        overlap = geometry.box_iou(found.quads, known.convert("rbox").quads)
        assert overlap > 1 - 1e-4


def test_every_writer_of_results_holds_what_was_found(detected: Any, tmp_path: Path) -> None:
    _, record, merged = detected
    result = replace(record, instances=merged["seams"])
    for writer in open_writers(("json", "dota", "coco", "yolo"), tmp_path, ["ship"]):
        writer.add(result)
        writer.close()
    quad, score = result.instances.quads[0], result.instances.scores[0]
    (thing,) = json.loads((tmp_path / "predictions.json").read_text())[0]["objects"]
    (entry,) = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    task1 = read_detections(tmp_path / "Task1", images=["P1"], classes=["ship"])
    yolo = np.array((tmp_path / "labels/P1.txt").read_text().split(), float)
    hbox = [quad[::2].min(), quad[1::2].min(), np.ptp(quad[::2]), np.ptp(quad[1::2])]
    np.testing.assert_allclose(thing["quad"], quad, atol=1e-6)
    np.testing.assert_allclose(task1.quads[0], quad, atol=0.01)
    np.testing.assert_allclose(yolo[1:9] * 120, quad, atol=0.01)
    np.testing.assert_allclose(entry["bbox"], hbox, atol=1e-6)
    for written in (thing["score"], entry["score"], task1.scores[0], yolo[9]):
        assert written == pytest.approx(score, abs=1e-6)
    if result.instances.masks is not None:
        assert thing["mask"] == entry["segmentation"] and entry["segmentation"]["size"] == list(SIZE)
