"""`rotx predict` and `rotx-eval model` find the same boxes by the same test pipeline, and refuse the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import rotx
from rotx import config
from rotx.cli import main
from rotx.cli.eval import main as evaluate
from rotx.compat import load_config
from rotx.evaluation.detect import detect
from rotx.evaluation.setup import load_setup
from rotx.models import build_detector
from small import small_config

CLASSES = ("ship", "plane", "tank")
LOAD, PACK = {"type": "mmdet.LoadImageFromFile", "backend_args": None}, {"type": "mmdet.PackDetInputs"}
OBJECTS = {"type": "mmdet.LoadAnnotations", "with_bbox": True, "box_type": "qbox"}
NORMALIZE = {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True}
SIZES = ((64, 96), (70, 50), (64, 64))

SHOWN: dict[str, list[dict[str, Any]]] = {
    "as it is": [],
    "scale": [{"type": "Resize", "scale": (112, 80)}],
    "scale that keeps the ratio": [{"type": "mmdet.Resize", "scale": (112, 80), "keep_ratio": True}],
    "one number": [{"type": "Resize", "scale": 72}],
    "scale_factor": [{"type": "Resize", "scale_factor": 1.3}],
    "two factors": [{"type": "Resize", "scale_factor": (1.4, 0.9)}],
    "nearest": [{"type": "Resize", "scale_factor": 1.3, "interpolation": "nearest"}],
    "Pad": [{"type": "Pad", "size": (128, 128), "pad_val": {"img": (114, 114, 114)}}],
    "Normalize": [NORMALIZE],
    "Normalize in BGR": [{**NORMALIZE, "to_rgb": False}],
    "all": [{"type": "Resize", "scale": (96, 96), "keep_ratio": True}, NORMALIZE, {"type": "Pad", "size_divisor": 32}],
    "objects": [{"type": "Resize", "scale_factor": 1.3}, OBJECTS],
}
REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "flip": ([LOAD, {"type": "RandomFlip", "prob": 0.5}], "RandomFlip"),
    "turn": ([LOAD, {"type": "Rotate", "rotate_angle": 90}], "Rotate"),
    "random turn": ([LOAD, {"type": "mmrotate.RandomRotate", "prob": 1.0}], "RandomRotate"),
    "crop": ([LOAD, {"type": "RandomCrop", "crop_size": (40, 40)}], "RandomCrop"),
    "random size": ([LOAD, {"type": "RandomResize", "scale": (96, 96), "ratio_range": (0.5, 2)}], "RandomResize"),
    "random choice": ([LOAD, {"type": "RandomChoiceResize", "scales": [(96, 96), (64, 64)]}], "RandomChoiceResize"),
    "random colours": ([LOAD, {"type": "PhotoMetricDistortion"}], "PhotoMetricDistortion"),
    "unknown": ([LOAD, {"type": "mmdet.Resise", "scale": (96, 96)}], "Resise"),
    "bad setting": ([LOAD, {"type": "Resize", "scale": "96"}], "Resize"),
    "no image": ([{"type": "Resize", "scale": (96, 96)}], "LoadImageFromFile"),
    "wrong order": ([{"type": "Resize", "scale": (96, 96)}, LOAD], "LoadImageFromFile"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images, ``weights.pth`` of a detector that finds thirty objects in any, and its model."""
    folder = tmp_path_factory.mktemp("pipelines")
    (folder / "images").mkdir()
    for i, size in enumerate(SIZES):
        noise = np.random.default_rng(i).integers(0, 256, (size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"images/P{i}.png"), cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC))
    torch.manual_seed(0)
    detector = build_detector(model())
    detector.init_weights()
    meta = {"dataset_meta": {"classes": CLASSES}}
    torch.save({"meta": meta, "state_dict": detector.state_dict()}, folder / "weights.pth")
    return folder


def model() -> dict[str, Any]:
    settings = small_config("rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota")
    settings["test_cfg"] |= {"score_thr": 1e-4, "max_per_img": 30}
    return settings


def write(folder: Path, pipeline: list[dict[str, Any]]) -> Path:
    dataset = {"type": "DOTADataset", "data_root": str(folder), "ann_file": "", "data_prefix": {"img_path": "images"}}
    dataset |= {"test_mode": True, "metainfo": {"classes": CLASSES}, "pipeline": pipeline}
    loader = {"batch_size": 1, "num_workers": 0, "dataset": dataset}
    (folder / "config.py").write_text(config.dumps({"model": model(), "test_dataloader": loader}))
    return folder / "config.py"


def both(file: Path, out: Path, *more: str) -> list[Any]:
    """The results of both commands, with further options of both."""
    images, weights = file.parent / "images", file.parent / "weights.pth"
    options = ["--format", "dota", "--score-thr", 0, "--window", 1000, "--batch-size", 1, "--device", "cpu", *more]
    predict = ["predict", file, weights, images, "--out", out / "predict", *options]
    model = ["model", file, weights, "--out", out / "eval", "--batch-size", 1, "--device", "cpu", *more]
    calls = ((main, predict), (evaluate, model))
    return [CliRunner().invoke(command, list(map(str, words))) for command, words in calls]


