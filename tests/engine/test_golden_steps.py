"""Ten steps of the engine are MMRotate's."""

from __future__ import annotations

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
from rotx.models.preprocess import DetDataPreprocessor
from rotx.records import Instances

#: One stage, with anchors and with points, and two.
NAMES = [
    "rotated-retinanet-rbox-le90_r50_fpn_1x_dota",
    "rotated-fcos-hbox-le90_r50_fpn_1x_dota",
    "oriented-rcnn-le90_r50_fpn_1x_dota",
]


def trainer_of(case: goldens.Case, folder: Path) -> Trainer:
    """The engine with the model, the optimizer and the constant learning rate of the goldens."""
    options = ["optim_wrapper.optimizer.lr=2.5e-5", "param_scheduler=None"]
    settings = read_settings(load_config(goldens.CONFIGS.parent / case.meta["config"], options))
    detector = case.fresh()
    detector.data_preprocessor = DetDataPreprocessor()  # the images are normalised
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
@pytest.mark.parametrize("name", NAMES)
def test_ten_steps(name: str, tmp_path: Path) -> None:
    case = goldens.Case(name)
    golden = case.steps
    trainer = trainer_of(case, tmp_path)
    batch, targets = case.batch("batch2"), case.targets("batch2")
    items = []
    for i, (image, target) in enumerate(zip(batch.images, targets, strict=True)):
        ignored = torch.zeros(len(target.labels), dtype=torch.bool)
        objects = Instances(target.boxes, "rbox", target.labels, ignored=ignored)
        items.append(LoadedImage(f"image{i}", Path(f"image{i}"), image, objects, (256, 256)))
    for step, noise in zip(golden["steps"], golden["relative_move_under_1e6_weight_noise"], strict=True):
        values = trainer.step([items])
        trainer.advance(1, len(golden["steps"]))
        loss = sum(value for term, value in values.items() if "loss" in term)
        assert loss == pytest.approx(step["loss"], rel=max(1e-4, 20 * noise))
        assert values["grad_norm"] == pytest.approx(step["grad_norm"], rel=1e-3)
    norms = {n: float(p.detach().double().norm()) for n, p in trainer.detector.named_parameters() if p.requires_grad}
    assert norms == pytest.approx(golden["param_l2_after"], rel=1e-4)
