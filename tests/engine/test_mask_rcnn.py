"""Mask R-CNN from a COCO file to COCO's numbers: it trains, finds boxes and masks, and both score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="detectors need torch")

import tiny  # noqa: E402, F401  # registers TinyBackbone
from rotx.cli.predict import predict  # noqa: E402
from rotx.engine import train  # noqa: E402
from rotx.inference import Predictor, load  # noqa: E402
from rotx.models.tta import views_of  # noqa: E402
from rotx.records import Instances, Masks  # noqa: E402
from small import small_config  # noqa: E402

CLASSES = ("box", "disc")
SIZE = (96, 128)
EPOCHS = 24
STEPS = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
    {"type": "RandomFlip", "prob": 0.5},
    {"type": "PackDetInputs"},
]


def write_coco(folder: Path, count: int, seed: int) -> None:
    """Images with bright turned rectangles and ellipses, and ``all.json`` with their polygons."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    images: list[dict[str, Any]] = []
    things: list[dict[str, Any]] = []
    for i in range(count):
        image = rng.integers(0, 60, (*SIZE, 3), dtype=np.uint8)
        images.append({"id": 3 * i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]})
        for x in (32, 96)[: int(rng.integers(1, 3))]:
            label, turn = int(rng.integers(2)), rng.uniform(0, np.pi)
            corners = np.linspace(0, 2 * np.pi, 4 if label == 0 else 24, endpoint=False) + np.pi / 4
            shape = np.stack([np.cos(corners), np.sin(corners)], axis=1) * rng.uniform(15, 25, 2)
            rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            polygon = (shape @ rotation.T + (x, rng.uniform(30, 66))).round()
            cv2.fillPoly(image, [polygon.astype(np.int32)], (255, 255, 255 * label))
            low, high = polygon.min(axis=0), polygon.max(axis=0)
            things.append(
                {
                    "id": len(things),
                    "image_id": 3 * i,
                    "category_id": label + 1,
                    "segmentation": [polygon.flatten().tolist()],
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "area": float(cv2.contourArea(polygon.astype(np.float32))),
                    "iscrowd": 0,
                }
            )
        cv2.imwrite(str(folder / f"{i}.png"), image)
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    (folder / "all.json").write_text(json.dumps({"images": images, "annotations": things, "categories": categories}))


def loader(folder: Path, training: bool) -> dict[str, Any]:
    pipeline = (
        STEPS if training else [STEPS[0], {"type": "Resize", "scale": (192, 144), "keep_ratio": True}, *STEPS[1::2]]
    )
    return {
        "batch_size": 2,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": training},
        "dataset": {
            "type": "CocoDataset",
            "data_root": str(folder),
            "ann_file": "all.json",
            "data_prefix": {"img": ""},
            "metainfo": {"classes": CLASSES},
            "test_mode": not training,
            "pipeline": pipeline,
        },
    }


def settings(folder: Path, epochs: int) -> dict[str, Any]:
    model = small_config("mask_rcnn/mask-rcnn_r50_fpn_1x_coco", num_classes=len(CLASSES))
    model["backbone"] = {"type": "TinyBackbone", "drop": 0.0}
    model["neck"] |= {"in_channels": [16] * 4, "out_channels": 32}
    for part in (model["rpn_head"], *(model["roi_head"][name] for name in ("bbox_head", "mask_head"))):
        part |= {key: 32 for key in ("in_channels", "feat_channels") if key in part}
    model["roi_head"]["mask_head"]["num_convs"] = 2
    model["rpn_head"]["anchor_generator"]["scales"] = [4]
    return {
        "model": model,
        "train_dataloader": loader(folder, training=True),
        "val_dataloader": loader(folder, training=False),
        "val_evaluator": {"type": "CocoMetric", "metric": ["bbox", "segm"]},
        "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": epochs, "val_interval": epochs},
        "optim_wrapper": {
            "type": "OptimWrapper",
            "optimizer": {"type": "AdamW", "lr": 1e-3},
            "clip_grad": {"max_norm": 35, "norm_type": 2},
        },
        "default_hooks": {"logger": {"interval": 5}, "checkpoint": {"interval": epochs}},
    }


