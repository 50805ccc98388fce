"""The guard names the boxes that may be the reason for a loss that is not finite, whatever their kind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rotx.datasets.loader import LoadedImage
from rotx.engine.guard import describe
from rotx.records import Instances

SOUND, THIN = [20.0, 20, 60, 20, 60, 50, 20, 50], [20.0, 20, 60, 20, 60, 20.2, 20, 20.2]
CASES = {
    "quad": [SOUND, THIN],
    "hbox": [[20.0, 20, 60, 50], [20.0, 20, 60, 20.2]],
    "rbox": [[40.0, 35, 40, 30, 0.1], [40.0, 20.1, 40, 0.2, 0.1]],
}


@pytest.mark.parametrize("kind", CASES)
def test_thin_boxes_are_named_and_sound_ones_are_not(kind: str) -> None:
    boxes = torch.tensor(CASES[kind])
    objects = Instances(boxes, kind, torch.zeros(2, dtype=torch.int64), ignored=torch.zeros(2, dtype=torch.bool))
    image = LoadedImage("P1", Path("P1.png"), torch.zeros(3, 64, 64, dtype=torch.uint8), objects, (64, 64))
    text = describe("loss_bbox", [image])
    assert text.startswith("loss_bbox is not finite: images P1.png; 2 boxes, among them (")
    assert text.count(" of P1") == 1
    numbers = text.partition("among them (")[2].partition(")")[0]
    assert numbers == ", ".join(f"{value:.4g}" for value in CASES[kind][1])
