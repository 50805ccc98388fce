"""A training step hardly waits for the device, whatever the number of images and levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rotx.compat import load_config
from rotx.datasets.loader import LoadedImage
from rotx.engine import Trainer
from rotx.engine.distributed import World
from rotx.engine.ema import EMA
from rotx.engine.log import Log
from rotx.engine.optim import build_optimizer
from rotx.engine.schedule import build_schedule
from rotx.engine.settings import read_settings
from rotx.models import build_detector
from rotx.records import Bitmaps, Instances
from small import CONFIGS, small_config
from synchronisations import Synchronisations

#: One config of each family, with the number of synchronisations that a step may have.
LIMITS = {
    "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota": 4,
    "rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota": 4,
    "r3det/r3det-oc_r50_fpn_1x_dota": 4,
    "rotated_reppoints/rotated-reppoints-qbox_r50_fpn_1x_dota": 4,
    "rotated_fcos/rotated-fcos-le90_r50_fpn_kld_1x_dota": 4,
    "rotated_faster_rcnn/rotated-faster-rcnn-le90_r50_fpn_1x_dota": 10,
    "oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota": 10,
    "roi_trans/roi-trans-le90_r50_fpn_1x_dota": 10,
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco": 10,
}
RETINANET = next(iter(LIMITS))


def trainer_of(name: str, folder: Path, model: dict[str, Any] | None = None) -> Trainer:
    """The engine with a small detector of a config, and with EMA."""
    torch.manual_seed(0)
    settings = read_settings(load_config(CONFIGS / f"{name}.py"))
    detector = build_detector(model or small_config(name))
    detector.init_weights()
    return Trainer(
        settings=settings,
        detector=detector,
        optimization=build_optimizer(detector, settings.optim_wrapper),
        schedule=build_schedule(settings.param_scheduler, epoch_length=10),
        ema=EMA(detector),
        train_set=None,
        sampler=None,
        world=World(0, 1, torch.device("cpu")),
        work_dir=folder,
        log=Log(None),
        meta={},
    )


def items(count: int, size: int = 128) -> list[LoadedImage]:
    """Images with two to five objects each, and one that is ignored."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for i in range(count):
        n = 2 + i % 4
        boxes = torch.rand(n, 5, generator=generator) * torch.tensor([80.0, 80, 40, 16, 1.5]) + torch.tensor(
            [24.0, 24, 20, 8, -0.75]
        )
        pixels = torch.zeros(n + 1, size, size, dtype=torch.uint8)
        pixels[:, 16:96, 16:96] = 1
        image = torch.randint(0, 256, (3, size, size), dtype=torch.uint8, generator=generator)
        labels = torch.arange(n) % 3
        rboxes = torch.cat([boxes, boxes[:1] + 30])
        labels, ignored = torch.cat([labels, labels[:1]]), torch.arange(n + 1) == n
        objects = Instances(rboxes, "rbox", labels, ignored=ignored, masks=Bitmaps(pixels))
        found.append(LoadedImage(f"P{i}", Path(f"P{i}.png"), image, objects, (size, size)))
    return found


def synchronisations(trainer: Trainer, count: int) -> Synchronisations:
    """Those of the second step on so many images."""
    window = [items(count)]
    trainer.step(window)
    with Synchronisations(trainer.model) as found:
        step = trainer.step(window)
    assert torch.isfinite(torch.tensor(list(step.values().values()))).all()
    return found


@pytest.fixture(scope="module", params=LIMITS, ids=lambda name: Path(name).name)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """A config, and the synchronisations of a step with one image and with four."""
    trainer = trainer_of(request.param, tmp_path_factory.mktemp("work"))
    return request.param, [synchronisations(trainer, count) for count in (1, 4)]


def test_a_step_has_few(family: tuple[str, list[Synchronisations]]) -> None:
    name, runs = family
    assert len(runs[0]) == len(runs[1])
    for found in runs:
        assert len(found) <= LIMITS[name], found.places
        assert not [*found.in_phase("between"), *found.in_phase("backward")]


def test_the_engine_has_none(family: tuple[str, list[Synchronisations]]) -> None:
    """What is not the detector's: batches, losses, gradients, their norm, the update and EMA."""
    for found in family[1]:
        assert not [*found.in_phase("before"), *found.in_phase("between"), *found.in_phase("update")]
        assert found.phase == "update"


def test_levels_add_none(tmp_path: Path) -> None:
    counts = []
    for levels in (3, 5):
        model = small_config(RETINANET)
        model["neck"]["num_outs"] = levels
        model["bbox_head"]["anchor_generator"]["strides"] = [8, 16, 32, 64, 128][:levels]
        counts.append(len(synchronisations(trainer_of(RETINANET, tmp_path, model), 2)))
    assert counts[0] == counts[1]


def test_a_loss_scale_waits_once(tmp_path: Path) -> None:
    """torch's GradScaler asks whether to skip the step."""
    trainer = trainer_of("rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota", tmp_path)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    assert len(synchronisations(trainer, 1).in_phase("update")) == 1


@pytest.mark.parametrize(
    ("count", "work"),
    [
        (1, lambda x: x.sum().item()),
        (1, lambda x: bool((x > 0).any())),
        (1, lambda x: x[x > 0]),
        (1, lambda x: torch.nonzero(x)),
        (1, lambda x: torch.where(x > 0)),
        (1, lambda x: torch.masked_select(x, x > 0)),
        (1, lambda x: x.tolist()),
        (1, lambda x: torch.unique(x)),
        (1, lambda x: x.repeat_interleave(torch.ones(4, dtype=torch.int64))),
        (1, lambda x: x.clone().index_put_((x > 0,), x[:1].expand(3))),
        (1, lambda x: torch.tensor([1.0, 2.0], device=x.device)),
        (1, lambda x: torch.as_tensor(1.0, device=x.device)),
        (1, lambda x: x.new_tensor([1.0, 2.0])),
        (0, lambda x: torch.as_tensor(x)),
        (0, lambda x: torch.full((2,), 1.0, device=x.device)),
        (0, lambda x: torch.where(x > 0, x, 0.0).sum()),
        (0, lambda x: x.clone().masked_fill_(x > 0, 1.0)),
        (0, lambda x: x[torch.arange(0, 3, 2)]),
        (0, lambda x: x.topk(2)),
        (0, lambda x: x.repeat_interleave(2)),
    ],
)
def test_what_counts(count: int, work: Callable[[torch.Tensor], Any]) -> None:
    values = torch.tensor([1.0, 2.0, 3.0, -1.0])
    with Synchronisations(nn.Identity()) as found:
        work(values)
    assert len(found) == count, found.places
