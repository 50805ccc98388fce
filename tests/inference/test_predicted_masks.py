"""Upright boxes and masks, from a detector to each writer, to the journal and to COCO's numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

import rotx
import upright  # noqa: F401  # registers the detector
from rotx import config
from rotx.cli import main
from rotx.cli.eval import main as evaluate
from rotx.compat import load_config
from rotx.inference import journal as journals
from rotx.models import build_detector
from rotx.models.tta import views_of
from scenes import write_model

coco = pytest.importorskip("pycocotools.mask", reason="needs the extra train")
CLASSES = ("blue", "green", "red")
SIZE = (120, 200)
Boxes = NDArray[np.int64]


def boxes_of(seed: int, size: tuple[int, int], cell: int = 40) -> tuple[Boxes, list[int]]:
    """Upright boxes (N, 4) with sides of even numbers of pixels, one in each cell, and their labels."""
    rng = np.random.default_rng(seed)
    corners = np.array([(x, y) for y in range(0, size[0], cell) for x in range(0, size[1], cell)])
    sides = rng.integers(5, 14, (len(corners), 2)) * 2
    start = corners + rng.integers(2, 10, (len(corners), 2))
    return np.concatenate([start, start + sides], axis=1), rng.integers(0, 3, len(corners)).tolist()


def write_image(path: Path, seed: int, size: tuple[int, int]) -> tuple[Boxes, list[int]]:
    image = np.zeros((*size, 3), np.uint8)
    boxes, labels = boxes_of(seed, size)
    for (x0, y0, x1, y1), label in zip(boxes, labels, strict=True):
        image[y0:y1, x0:x1, label] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return boxes, labels


def left_halves(boxes: Boxes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The masks (N, H, W) that the detector finds."""
    masks = np.zeros((len(boxes), *size), np.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0 : (x0 + x1) // 2] = 1
    return masks


def write_set(folder: Path) -> Path:
    """Two images, their annotations in COCO's format, weights, and the config of the detector."""
    images, annotations = [], []
    for i in range(2):
        boxes, labels = write_image(folder / f"images/{i}.png", i, SIZE)
        images.append({"id": 7 - i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]})
        for box, label, mask in zip(boxes.tolist(), labels, left_halves(boxes, SIZE), strict=True):
            runs = coco.encode(np.asfortranarray(mask))
            annotation = {"id": len(annotations) + 1, "image_id": 7 - i, "category_id": 10 * label + 1, "iscrowd": 0}
            annotation |= {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]], "area": float(mask.sum())}
            annotations.append({**annotation, "segmentation": {**runs, "counts": runs["counts"].decode()}})
    categories = [{"id": 10 * i + 1, "name": name} for i, name in enumerate(CLASSES)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "objects.json").write_text(json.dumps(data))
    write_model(folder, "UprightHead")
    dataset = {"type": "CocoDataset", "data_root": str(folder), "ann_file": "objects.json", "test_mode": True}
    dataset |= {"data_prefix": {"img": "images/"}, "metainfo": {"classes": CLASSES}}
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "Resize", "scale_factor": 2.0, "interpolation": "nearest"}]
    dataset["pipeline"] = [*pipeline, {"type": "Pad", "size_divisor": 32}, {"type": "PackDetInputs"}]
    metric = {"type": "CocoMetric", "ann_file": str(folder / "objects.json"), "metric": ["bbox", "segm"]}
    settings = {"model": load_config(folder / "model.py")["model"], "test_evaluator": metric}
    settings["test_dataloader"] = {"batch_size": 2, "num_workers": 0, "dataset": dataset}
    (folder / "config.py").write_text(config.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="module")
def predictor(data: Path) -> Any:
    return rotx.load(data / "config.py", data / "model.pth", "cpu")


def check(found: Any, boxes: Boxes, labels: list[int], size: tuple[int, int]) -> None:
    """Each object is found, with its box and its mask in pixels of the file."""
    assert len(found) == len(boxes) and found.kind == "hbox"
    order = [int(np.abs(found.boxes - box).sum(1).argmin()) for box in boxes]
    assert sorted(order) == list(range(len(boxes)))
    np.testing.assert_allclose(found.boxes[order], boxes, atol=0.3)  # boxes from moments of pixels
    assert found.labels[order].tolist() == labels
    pixels = found.masks.bitmaps(*size)[order]
    wrong = (pixels != left_halves(boxes, size)).sum((1, 2))
    assert wrong.max() <= 2 * 28  # a column or a row at the edges


def test_predictions(predictor: Any, data: Path) -> None:
    first, second = predictor.predict([data / "images/0.png", data / "images/1.png"], batch_size=2)
    for i, prediction in enumerate((first, second)):
        check(prediction.instances, *boxes_of(i, SIZE), SIZE)
        np.testing.assert_array_equal(prediction.rboxes[:, 4], 0)
        rows = prediction.above(float(np.median(prediction.scores)))
        assert len(rows.instances.masks) == len(rows) < len(prediction)
        thing = prediction.objects()[0]
        assert thing["hbox"] == prediction.instances.boxes[0].tolist() and "rbox" not in thing
        assert thing["mask"]["size"] == list(SIZE) and isinstance(thing["mask"]["counts"], str)


