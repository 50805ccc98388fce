"""What configs say of a training: all of the project's are taken, those of MMRotate too, and slips are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import mmrotate_style
from rotx import config
from rotx.annotations.classes import CLASSES_OF
from rotx.compat import build, load_config
from rotx.config import ConfigError
from rotx.engine.ema import build_ema
from rotx.engine.optim import build_optimizer
from rotx.engine.schedule import build_schedule
from rotx.engine.settings import VERSIONS, num_classes_paths, read_settings
from rotx.evaluation.metrics import build_metric
from small_run import small_settings
from test_config_mmrotate0 import DATA, SCHEDULE

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(file for file in CONFIGS.rglob("*.py") if "_base_" not in file.parts)
EPOCH = 1000


def classes_of(dataset: dict[str, Any]) -> tuple[str, ...]:
    """The classes that a dataset's config names, in its wrappers."""
    while "ann_file" not in dataset:
        dataset = dataset["dataset"] if "dataset" in dataset else dataset["datasets"][0]
    return dataset.get("metainfo", {}).get("classes") or CLASSES_OF[dataset["type"]]


def value_at(value: Any, path: str) -> Any:
    for name in path.split(".")[1:]:
        value = value[int(name)] if isinstance(value, list | tuple) else value[name]
    return value


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_config_says_a_training(file: Path, tmp_path: Path) -> None:
    settings = read_settings(load_config(file))
    assert not settings.notices and settings.val is not None and settings.length >= settings.val_interval
    # Names of hbox and quad detectors have no version: le90, the default.
    assert settings.angle_version == next((version for version in VERSIONS if f"-{version}_" in file.stem), "le90")
    numbers = {value_at(settings.model, path) for path in num_classes_paths(settings.model)}
    if settings.train.dataset["type"] == "CocoDataset" and "metainfo" not in settings.train.dataset:
        assert numbers == {80}  # the categories of COCO's files
    else:
        classes = classes_of(settings.train.dataset)
        assert classes_of(settings.val.dataset) == classes
        assert numbers == {len(classes)}
    assert not settings.train.dataset.get("test_mode") and settings.val.dataset["test_mode"]

    layer = nn.Conv2d(3, 3, 1)
    optimization = build_optimizer(layer, settings.optim_wrapper)
    schedule = build_schedule(settings.param_scheduler, epoch_length=EPOCH)
    (group,) = optimization.optimizer.param_groups
    rates = [schedule.lr(step, group) for step in range(0, settings.length * EPOCH, EPOCH // 2)]
    assert rates[0] < 0.9 * group["lr"] < max(rates) <= group["lr"] and 0 < rates[-1] < max(rates) / 5
    if settings.ema is not None:
        build_ema(layer, settings.ema, epoch_length=EPOCH)
    build_metric(settings.evaluator, "val_evaluator")
    build(settings.train.sampler)

    # What is written to the work dir is the same training.
    (tmp_path / "config.py").write_text(config.dumps(load_config(file)))
    assert read_settings(load_config(tmp_path / "config.py")) == settings


def test_a_config_of_mmrotate_0x(tmp_path: Path) -> None:
    name, text = next(iter(mmrotate_style.V0.items()))
    (tmp_path / "old.py").write_text(text + DATA + SCHEDULE)
    said: list[str] = []
    settings = read_settings(load_config(tmp_path / "old.py", notice=said.append))
    assert said and settings.angle_version == "le90" and (settings.by_epoch, settings.length) == (True, 12), name
    assert (settings.val_interval, settings.keep, settings.log_interval) == (3, 2, 50)
    assert settings.resume_from == "last.pth" and settings.load_from is None
    build_optimizer(nn.Conv2d(3, 3, 1), settings.optim_wrapper)
    build_schedule(settings.param_scheduler, epoch_length=EPOCH)
    resumed = SCHEDULE.replace("resume_from = 'last.pth'", "auto_resume = True").replace(
        "load_from = None", "load_from = 'w.pth'"
    )
    (tmp_path / "old.py").write_text(text + DATA + resumed)
    settings = read_settings(load_config(tmp_path / "old.py", notice=said.append))
    assert (settings.resume, settings.resume_from, settings.load_from) == (True, None, "w.pth")


#: Part of a config → what the message names.
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a backend as text": ({"vis_backends": ["TensorboardVisBackend"]}, "vis_backends.0: need a dict"),
    "backends as text": ({"visualizer": {"vis_backends": "x"}}, "visualizer.vis_backends: need a list of dicts"),
    "a visualizer as text": ({"visualizer": "RotLocalVisualizer"}, "visualizer: need a dict"),
    "a hook as text": ({"custom_hooks": ["EMAHook"]}, "custom_hooks.0: need a dict"),
    "a schedule as text": ({"param_scheduler": "LinearLR"}, "param_scheduler: need a list of dicts"),
    "a model as text": ({"model": "RetinaNet"}, "model: need a dict"),
    "a loop as text": ({"train_cfg": "EpochBasedTrainLoop"}, "train_cfg: need a dict"),
    "weights as a dict": ({"load_from": {"path": "x.pth"}}, "load_from: need None or text"),
    "a work dir as a number": ({"work_dir": 3}, "work_dir: need None or text"),
    "a file to resume": ({"resume": "epoch_3.pth"}, "resume: need .*'auto', got 'epoch_3.pth'"),
    "a negative seed": ({"randomness": {"seed": -1}}, "randomness.seed: need at least 0"),
    "scaling by nothing": ({"auto_scale_lr": {"base_batch_size": 0}}, "base_batch_size: need at least 1"),
    "a typo in the randomness": ({"randomness": {"sed": 1}}, "randomness: has no 'sed': did you mean 'seed'"),
    "a typo in the environment": ({"env_cfg": {"cudnn_benchmrk": True}}, "env_cfg: has no 'cudnn_benchmrk'"),
    "a typo in scaling": ({"auto_scale_lr": {"enabel": True}}, "auto_scale_lr: has no 'enabel'"),
    "a typo in the wrapper": ({"model_wrapper_cfg": {"find_unused": True}}, "find_unused_parameters"),
    "a typo of a loader": ({"val_dataloder": {}}, "did you mean 'val_dataloader'"),
    "a typo in a loader": ({"test_dataloader": {"bach_size": 1}}, "test_dataloader: has no 'bach_size'"),
    "a typo of a schedule": ({"param_schedulr": []}, "did you mean 'param_scheduler'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_slips_are_named(name: str, tmp_path: Path) -> None:
    part, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        read_settings(small_settings(tmp_path) | part)


def test_resuming() -> None:
    """MMRotate's ``resume`` means ``load_from``, if there is one; ``'auto'`` means the work dir."""
    plain = small_settings(Path("data"))
    for resume, load_from, found in (
        (False, "x.pth", ("x.pth", False, None)),
        (True, "x.pth", (None, True, "x.pth")),
        (True, None, (None, True, None)),
        ("auto", "x.pth", ("x.pth", True, None)),
    ):
        settings = read_settings(plain | {"resume": resume, "load_from": load_from})
        assert (settings.load_from, settings.resume, settings.resume_from) == found
