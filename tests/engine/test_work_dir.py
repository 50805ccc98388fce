"""What a training leaves in its work dir, and what another one makes of it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny  # noqa: F401  # registers TinyBackbone
from rotx.cli.train import _resume_command, main
from rotx.engine import Interrupted, train
from rotx.engine.checkpoints import CheckpointManager
from rotx.engine.log import Log
from small_run import different, small_settings, write_config, write_images, write_sets


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    train(small_settings(data, epochs=2), folder, "cpu")
    return folder


def interrupted(settings: dict[str, Any], folder: Path, at: int) -> None:
    """A training that is stopped in a step."""
    settings["model"]["backbone"]["signal_at"] = at
    with pytest.raises(Interrupted):
        train(settings, folder, "cpu")


def test_fewer_images_than_before(data: Path, tmp_path: Path) -> None:
    """Stopped after two of three steps of an epoch that now has one."""
    interrupted(small_settings(data), tmp_path / "work", at=2)
    write_images(tmp_path / "train", 2)
    settings = small_settings(data) | {"resume": True}
    settings["train_dataloader"]["dataset"]["data_root"] = str(tmp_path / "train")
    train(settings, tmp_path / "work", "cpu")
    assert "an epoch had 3 steps, now it has 1" in (tmp_path / "work/log.jsonl").read_text()
    assert torch.load(tmp_path / "work/epoch_3.pth", weights_only=True)["position"]["step"] == 3


def test_the_configs_learning_rate_is_used_on_resuming(trained: Path, data: Path, tmp_path: Path) -> None:
    settings = small_settings(data, epochs=2) | {"resume": True, "load_from": str(trained / "epoch_1.pth")}
    settings["optim_wrapper"]["optimizer"] |= {"lr": 0.002, "weight_decay": 0.5}
    train(settings, tmp_path, "cpu")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert any("lr 0.01, now it is 0.002" in line.get("note", "") for line in lines)
    assert [line["lr"] for line in lines if "lr" in line][-1] == pytest.approx(0.002)
    content = torch.load(tmp_path / "epoch_2.pth", weights_only=True)
    assert {group["weight_decay"] for group in content["optimizer"]["param_groups"]} == {0.5}


def test_weights_to_start_from_are_not_forgotten(trained: Path, data: Path, tmp_path: Path) -> None:
    """A job that always says --resume: at its first start there is no checkpoint, but there is load_from."""
    settings = small_settings(data, epochs=1, load_from=str(trained / "epoch_2.pth"))
    train(settings, tmp_path / "plain", "cpu")
    file = write_config(tmp_path / "config.py", settings)
    main([str(file), "--work-dir", str(tmp_path / "work"), "--device", "cpu", "--resume"], standalone_mode=False)
    assert different(tmp_path / "work/epoch_1.pth", tmp_path / "plain/epoch_1.pth") == []


def test_a_drive_that_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    manager = CheckpointManager(folder, -1)
    (folder / ".epoch_1.pth.a1b2").touch()
    (folder / ".last_checkpoint.c3d4").touch()
    manager.clean()
    assert not list(folder.iterdir())
    assert manager.save("epoch_1.pth", {"a": 1}) and not caplog.messages
    folder.rename(tmp_path / "elsewhere")
    assert not manager.save("epoch_2.pth", {"a": 2}) and not manager.save_best("best_a_epoch_2.pth", {}, "x.pth")
    good = f"the last good checkpoint is {folder / 'epoch_1.pth'}"
    assert len(caplog.messages) == 2 and all(good in message for message in caplog.messages)


def test_steps_that_end_within_an_epoch(data: Path, tmp_path: Path) -> None:
    settings = small_settings(data, train_cfg={"type": "IterBasedTrainLoop", "max_iters": 4, "val_interval": 4})
    settings["default_hooks"]["checkpoint"] = {"interval": 1, "by_epoch": True}
    train(settings, tmp_path, "cpu")
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["epoch_1.pth", "iter_4.pth"]


def test_the_best_by_another_metric(data: Path, tmp_path: Path) -> None:
    for epochs, metric in ((2, "dota/mAP"), (3, "AP50")):
        settings = small_settings(data, epochs=epochs, resume=True)
        settings["default_hooks"]["checkpoint"] |= {"save_best": metric}
        train(settings, tmp_path, "cpu")
    assert sorted(path.name for path in tmp_path.glob("best*")) == ["best_AP50_epoch_2.pth", "best_mAP_epoch_1.pth"]


def test_the_log_is_json_and_complete(tmp_path: Path) -> None:
    log = Log(tmp_path, interval=2)
    for step in (1, 2, 3):
        log.step(step, 1, 0.1, {"loss": float(step)})
    log.validation(3, 1, {"mAP": float("nan")})
    log.close()

    def no_constants(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    lines = [
        json.loads(line, parse_constant=no_constants) for line in (tmp_path / "log.jsonl").read_text().splitlines()
    ]
    assert [(line["step"], line["loss"]) for line in lines if "loss" in line] == [(2, 1.5), (3, 3.0)]
    assert [line["validation"] for line in lines if "validation" in line] == [{"mAP": None}]


def test_the_command_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    command = _resume_command("my work", "cpu", ("mine.parts",), True)
    assert shlex.split(command)[1:4] == ["my work/config.py", "--work-dir", "my work"]
    assert command.startswith("rotx-train ") and command.endswith(
        "--resume --device cpu --plugin mine.parts --trust-config"
    )
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert _resume_command("work", "auto", (), False) == "srun ... rotx-train work/config.py --work-dir work --resume"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert _resume_command("work", "auto", (), False).startswith("torchrun ... -m rotx.cli.train work/config.py ")