@pytest.mark.parametrize("rule", ["seams", "nms"])
def test_windows(predictor: Any, tmp_path: Path, rule: Any) -> None:
    size = (200, 320)
    boxes, labels = write_image(tmp_path / "large.png", 5, size)
    found = predictor.predict_large(tmp_path / "large.png", window=128, gap=64, merge_rule=rule)
    if rule == "seams":
        check(found.instances, boxes, labels, size)
    assert len(found) >= len(boxes) and len(found.instances.masks) == len(found)


@pytest.mark.parametrize("kinds", ["flip", "rotate", "flip,rotate"])
def test_views(predictor: Any, data: Path, kinds: str) -> None:
    """Mirrored, turned and scaled views find the same."""
    image = cv2.imread(str(data / "images/0.png"))
    (found,) = predictor.detect([image], views_of(kinds))
    check(found.paste(*SIZE), *boxes_of(0, SIZE), SIZE)


def test_files(data: Path, tmp_path: Path) -> None:
    words = ["predict", data / "config.py", data / "model.pth", data / "images", "--out", tmp_path, "--score-thr", 0]
    result = CliRunner().invoke(main, [*map(str, words), "--format", "json,coco,dota,yolo"])
    assert result.exit_code == 0, result.output
    images = json.loads((tmp_path / "predictions.json").read_text())
    written = json.loads((tmp_path / "coco.json").read_text())
    assert len(images) == 2 and len(written["annotations"]) == sum(len(image["objects"]) for image in images) == 30
    objects = [thing for image in images for thing in image["objects"]]
    for annotation, thing in zip(written["annotations"], objects, strict=True):
        assert annotation["segmentation"] == thing["mask"] and annotation["area"] == coco.area(thing["mask"])
        x0, y0, x1, y1 = thing["hbox"]
        assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0] and annotation["score"] == thing["score"]
    lines = [line for path in (tmp_path / "Task1").iterdir() for line in path.read_text().splitlines()]
    assert len(lines) == 30


def test_a_run_that_ends_early(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the journal has of windows, with their masks, goes on to the same bytes."""
    boxes, labels = write_image(tmp_path / "in/large.png", 5, (200, 320))
    words = ["predict", data / "config.py", data / "model.pth", tmp_path / "in", "--window", 128, "--gap", 64]
    words += ["--batch-size", 1, "--score-thr", 0, "--format", "json,coco"]

    def run(out: Path) -> Any:
        return CliRunner().invoke(main, [*map(str, [*words, "--out", out])])

    assert run(tmp_path / "whole").exit_code == 0
    add: Callable[..., None] = journals.Journal.add_windows
    left = 3

    def stop(*arguments: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        add(*arguments)

    monkeypatch.setattr(journals.Journal, "add_windows", stop)
    assert run(tmp_path / "out").exit_code == 130
    monkeypatch.setattr(journals.Journal, "add_windows", add)
    assert run(tmp_path / "out").exit_code == 0
    for name in ("predictions.json", "coco.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(json.loads((tmp_path / "out/predictions.json").read_text())[0]["objects"]) == len(boxes) == len(labels)


def test_evaluation(data: Path, tmp_path: Path) -> None:
    """By COCO's numbers; and by another protocol, if it is asked for."""
    command = ["model", str(data / "config.py"), str(data / "model.pth")]
    outputs = ["--json", str(tmp_path / "s.json"), "--csv", str(tmp_path / "s.csv"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(evaluate, [*command, *outputs])
    assert result.exit_code == 0, result.output
    assert "bbox AP" in result.stdout and "segm AP" in result.stdout and "| mAP " in result.stdout
    record = json.loads((tmp_path / "s.json").read_text())
    assert record["bbox"]["AP50"] == pytest.approx(1) and record["segm"]["AP50"] == pytest.approx(1)
    assert sum(c["gts"] for c in record["classes"].values()) == 30
    assert (tmp_path / "s.csv").read_text().startswith("kind,class,gts,dets,AP,")
    result = CliRunner().invoke(evaluate, [*command, "--protocol", "voc12"])
    assert result.exit_code == 0 and "| class | gts | dets | recall | ap " in result.stdout, result.output
    for option in (["--report", str(tmp_path / "r")], ["--ci"], ["--explain", "coco"]):
        result = CliRunner().invoke(evaluate, [*command, *option])
        assert result.exit_code == 2
        assert f"error: {option[0]}: does not work with the evaluator CocoMetric; add --protocol coco" in result.stderr


def test_mask_rcnn(tmp_path: Path) -> None:
    """An untrained one: its masks lie within their boxes, in pixels of the file."""
    from small import small_config

    torch.manual_seed(0)
    model = small_config("mask_rcnn/mask-rcnn_r50_fpn_1x_coco")
    model["test_cfg"]["rcnn"] |= {"score_thr": 1e-3, "max_per_img": 20}
    detector = build_detector(model)
    detector.init_weights()
    predictor = rotx.inference.Predictor(detector, CLASSES, scale=(160, 160))
    image = np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    found = predictor.predict(image)
    assert len(found) > 5 and found.instances.kind == "hbox"
    pixels = found.instances.masks.bitmaps(80, 60)
    for mask, (x0, y0, x1, y1) in zip(pixels, found.instances.boxes, strict=True):
        rows, columns = np.nonzero(mask)
        if len(rows):
            assert columns.min() >= x0 - 1 and columns.max() <= x1 + 1 and rows.min() >= y0 - 1 and rows.max() <= y1 + 1
    assert predictor.merge_iou == 0.5
