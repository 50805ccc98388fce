"""Training on windows of whole images: with patches in files it would be the same, and a resumed one is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

import tiny  # noqa: F401  # registers TinyBackbone
from rotx.compat import build
from rotx.engine import Interrupted, train
from rotx.engine.guard import NotFinite
from small_run import different, small_settings, write_images


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of 128 pixels, whose windows have 64."""
    folder = tmp_path_factory.mktemp("data")
    write_images(folder / "train", 2, size=128)
    write_images(folder / "val", 1, seed=1, size=128)
    return folder


def settings_of(data: Path, epochs: int = 2, **more: Any) -> dict[str, Any]:
    settings = small_settings(data, epochs)
    for part in ("train", "val"):
        loader = settings[f"{part}_dataloader"]
        pipeline = loader["dataset"].pop("pipeline")
        tiled = {"type": "TiledDataset", "dataset": loader["dataset"], "sizes": [64], "gaps": [16]}
        loader["dataset"] = {**tiled, "pipeline": pipeline, **(more if part == "train" else {})}
    return settings


def test_windows_and_patches_train_the_same_weights(data: Path, tmp_path: Path) -> None:
    settings = settings_of(data)
    train(settings, tmp_path / "windows", "cpu")
    for part in ("train", "val"):
        loader, folder = settings[f"{part}_dataloader"], tmp_path / part
        for name in ("images", "labelTxt"):
            (folder / name).mkdir(parents=True)
        windows = build(loader["dataset"])
        assert len(windows) > 8
        for record in windows.records:
            x0, y0, x1, y1 = record.window.area
            cv2.imwrite(str(folder / f"images/{record.name}.png"), cv2.imread(str(record.path))[y0:y1, x0:x1])
            rows = zip(
                record.instances.quads.tolist(), record.instances.labels, record.instances.difficult, strict=True
            )
            lines = [f"{' '.join(map(str, quad))} {windows.classes[label]} {mark}\n" for quad, label, mark in rows]
            (folder / f"labelTxt/{record.name}.txt").write_text("".join(lines))
        loader["dataset"] = {
            **loader["dataset"]["dataset"],
            "data_root": str(folder),
            "pipeline": loader["dataset"]["pipeline"],
        }
    train(settings, tmp_path / "patches", "cpu")
    assert different(tmp_path / "windows/epoch_2.pth", tmp_path / "patches/epoch_2.pth") == []
    assert "2 images make 18 windows" in (tmp_path / "windows/log.jsonl").read_text()


def test_moved_windows_and_a_training_that_is_stopped(data: Path, tmp_path: Path) -> None:
    settings = settings_of(data, random_offset=True, filter_cfg={"filter_empty_gt": True})
    settings["train_dataloader"]["num_workers"] = 1
    train(settings, tmp_path / "whole", "cpu")
    settings["model"]["backbone"]["signal_at"] = 5
    with pytest.raises(Interrupted):
        train(settings, tmp_path / "stopped", "cpu")
    del settings["model"]["backbone"]["signal_at"]
    settings["train_dataloader"]["num_workers"] = 0
    train({**settings, "resume": True}, tmp_path / "stopped", "cpu")
    assert different(tmp_path / "whole/epoch_2.pth", tmp_path / "stopped/epoch_2.pth") == []
    still = settings_of(data, filter_cfg={"filter_empty_gt": True})
    train(still, tmp_path / "still", "cpu")
    assert different(tmp_path / "whole/epoch_2.pth", tmp_path / "still/epoch_2.pth")


def test_a_loss_that_is_not_finite_names_the_windows(data: Path, tmp_path: Path) -> None:
    settings = settings_of(data, random_offset=True)
    settings["model"]["backbone"]["break_at"] = 3
    with pytest.raises(NotFinite, match="is not finite") as caught:
        train(settings, tmp_path / "work", "cpu")
    dump = torch.load(tmp_path / "work/nan_batch_step_2.pt", weights_only=True)
    for path, name in zip(dump["paths"], dump["names"], strict=True):
        assert f"{path} ({name})" in str(caught.value) and "__64__" in name
