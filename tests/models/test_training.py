"""Ten steps of training are MMRotate's: ../shared/goldens/models/*/train10.json."""

from __future__ import annotations

import json

import pytest
import torch

import goldens
from rotx.models.detectors import total_loss

#: One stage and two; the numbers are sums of many float operations, in another order than MMRotate's.
NAMES = ["rotated-retinanet-rbox-le90_r50_fpn_1x_dota", "oriented-rcnn-le90_r50_fpn_1x_dota"]
TOLERANCE = 1e-5
needs_goldens = pytest.mark.skipif(not goldens.names(), reason="needs ../shared (or ROTX_SHARED): reference numbers")


@needs_goldens
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_ten_steps(name: str) -> None:
    case = goldens.Case(name)
    golden = json.loads((goldens.GOLDENS / "models" / name / "train10.json").read_text())
    model, batch, targets = case.fresh(), case.batch("batch2"), case.targets("batch2")
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.SGD(trained.values(), lr=2.5e-5, momentum=0.9, weight_decay=1e-4)
    for step in golden["steps"]:
        total = total_loss(model.loss(batch, targets))
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(trained.values(), 35)
        optimizer.step()
        assert float(total.detach()) == pytest.approx(step["loss"], rel=TOLERANCE)
        assert float(norm) == pytest.approx(step["grad_norm"], rel=10 * TOLERANCE)
    norms = {name: float(value.detach().double().norm()) for name, value in trained.items()}
    assert norms == pytest.approx(golden["param_l2_after"], rel=TOLERANCE)