class Trained(NamedTuple):
    data: Path
    work: Path
    predictor: Predictor


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A detector that has learnt twelve images; it sees them in another size when it predicts."""
    data, work = tmp_path_factory.mktemp("data") / "train", tmp_path_factory.mktemp("work")
    write_coco(data, 12, seed=0)
    train(settings(data, EPOCHS), work, "cpu")
    return Trained(data, work, load(work / "config.py", work / f"epoch_{EPOCHS}.pth"))


def truth(data: Path, image: int) -> list[tuple[int, np.ndarray[Any, Any]]]:
    """Label and pixels of each object of an image."""
    things = json.loads((data / "all.json").read_text())["annotations"]
    own = [thing for thing in things if thing["image_id"] == 3 * image]
    masks = Masks([[np.array(thing["segmentation"][0])] for thing in own]).bitmaps(*SIZE)
    return [(thing["category_id"] - 1, mask) for thing, mask in zip(own, masks, strict=True)]


def pixels_of(found: Instances) -> np.ndarray[Any, Any]:
    assert found.file_masks is not None
    return found.file_masks.bitmaps(*SIZE)


def best_overlap(mask: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> float:
    return max((float((mask & other).sum() / (mask | other).sum()) for other in others), default=0.0)


@pytest.mark.slow
def test_boxes_and_masks_are_learnt(trained: Trained) -> None:
    lines = [json.loads(line) for line in (trained.work / "log.jsonl").read_text().splitlines()]
    (scores,) = [line["validation"] for line in lines if "validation" in line]
    assert scores["segm_mAP_50"] > 0.7 and scores["bbox_mAP_50"] > 0.3
    losses = [line["loss_mask"] for line in lines if "loss_mask" in line]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.slow
def test_predictions_cover_the_objects(trained: Trained) -> None:
    overlaps = []
    for i in range(12):
        prediction = trained.predictor.predict(trained.data / f"{i}.png", score_thr=0.3)
        found = prediction.instances
        assert found.kind == "hbox" and found.boxes.dtype == np.float64
        pixels = pixels_of(found)
        for mask, (x1, y1, x2, y2) in zip(pixels, found.boxes.tolist(), strict=True):
            rows, columns = mask.nonzero()
            if len(rows):
                assert x1 - 0.5 <= columns.min() and columns.max() <= x2 - 0.5
                assert y1 - 0.5 <= rows.min() and rows.max() <= y2 - 0.5
        for label, mask in truth(trained.data, i):
            overlaps.append(best_overlap(mask, pixels[found.labels == label]))
    assert np.median(overlaps) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("kinds", ["flip", "rotate"])
def test_masks_follow_the_views_of_an_image(trained: Trained, kinds: str) -> None:
    image = np.asarray(cv2.imread(str(trained.data / "0.png")))
    for view in views_of(kinds):
        (alone,) = trained.predictor.detect([image], [view])
        sure = alone[alone.scores > 0.3].paste(*SIZE)
        for mask in pixels_of(sure):
            assert best_overlap(mask, np.stack([known for _, known in truth(trained.data, 0)])) > 0.3


@pytest.mark.slow
def test_rotx_predict_writes_run_lengths_of_the_file(trained: Trained, tmp_path: Path) -> None:
    arguments = [trained.work / "config.py", trained.work / f"epoch_{EPOCHS}.pth", trained.data / "0.png"]
    options = ["--out", tmp_path, "--format", "coco", "--device", "cpu", "--score-thr", "0.3", "--plugin", "tiny"]
    result = CliRunner().invoke(predict, [str(word) for word in (*arguments, *options)])
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "coco.json").read_text())
    prediction = trained.predictor.predict(trained.data / "0.png", score_thr=0.3)
    assert len(written["annotations"]) == len(prediction) > 0
    pixels = Masks([thing["segmentation"] for thing in written["annotations"]]).bitmaps(*SIZE)
    np.testing.assert_array_equal(pixels, pixels_of(prediction.instances))
    assert [thing["area"] for thing in written["annotations"]] == pixels.sum(axis=(1, 2)).tolist()
    assert [thing["mask"] for thing in prediction.objects()] == [t["segmentation"] for t in written["annotations"]]


@pytest.mark.slow
def test_masks_of_windows_lie_in_the_whole_image(trained: Trained) -> None:
    found = trained.predictor.predict_large(trained.data / "0.png", window=96, gap=64, score_thr=0.3).instances
    objects = np.stack([mask for _, mask in truth(trained.data, 0)])
    pixels = pixels_of(found)
    assert len(pixels) and np.mean([best_overlap(mask, pixels) for mask in objects]) > 0.5
