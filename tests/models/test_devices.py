"""Nothing of a training step or a prediction is made on the default device: detectors run wherever they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from rotx.models.detectors import total_loss
from rotx.records import Instances
from small import VARIANTS, small_detector
from test_detectors import BOXES, LABELS, images

#: Without those that differ from others in numbers alone.
NAMES = [name for name in VARIANTS if not any(part in name for part in ("le135", "gwd", "kld_1x", "hbox-oc"))]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: Path(name).name)
def test_tensors_are_made_where_the_others_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    suppress = torchvision.ops.batched_nms

    def on_the_cpu(*args: Any) -> torch.Tensor:
        with torch.device("cpu"):  # torchvision makes a number there, and moves it
            return suppress(*args)

    monkeypatch.setattr(torchvision.ops, "batched_nms", on_the_cpu)
    torch.manual_seed(0)
    detector = small_detector(name).train()
    pictures, targets = (
        images((96, 128), (96, 128)),
        [Instances(BOXES, "rbox", LABELS), Instances(BOXES[:1], "rbox", LABELS[:1])],
    )
    # The default device has no numbers: what is made there fails or spreads.
    with torch.device("meta"):
        batch = detector.data_preprocessor(pictures)
        total = total_loss(detector(batch, targets))
        total.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            found = detector.eval().predict(batch)
    assert total.device.type == "cpu" and total.isfinite()
    assert all(value.grad is not None and value.grad.device.type == "cpu" for value in detector.parameters())
    assert all(image.boxes.device.type == "cpu" for image in found)
