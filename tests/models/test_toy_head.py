"""docs/models.md, tried: a new head takes one file, one line and one config."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import rotx
from rotx import config, geometry
from rotx.compat import load_config
from rotx.models import build_detector
from rotx.models.detectors import total_loss
from rotx.records import Instances
from rotx.registry import load_plugins
from small import CONFIGS
from toy_head import ToyHead

CONFIG = """
_base_ = [{base!r}]
custom_imports = dict(imports=['toy_head'])
model = dict(
    type='SingleStageDetector',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[127.0] * 3, std=[50.0] * 3, pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=18, num_stages=2, out_indices=(1,)),
    bbox_head=dict(
        type='ToyHead', num_classes=2, in_channels=128, stride=8,
        bbox_coder=dict(type='DistanceAnglePointCoder', angle_version='le90'),
        loss_cls=dict(type='FocalLoss'),
        loss_bbox=dict(type='L1Loss')),
    test_cfg=dict(score_thr=0.3, nms=dict(type='nms_rotated', iou_threshold=0.1), max_per_img=100))
"""
BOXES = torch.tensor([[30.0, 34.0, 40.0, 22.0, 0.5], [68.0, 66.0, 34.0, 26.0, -0.9]])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "toy.py"
    path.write_text(CONFIG.format(base=str(CONFIGS / "_base_" / "default_runtime.py")))
    return path


def picture() -> np.ndarray:
    pixels = np.full((96, 96, 3), 60, np.uint8)
    for channel, quad in enumerate(geometry.rbox_to_quad(BOXES.numpy())):
        colour = [60, 60, 60]
        colour[channel] = 220
        cv2.fillPoly(pixels, [quad.reshape(4, 2).round().astype(np.int32)], colour)
    return pixels


def test_it_is_built_learns_and_is_loaded(file: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = load_config(file)
    load_plugins(config.custom_imports(settings, trusted=True))
    detector = build_detector(settings["model"])
    detector.init_weights()
    batch = detector.data_preprocessor([torch.from_numpy(picture()).permute(2, 0, 1)])
    optimizer = torch.optim.Adam(detector.parameters(), lr=1e-3)
    totals = []
    for _ in range(60):
        optimizer.zero_grad()
        total = total_loss(detector(batch, [Instances(BOXES, "rbox", torch.tensor([0, 1]))]))
        total.backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None for p in detector.parameters() if p.requires_grad)
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.1 * totals[0]

    torch.save({"state_dict": detector.state_dict(), "meta": {"CLASSES": ("red", "green")}}, tmp_path / "toy.pth")
    predictor = rotx.load(file, tmp_path / "toy.pth", device="cpu", trust_config=True)
    found = predictor.predict(picture())
    order = found.labels.argsort()
    assert [found.classes[i] for i in order] == ["red", "green"]
    assert (geometry.box_iou_aligned(found.rboxes[order], BOXES.double().numpy()) > 0.6).all()


def test_images_without_objects(file: Path) -> None:
    settings = load_config(file)
    load_plugins(["toy_head"])
    detector = build_detector(settings["model"])
    batch = detector.data_preprocessor([torch.zeros(3, 64, 64), torch.zeros(3, 40, 96)])
    losses = detector(batch, [Instances(BOXES[:0], "rbox", torch.zeros(0, dtype=torch.int64))] * 2)
    assert total_loss(losses).isfinite()
    assert len(detector.predict(batch)) == 2


def test_a_head_of_the_previous_version_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_config(file)
    load_plugins(config.custom_imports(settings, trusted=True))
    monkeypatch.delattr(ToyHead, "decode")
    with pytest.raises(ValueError, match="bbox_head: ToyHead has no method decode"):
        build_detector(settings["model"])
