"""A detector that learns from quads gets the corners of the label files, not the rectangles around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rotx.engine import train
from rotx.models.heads.rotated_reppoints import RotatedRepPointsHead
from rotx.records import Instances
from small import small_config
from small_run import CLASSES, small_settings, write_sets
from tiny import TinyBackbone


def test_corners_reach_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_sets(tmp_path / "data", train=4)
    for file in (data / "train/labelTxt").iterdir():  # parallelograms: the first edge is moved along itself
        rows = [line.split() for line in file.read_text().splitlines()]
        for row in rows:
            row[0], row[2] = (f"{float(value) + 3:.1f}" for value in (row[0], row[2]))
        file.write_text("".join(" ".join(row) + "\n" for row in rows))
    written = {
        tuple(map(float, line.split()[:8]))
        for file in (data / "train/labelTxt").iterdir()
        for line in file.read_text().splitlines()
    }
    seen: list[Instances] = []
    loss = RotatedRepPointsHead.loss

    def watched(self: RotatedRepPointsHead, raw: Any, targets: list[Instances], batch: Any) -> Any:
        seen.extend(targets)
        return loss(self, raw, targets, batch)

    monkeypatch.setattr(RotatedRepPointsHead, "loss", watched)
    settings = small_settings(data, epochs=1)
    model = small_config("rotated_reppoints/rotated-reppoints-qbox_r50_fpn_1x_dota", num_classes=len(CLASSES))
    model["backbone"] = {"type": TinyBackbone.__name__}
    model["neck"] |= {"in_channels": [16] * 4}
    settings["model"] = model
    settings["train_dataloader"]["dataset"]["pipeline"] = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "with_bbox": True, "box_type": "qbox"},
        {"type": "PackDetInputs"},
    ]
    train(settings, tmp_path / "work", "cpu")
    assert {target.kind for target in seen} == {"quad"}
    found = torch.cat([target.boxes for target in seen]).tolist()
    assert len(found) == len(written) and {tuple(round(value, 1) for value in box) for box in found} == written