def lines(folder: Path) -> list[str]:
    texts = {name: (folder / f"Task1_{name}.txt").read_text() for name in CLASSES}
    return sorted(f"{name} {line}" for name, text in texts.items() for line in text.splitlines())


@pytest.mark.parametrize("name", SHOWN)
def test_both_commands_find_the_same(folder: Path, tmp_path: Path, name: str) -> None:
    file = write(folder, [LOAD, *SHOWN[name], PACK])
    for result in both(file, tmp_path):
        assert result.exit_code == 0, result.output
    found = lines(tmp_path / "predict/Task1")
    assert len(found) > 40 and found == lines(tmp_path / "eval")
    predictor = rotx.load(file, folder / "weights.pth", "cpu")
    several = predictor.predict([folder / f"images/P{i}.png" for i in range(3)])
    predictor.to_dota(several, tmp_path / "python")
    assert lines(tmp_path / "python") == found


@pytest.mark.parametrize("name", REFUSED)
def test_both_commands_refuse_the_same(folder: Path, tmp_path: Path, name: str) -> None:
    pipeline, culprit = REFUSED[name]
    for result in both(write(folder, [*pipeline, PACK]), tmp_path):
        assert result.exit_code == 2 and isinstance(result.exception, SystemExit), result.output
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and "config.py: test_dataloader.dataset" in errors[0] and culprit in errors[0]


def test_both_commands_compute_with_autocast(folder: Path, tmp_path: Path) -> None:
    """In bfloat16 on the CPU: alike, and nearly what float32 finds."""
    file = write(folder, [LOAD, *SHOWN["all"], PACK])
    for result in both(file, tmp_path, "--amp"):
        assert result.exit_code == 0, result.output
    found = lines(tmp_path / "predict/Task1")
    assert len(found) > 40 and found == lines(tmp_path / "eval")
    image = folder / "images/P0.png"
    plain = rotx.load(file, folder / "weights.pth", "cpu").predict(image)
    half = rotx.load(file, folder / "weights.pth", "cpu", amp=True).predict(image)
    assert not np.array_equal(plain.scores, half.scores)
    np.testing.assert_allclose(plain.scores[:10], half.scores[:10], rtol=0.02)
    assert half.rboxes.dtype == half.scores.dtype == np.float64


def test_what_a_pipeline_does_is_done(folder: Path) -> None:
    """A Normalize or a change of colours is not lost: scores differ."""
    image = folder / "images/P0.png"
    scores = []
    for steps in ([], [NORMALIZE], [{**NORMALIZE, "to_rgb": False}], [{"type": "Pad", "size": (160, 160)}]):
        predictor = rotx.load(write(folder, [LOAD, *steps, PACK]), folder / "weights.pth", "cpu")
        scores.append(tuple(predictor.predict(image).scores))
    assert len(set(scores)) == 4


def test_pipelines_of_wrappers(folder: Path) -> None:
    """The pipeline of windows stands at the TiledDataset; datasets that show images in two ways are refused."""
    write(folder, [LOAD, {"type": "Resize", "scale": (96, 80)}, PACK])
    settings = load_config(folder / "config.py")
    dataset = settings["test_dataloader"]["dataset"]
    pipeline = dataset.pop("pipeline")
    settings["test_dataloader"]["dataset"] = {"type": "TiledDataset", "dataset": dataset, "pipeline": pipeline}
    (folder / "tiled.py").write_text(config.dumps(settings))
    assert rotx.load(folder / "tiled.py", folder / "weights.pth", "cpu").scale == (96, 80)
    two = [{**dataset, "pipeline": pipeline}, {**dataset, "pipeline": [LOAD, PACK]}]
    settings["test_dataloader"]["dataset"] = {"type": "ConcatDataset", "datasets": two}
    (folder / "two.py").write_text(config.dumps(settings))
    message = r"two\.py: test_dataloader\.dataset\.datasets\.0\.pipeline and .*\.1\.pipeline differ"
    with pytest.raises(ValueError, match=message):
        rotx.load(folder / "two.py", folder / "weights.pth", "cpu")


def test_batches_of_unequal_images(folder: Path) -> None:
    """Evaluation finds the same, and the batch changes nothing beyond rounding."""
    file = write(folder, [LOAD, {"type": "Resize", "scale_factor": 1.3}, PACK])
    setup = load_setup(file, folder / "weights.pth", torch.device("cpu"))
    found = detect(setup.detector, setup.dataset, device="cpu", batch_size=3, num_workers=0, progress=False)
    predictor = rotx.load(file, folder / "weights.pth", "cpu")
    images = [folder / f"images/P{i}.png" for i in range(3)]
    together, alone = predictor.predict(images, batch_size=3), predictor.predict(images)
    for i, prediction in enumerate(together):
        assert prediction.name == found.images[i] and len(prediction) > 10
        np.testing.assert_array_equal(prediction.quads, found.quads[found.image == i])
        np.testing.assert_array_equal(prediction.scores, found.scores[found.image == i])
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        np.testing.assert_allclose(one.quads, other.quads, atol=1e-3)
    with pytest.raises(ValueError, match="batch_size: need at least 1, got 0"):
        predictor.predict(images, batch_size=0)
