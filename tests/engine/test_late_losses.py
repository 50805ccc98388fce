"""Losses are read one step late; the guard and the loader keep their promises."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rotx.datasets.dataset import Dataset
from rotx.engine import NotFinite, train
from rotx.engine.launched import LaunchedStep
from rotx.engine.setup import Trainer
from rotx.registry import build
from small_run import different, small_settings, weights, write_sets
from tiny import TinyBackbone


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("data"))


def settings_of(data: Path, interval: int = 1, **backbone: Any) -> dict[str, Any]:
    """Nine steps, with a checkpoint every so many."""
    settings = small_settings(data, val_dataloader=None, val_evaluator=None)
    settings["default_hooks"]["checkpoint"] = {"interval": interval, "by_epoch": False}
    settings["model"]["backbone"] |= backbone
    return settings


def names_of_batch(settings: dict[str, Any], epoch: int, batch: int) -> list[str]:
    """The images that a step without interruption sees."""
    dataset, sampler = build(settings["train_dataloader"]["dataset"]), build(settings["train_dataloader"]["sampler"])
    draws = sampler.batches(dataset, 2, seed=0, epoch=epoch)[batch]
    return [dataset.record(draw.index).name for draw in draws]


def test_steps_are_read_when_the_next_one_is_launched(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    step, values = Trainer.step, LaunchedStep.values

    def launched(self: Trainer, window: Any) -> LaunchedStep:
        events.append(("launched", self.at.step))
        return step(self, window)

    def read(self: LaunchedStep) -> dict[str, float]:
        events.append(("read", self.number))
        return values(self)

    monkeypatch.setattr(Trainer, "step", launched)
    monkeypatch.setattr(LaunchedStep, "values", read)
    train(settings_of(data, interval=4), tmp_path, "cpu")
    # Those before a checkpoint, after steps 4, 8 and 9, are read at once.
    order = [0, 1, "r0", 2, "r1", 3, "r2", "r3", 4, 5, "r4", 6, "r5", 7, "r6", "r7", 8, "r8"]
    assert events == [("read", int(x[1:])) if isinstance(x, str) else ("launched", x) for x in order]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines if "lr" in line] == [
        (step, (step + 2) // 3) for step in range(1, 10)
    ]


@pytest.mark.parametrize("interval", [1, 2, 100])
@pytest.mark.parametrize("step", [1, 4])
def test_the_guard_names_the_batch_and_spares_the_checkpoints(
    interval: int, step: int, data: Path, tmp_path: Path
) -> None:
    settings = settings_of(data, interval, break_at=step + 1, drop=0.0)
    with pytest.raises(NotFinite, match=rf"^step {step}: loss_.*nan_batch_step_{step}\.pt"):
        train(settings, tmp_path / "work", "cpu")
    dump = torch.load(tmp_path / f"work/nan_batch_step_{step}.pt", weights_only=True)
    assert dump["names"] == names_of_batch(settings, step // 3, step % 3)
    assert not all(map(torch.isfinite, map(torch.tensor, dump["losses"].values())))
    saved = sorted(int(path.stem.removeprefix("iter_")) for path in (tmp_path / "work").glob("*.pth"))
    assert saved == list(range(interval, step + 1, interval))
    for number in saved:
        assert all(value.isfinite().all() for value in weights(tmp_path / f"work/iter_{number}.pth").values())
    if saved:  # and they are those of a training without the loss
        train(settings_of(data, interval, drop=0.0), tmp_path / "sound", "cpu")
        assert different(tmp_path / f"work/iter_{saved[-1]}.pth", tmp_path / f"sound/iter_{saved[-1]}.pth") == []


def test_the_guard_speaks_first_when_spoiled_weights_make_the_next_step_fail(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = TinyBackbone.forward

    def checked(self: TinyBackbone, images: Tensor) -> list[Tensor]:
        if not all(value.isfinite().all() for value in self.parameters()):
            raise RuntimeError("weights are spoiled")
        return forward(self, images)

    monkeypatch.setattr(TinyBackbone, "forward", checked)
    with pytest.raises(NotFinite, match=r"^step 1: loss_"):
        train(settings_of(data, interval=100, break_at=2), tmp_path, "cpu")
    assert (tmp_path / "nan_batch_step_1.pt").exists() and not list(tmp_path.glob("*.pth"))


def test_a_gradient_that_is_not_finite(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(data, interval=100)
    step = Trainer.step
    seen = []

    def spoiled(self: Trainer, window: Any) -> LaunchedStep:
        hook = next(self.detector.parameters()).register_hook(lambda grad: grad * float("nan"))
        try:
            return step(self, window)
        finally:
            hook.remove()
            seen.append(self.at.step)

    monkeypatch.setattr(Trainer, "step", spoiled)
    with pytest.raises(NotFinite, match=r"^step 0: the gradient is not finite"):
        train(settings, tmp_path, "cpu")
    assert seen == [0, 1] and not list(tmp_path.glob("*.pth"))


def test_workers_start_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Dataset.sample

    def noted(self: Dataset, index: int, rng: Any) -> Any:
        with (tmp_path / "workers.txt").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return sample(self, index, rng)

    monkeypatch.setattr(Dataset, "sample", noted)
    settings = settings_of(data, interval=100)
    settings["train_dataloader"]["num_workers"] = 1
    train(settings, tmp_path / "work", "cpu")
    workers = [int(line) for line in (tmp_path / "workers.txt").read_text().splitlines()]
    workers = [worker for worker in workers if worker != os.getpid()]  # it looks at one image before
    assert len(workers) == 3 * 6 and len(set(workers)) == 1
    monkeypatch.undo()
    settings["train_dataloader"]["num_workers"] = 0
    train(settings, tmp_path / "alone", "cpu")
    assert different(tmp_path / "work/iter_9.pth", tmp_path / "alone/iter_9.pth") == []


def test_messages_can_be_silenced_and_redirected(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    package = logging.getLogger("rotx")
    caplog.set_level(logging.CRITICAL, "rotx")
    train(settings_of(data), tmp_path / "silent", "cpu")
    assert capsys.readouterr() == ("", "") and not caplog.messages
    caplog.set_level(logging.INFO, "rotx")
    train(settings_of(data) | {"resume": True}, tmp_path / "silent", "cpu")
    assert [(r.name, r.levelname) for r in caplog.records] == [("rotx.engine.setup", "INFO")]
    assert not package.handlers
    caplog.set_level(logging.NOTSET, "rotx")
    train(settings_of(data) | {"resume": True}, tmp_path / "silent", "cpu")
    assert len(caplog.messages) == 2 and package.level == logging.NOTSET and not package.handlers
