"""A training that was stopped, however and wherever, goes on as if it had not been: bit for bit on a CPU."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import tiny  # noqa: F401  # registers TinyBackbone
from rotx.engine import Interrupted, train
from small_run import Starter, different, small_settings, start, write_config, write_sets

STEPS = 9  # three epochs of three batches

#: What each kind of training adds to the plain one.
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "average": {"custom_hooks": [{"type": "EMAHook", "ema_type": "ExpMomentumEMA", "momentum": 0.01, "gamma": 5}]},
    "accumulating": {"optim_wrapper": {"accumulative_counts": 2}},
    "adam and bfloat16": {
        "optim_wrapper": {
            "type": "AmpOptimWrapper",
            "dtype": "bfloat16",
            "optimizer": {"type": "AdamW", "lr": 0.001},
        },
        "param_scheduler": [{"type": "OneCycleLR", "eta_max": 0.01, "total_steps": STEPS, "by_epoch": False}],
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("data"))


def settings_of(kind: str, data: Path, **backbone: Any) -> dict[str, Any]:
    settings = small_settings(data, epochs=3)
    for name, value in KINDS[kind].items():
        settings[name] = {**settings[name], **value} if isinstance(value, dict) else value
    settings["model"]["backbone"] |= backbone
    return settings


@pytest.fixture(scope="module", params=KINDS)
def whole(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A kind of training and the folder of one that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    train(settings_of(request.param, data), folder, "cpu")
    return request.param, folder


def test_the_same_seed_repeats_bit_for_bit(whole: tuple[str, Path], data: Path, tmp_path: Path) -> None:
    kind, folder = whole
    train(settings_of(kind, data), tmp_path, "cpu")
    assert different(tmp_path / "epoch_3.pth", folder / "epoch_3.pth") == []
    other = settings_of(kind, data) | {"randomness": {"seed": 1}}
    train(other, tmp_path / "other", "cpu")
    assert different(tmp_path / "other/epoch_3.pth", folder / "epoch_3.pth")


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_stopped_at_any_step(step: int, whole: tuple[str, Path], data: Path, tmp_path: Path) -> None:
    kind, folder = whole
    number = signal.SIGINT if step % 2 else signal.SIGTERM
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stop:
        train(settings_of(kind, data, signal_at=step, signal_number=int(number)), tmp_path, "cpu")
    assert stop.value.number == number and signal.getsignal(number) is before
    assert not (tmp_path / "epoch_3.pth").exists() or step == STEPS
    train(settings_of(kind, data) | {"resume": True}, tmp_path, "cpu")
    assert different(tmp_path / "epoch_3.pth", folder / "epoch_3.pth") == []
    # Each epoch is validated once, whether it was stopped before or after.
    assert validated(tmp_path) == validated(folder) and len(validated(folder)) == 3


def test_stopped_while_validating(data: Path, tmp_path: Path) -> None:
    train(settings_of("average", data), tmp_path / "whole", "cpu")
    with pytest.raises(Interrupted):  # in the validation after the second epoch; the first pass is that before training
        train(settings_of("average", data, signal_at_test=3), tmp_path / "work", "cpu")
    assert len(validated(tmp_path / "work")) == 1
    assert different(tmp_path / "work/epoch_2.pth", tmp_path / "whole/epoch_2.pth") == []
    train(settings_of("average", data) | {"resume": True}, tmp_path / "work", "cpu")
    assert different(tmp_path / "work/epoch_3.pth", tmp_path / "whole/epoch_3.pth") == []
    assert validated(tmp_path / "work") == validated(tmp_path / "whole")


def validated(folder: Path) -> list[tuple[int, dict[str, float]]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["epoch"], line["validation"]) for line in lines if "validation" in line]


def steps_done(folder: Path) -> int:
    """The last step in a log that another process may be writing just now."""
    text = (folder / "log.jsonl").read_text() if (folder / "log.jsonl").exists() else ""
    steps = [json.loads(line).get("step", 0) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return max(steps, default=0)


@pytest.mark.slow
def test_killed_ten_times(data: Path, tmp_path: Path) -> None:
    steps, rng = 300, random.Random(0)
    settings = small_settings(data, val_dataloader=None, val_evaluator=None, **KINDS["average"])
    settings["train_cfg"] = {"type": "IterBasedTrainLoop", "max_iters": steps, "val_interval": steps}
    settings["default_hooks"]["checkpoint"] = {"interval": 2, "by_epoch": False, "max_keep_ckpts": 3}
    config = write_config(tmp_path / "config.py", settings)
    folder = tmp_path / "work"
    arguments = (config, "--work-dir", folder, "--resume", "--device", "cpu")
    starter = Starter(tmp_path / "errors.txt")
    for _ in range(10):
        process = starter.start(*arguments)
        goal, deadline = steps_done(folder) + rng.randint(1, 20), time.monotonic() + 60
        while steps_done(folder) < goal and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        os.kill(process, signal.SIGKILL)
        assert starter.wait() == -signal.SIGKILL, starter.errors.read_text()
        assert steps_done(folder) >= goal, starter.errors.read_text()
    starter.start(*arguments)
    assert starter.wait() == 0, starter.errors.read_text()
    # As many threads as the others had: sums of floats in another order differ.
    starter.start(config, "--work-dir", tmp_path / "whole", "--device", "cpu")
    assert starter.wait() == 0, starter.errors.read_text()
    starter.close()
    name = f"iter_{steps}.pth"
    last = tmp_path / "whole" / name
    assert (
        f"finished; evaluate with: rotx-eval model {last.with_name('config.py')} {last}" in starter.errors.read_text()
    )
    assert different(folder / name, tmp_path / "whole" / name) == []
    assert len(list(folder.glob("*.pth*"))) == 3 and not list(folder.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_workers_too(number: signal.Signals, data: Path, tmp_path: Path) -> None:
    settings = small_settings(data, epochs=200, val_dataloader=None, val_evaluator=None)
    settings["default_hooks"]["checkpoint"] = {"interval": 1000}
    config = write_config(tmp_path / "config.py", settings)
    folder = tmp_path / "work"
    run = start(config, "--work-dir", folder, "--device", "cpu", "--workers", "1")
    while steps_done(folder) < 5 and run.poll() is None:
        time.sleep(0.01)
    os.killpg(run.pid, number)  # as a terminal, timeout and Slurm do: to the loader's workers, too
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 128 + number, errors
    assert "Traceback" not in errors and f"stopped by {number.name}" in errors
    assert f"--work-dir {folder} --resume" in errors
    (saved,) = folder.glob("iter_*.pth")
    assert int(saved.stem.removeprefix("iter_")) >= 5
