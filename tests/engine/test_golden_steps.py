"""Ten steps of the engine are MMRotate's, or MMDetection's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import goldens
from rotx.compat import load_config
from rotx.datasets.loader import LoadedImage
from rotx.engine import Trainer
from rotx.engine.distributed import World
from rotx.engine.log import Log
from rotx.engine.optim import build_optimizer
from rotx.engine.schedule import build_schedule
from rotx.engine.settings import read_settings
from rotx.models.detectors import TwoStage
from rotx.models.preprocess import DetDataPreprocessor

#: One stage, with anchors and with points; two; one that refines; and masks.
NAMES = [
    ("models", "rotated-retinanet-rbox-le90_r50_fpn_1x_dota"),
    ("models", "rotated-fcos-hbox-le90_r50_fpn_1x_dota"),
    ("models", "oriented-rcnn-le90_r50_fpn_1x_dota"),
    ("models", "r3det-oc_r50_fpn_1x_dota"),
    ("mmdet", "mask-rcnn_r50_fpn_1x_coco"),
]


def trainer_of(case: goldens.Case, folder: Path) -> Trainer:
    """The engine with the model, the optimizer and the constant learning rate of the goldens."""
    options = ["optim_wrapper.optimizer.lr=2.5e-5", "optim_wrapper.clip_grad={'max_norm': 35}", "param_scheduler=None"]
    settings = read_settings(load_config(goldens.CONFIGS.parent / case.meta["config"], options))
    detector = case.fresh()
    detector.data_preprocessor = DetDataPreprocessor()  # the images are normalised
    if any("max_per_img 1000 -> 256" in note for note in case.steps.get("notes", ())):
        assert isinstance(detector, TwoStage)
        detector.rpn_head.train_proposals.max_per_img = 256
    return Trainer(
        settings=settings,
        detector=detector,
        optimization=build_optimizer(detector, settings.optim_wrapper),
        schedule=build_schedule(None, epoch_length=10),
        ema=None,
        train_set=None,
        sampler=None,
        world=World(0, 1, torch.device("cpu")),
        work_dir=folder,
        log=Log(None),
        meta={},
    )


@pytest.mark.slow
@pytest.mark.parametrize(("source", "name"), NAMES)
def test_ten_steps(source: str, name: str, tmp_path: Path) -> None:
    case = goldens.Case(name, source)
    golden = case.steps
    trainer = trainer_of(case, tmp_path)
    batch, targets = case.batch("batch2"), case.targets("batch2")
    items = []
    for i, (image, target) in enumerate(zip(batch.images, targets, strict=True)):
        ignored = torch.zeros(len(target.labels), dtype=torch.bool)
        objects = replace(target, ignored=ignored)
        items.append(LoadedImage(f"image{i}", Path(f"image{i}"), image, objects, (256, 256)))
    noises = golden["relative_move_under_1e6_weight_noise"] or [0.0] * len(golden["steps"])  # not measured for all
    for step, noise in zip(golden["steps"], noises, strict=True):
        values = trainer.step([items]).values()
        trainer.advance(1, len(golden["steps"]))
        loss = sum(value for term, value in values.items() if "loss" in term)
        assert loss == pytest.approx(step["loss"], rel=max(1e-4, 20 * noise))
        assert values["grad_norm"] == pytest.approx(step["grad_norm"], rel=1e-3)
    norms = {n: float(p.detach().double().norm()) for n, p in trainer.detector.named_parameters() if p.requires_grad}
    assert norms == pytest.approx(golden["param_l2_after"], rel=1e-4)
