"""What is wrong with a training is one line and exit code 2, before the first step; a failed write costs nothing."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import tiny  # noqa: F401  # registers TinyBackbone
from rotx import config
from rotx.cli.train import main
from rotx.compat import load_config
from rotx.engine import train
from rotx.engine.checkpoints import newest
from rotx.inference import load
from small_run import CLASSES, different, small_settings, start, write_config, write_images, write_sets

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    train(small_settings(data, epochs=2), folder, "cpu")
    return folder


def rotx_train(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and stderr of the command."""
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments), "--device", "cpu"], prog_name="rotx-train")
    code = end.value.code
    return code if isinstance(code, int) else 0, capsys.readouterr().err


def put(path: str, value: Any) -> Change:
    """Sets the value at a dotted path of a config; ``None`` as text removes it."""
    *parents, key = path.split(".")

    def change(settings: dict[str, Any]) -> None:
        for name in parents:
            settings = settings[name]
        if value == "absent":
            del settings[key]
        else:
            settings[key] = value

    return change


WRONG: dict[str, tuple[Change, tuple[str, ...]]] = {
    "typo of a section": (put("optim_wraper", {}), ("optim_wraper", "'optim_wrapper'")),
    "typo of a key": (put("train_dataloader.batchsize", 2), ("train_dataloader", "'batchsize'", "'batch_size'")),
    "typo of a hook": (put("default_hooks.checkpont", {}), ("default_hooks", "'checkpoint'")),
    "typo in a hook": (put("default_hooks.checkpoint.max_keep_ckpt", 1), ("'max_keep_ckpts'",)),
    "no optimizer": (put("optim_wrapper", "absent"), ("needs optim_wrapper",)),
    "no dataset": (put("train_dataloader.dataset", "absent"), ("train_dataloader", "dataset")),
    "no length": (put("train_cfg.max_epochs", "absent"), ("train_cfg", "max_epochs")),
    "two lengths": (put("train_cfg.max_iters", 5), ("train_cfg", "max_iters")),
    "length of nothing": (put("train_cfg.max_epochs", 0), ("train_cfg.max_epochs", "at least 1")),
    "length as text": (put("train_cfg.max_epochs", "12"), ("train_cfg.max_epochs", "whole number", "'12'")),
    "interval of nothing": (put("train_cfg.val_interval", 0), ("train_cfg.val_interval", "at least 1")),
    "an unknown loop": (put("train_cfg.type", "Loop"), ("train_cfg.type", "EpochBasedTrainLoop")),
    "an unknown hook": (put("custom_hooks", [{"type": "MyHook"}]), ("custom_hooks.0", "'MyHook'", "EMAHook")),
    "average of a wrong kind": (put("custom_hooks", [{"type": "EMAHook", "momentum": 0.9998}]), ("momentum",)),
    "half an evaluation": (put("val_evaluator", None), ("val_evaluator",)),
    "an unknown metric": (put("val_evaluator.type", "DotaMetrik"), ("val_evaluator", "'DOTAMetric'")),
    "best of an unknown metric": (put("default_hooks.checkpoint.save_best", "AP51"), ("save_best", "'AP51'", "AP50")),
    "a dict as text": (put("default_hooks.checkpoint", "x"), ("default_hooks.checkpoint", "a dict")),
    "scaling without a base": (put("auto_scale_lr", {"enable": True}), ("auto_scale_lr", "base_batch_size")),
    "number of classes": (put("model.bbox_head.num_classes", 15), ("model.bbox_head.num_classes", "15", "2", "ship")),
    "other classes in validation": (
        put("val_dataloader.dataset.metainfo", {"classes": ("plane", "ship")}),
        ("val_dataloader.dataset", "plane, ship", "ship, plane"),
    ),
    "a class that is not in the list": (
        put("train_dataloader.dataset.metainfo", {"classes": ("ship", "plain")}),
        ("'plane'", "plain"),
    ),
    "angle versions": (put("model.bbox_head.bbox_coder.angle_version", "oc"), ("angle_version", "'oc'", "'le90'")),
    "a folder that is not there": (put("train_dataloader.dataset.ann_file", "labels/"), ("labels", "ann_file")),
    "weights that are not there": (put("load_from", "no.pth"), ("no.pth", "no such file")),
    "a checkpoint that is not there": (lambda s: s.update(resume=True, load_from="no.pth"), ("no.pth",)),
    "an optimizer's keyword": (put("optim_wrapper.optimizer.momentun", 0.9), ("'momentun'", "'momentum'")),
    "a schedule": (put("param_scheduler", [{"type": "MultiStepLr"}]), ("param_scheduler.0", "'MultiStepLR'")),
    "test mode": (put("train_dataloader.dataset.test_mode", True), ("train_dataloader.dataset", "not for test_mode")),
    "test mode without flips": (
        lambda s: s["train_dataloader"]["dataset"].update(s["val_dataloader"]["dataset"]),
        ("train_dataloader.dataset.test_mode",),
    ),
    "no test mode": (put("val_dataloader.dataset.test_mode", False), ("val_dataloader.dataset.test_mode", "True")),
}


#: These are about another file than the config.
FILES = ("weights that are not there", "a checkpoint that is not there")


@pytest.mark.parametrize("name", WRONG)
def test_one_line_and_exit_code_2(name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, words = WRONG[name]
    settings = small_settings(data)
    change(settings)
    file = write_config(tmp_path / "config.py", settings)
    code, errors = rotx_train(capsys, file, "--work-dir", tmp_path / "work")
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(lines) == 1 and errors.splitlines()[-1] == lines[0], errors
    for word in words if name in FILES else (*words, str(file)):
        assert word in lines[0]
    assert not list((tmp_path / "work").glob("*.pth"))


def test_wrong_options(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_config(tmp_path / "config.py", small_settings(data))
    for arguments in (("no.py",), (file, "--resum"), (file, "--seed", -1), (file, "--plugin", "nothing.there"), ()):
        code, errors = rotx_train(capsys, *arguments)
        assert code == 2 and "Traceback" not in errors and errors


def test_empty_dataset(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("images", "labelTxt"):
        (tmp_path / "none/train" / name).mkdir(parents=True)
    settings = small_settings(data)
    settings["train_dataloader"]["dataset"]["data_root"] = str(tmp_path / "none/train")
    code, errors = rotx_train(capsys, write_config(tmp_path / "config.py", settings), "--work-dir", tmp_path / "work")
    assert code == 2 and errors.count("\n") == 1 and "none/train" in errors


def test_users_variables_and_mmrotates_keys_are_let_be(data: Path) -> None:
    from rotx.engine.settings import read_settings

    settings = small_settings(data)
    settings |= {
        "data_root": "x",
        "model_1": 5,
        "default_scope": "mmrotate",
        "log_level": "INFO",
        "angle_version": "le90",
    }
    settings |= {
        "env_cfg": {"cudnn_benchmark": False, "mp_cfg": {"mp_start_method": "fork"}, "dist_cfg": {"backend": "nccl"}}
    }
    settings |= {
        "vis_backends": [{"type": "LocalVisBackend"}],
        "val_cfg": {"type": "ValLoop"},
        "test_cfg": {"type": "TestLoop"},
    }
    settings |= {
        "visualizer": {"type": "RotLocalVisualizer", "vis_backends": [{"type": "WandbVisBackend"}], "name": "v"}
    }
    settings |= {"log_processor": {"type": "LogProcessor", "window_size": 50, "by_epoch": True}, "backend_args": None}
    settings["default_hooks"] |= {"timer": {"type": "IterTimerHook"}, "param_scheduler": {"type": "ParamSchedulerHook"}}
    settings["default_hooks"] |= {
        "sampler_seed": {"type": "DistSamplerSeedHook"},
        "visualization": {"type": "mmdet.DetVisualizationHook"},
    }
    settings["train_dataloader"] |= {"persistent_workers": True, "batch_sampler": {"type": "AspectRatioBatchSampler"}}
    read = read_settings(settings)
    assert read.train.sampler == {
        "sampler": {"type": "DefaultSampler", "shuffle": True},
        "type": "AspectRatioBatchSampler",
    }
    assert len(read.notices) == 1 and "WandbVisBackend" in read.notices[0]


def test_an_earlier_training_is_not_overwritten(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_config(tmp_path / "config.py", small_settings(data))
    before = {path: path.stat().st_mtime_ns for path in trained.iterdir()}
    code, errors = rotx_train(capsys, file, "--work-dir", trained)
    assert code == 2 and errors.count("\n") == 1 and "--resume" in errors and "--work-dir" in errors
    assert {path: path.stat().st_mtime_ns for path in trained.iterdir()} == before


def test_resuming_what_cannot_be_resumed(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(trained / "epoch_1.pth", weights_only=True)
    torch.save(content["state_dict"], tmp_path / "weights.pth")
    (tmp_path / "cut.pth").write_bytes((trained / "epoch_1.pth").read_bytes()[:-1000])
    other = small_settings(data)
    other["model"]["bbox_head"]["stacked_convs"] = 2
    classes = small_settings(data)
    classes["model"]["bbox_head"]["num_classes"] += 1
    for loader in ("train_dataloader", "val_dataloader"):
        metainfo = classes[loader]["dataset"]["metainfo"]
        metainfo["classes"] = (*metainfo["classes"], "more")
    groups, adam = small_settings(data), small_settings(data)
    groups["optim_wrapper"]["paramwise_cfg"] = {"bias_lr_mult": 2.0}
    adam["optim_wrapper"]["optimizer"] = {"type": "AdamW", "lr": 0.01}
    cases = {
        "weights alone": (small_settings(data), tmp_path / "weights.pth", "load_from"),
        "damaged": (small_settings(data), tmp_path / "cut.pth", "damaged"),
        "another model": (other, trained / "epoch_1.pth", "another model"),
        "other classes": (classes, trained / "epoch_1.pth", "another shape (bbox_head"),
        "other groups": (groups, trained / "epoch_1.pth", "optimizer"),
        "another optimizer": (adam, trained / "epoch_1.pth", "SGD, not AdamW"),
        "an annotation": (small_settings(data), data / "train/labelTxt/P0.txt", "P0.txt"),
    }
    for name, (settings, checkpoint, word) in cases.items():
        file = write_config(tmp_path / "config.py", settings)
        code, errors = rotx_train(capsys, file, "--work-dir", tmp_path / "work", "--resume", checkpoint)
        lines = errors.splitlines()
        # A class without objects is said first.
        assert code == 2 and len(lines) <= (3 if name == "other classes" else 1), (name, errors)
        assert word in lines[-1] and checkpoint.name in lines[-1], (name, errors)


def test_a_damaged_newest_checkpoint(
    trained: Path, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("epoch_1.pth", "epoch_2.pth", "last_checkpoint"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    (tmp_path / "epoch_2.pth").write_bytes((trained / "epoch_2.pth").read_bytes()[:5000])
    train(small_settings(data, epochs=2) | {"resume": True}, tmp_path, "cpu")
    errors = caplog.text
    assert (
        "epoch_2.pth: is damaged" in errors and "resuming from" in errors and "epoch_1.pth: epoch 2, step 3" in errors
    )
    assert different(tmp_path / "epoch_2.pth", trained / "epoch_2.pth") == []
    for name in ("epoch_1.pth", "epoch_2.pth"):
        (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="all its checkpoints are damaged"):
        newest(tmp_path)


def test_one_bit_of_a_newest_checkpoint(trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("epoch_1.pth", "epoch_2.pth", "last_checkpoint"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    with zipfile.ZipFile(tmp_path / "epoch_2.pth") as archive:
        tensor = max(archive.infolist(), key=lambda entry: entry.file_size)
    content = bytearray((tmp_path / "epoch_2.pth").read_bytes())
    content[tensor.header_offset + tensor.file_size // 2 + 100] ^= 1
    (tmp_path / "epoch_2.pth").write_bytes(content)
    found = newest(tmp_path)
    assert found is not None and found[0].name == "epoch_1.pth" and "epoch_2.pth: is damaged" in caplog.text


def test_a_change_of_seed_or_batch_is_said(
    trained: Path, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = small_settings(data, epochs=2, batch_size=3, randomness={"seed": 5})
    train(settings | {"resume": True, "load_from": str(trained / "epoch_1.pth")}, tmp_path, "cpu")
    errors = caplog.text
    assert "seed 0, now it is 5" in errors and "had 2 images a step in all processes, now it is 3" in errors
    assert torch.load(tmp_path / "epoch_2.pth", weights_only=True)["position"]["step"] == 4


def test_the_checkpoint_is_what_inference_takes(trained: Path, data: Path) -> None:
    predictor = load(trained / "config.py", trained / "epoch_2.pth", "cpu")
    assert predictor.classes == CLASSES
    content = torch.load(trained / "epoch_2.pth", weights_only=True)
    assert content["meta"]["dataset_meta"]["classes"] == CLASSES
    assert (
        (trained / "config.py").read_text() == config.dumps(small_settings(data, epochs=2)) == content["meta"]["config"]
    )
    assert (trained / "last_checkpoint").read_text() == str(trained / "epoch_2.pth")
    assert json.loads((trained / "environment.json").read_text())["torch"] == torch.__version__


@pytest.mark.slow
def test_a_full_disk(data: Path, tmp_path: Path) -> None:
    settings = small_settings(data, epochs=3)
    file = write_config(tmp_path / "config.py", settings)
    train(small_settings(data, epochs=1), tmp_path / "whole", "cpu")
    size = (tmp_path / "whole/epoch_1.pth").stat().st_size
    work = tmp_path / "work"
    work.mkdir()
    # As on a disk with room for less than a checkpoint: writing beyond fails, in the kernel.
    run = start(file, "--work-dir", work, "--device", "cpu", limit_file_size=size // 2)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 2 and "Traceback" not in errors, errors
    assert "epoch_1.pth: cannot be written (File too large); there is no checkpoint yet" in errors
    assert "epoch 3, step 9" in errors  # it went on to the end
    assert errors.rstrip().splitlines()[-1].endswith("the last checkpoint could not be written")
    assert sorted(path.name for path in work.iterdir()) == ["config.py", "environment.json", "log.jsonl"]
    # With a good checkpoint from before.
    (work / "epoch_1.pth").write_bytes((tmp_path / "whole/epoch_1.pth").read_bytes())
    run = start(file, "--work-dir", work, "--device", "cpu", "--resume", limit_file_size=size // 2)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 2 and f"the last good checkpoint is {work / 'epoch_1.pth'}" in errors, errors
    assert different(work / "epoch_1.pth", tmp_path / "whole/epoch_1.pth") == []


@pytest.mark.parametrize("best", ["auto", "dota/mAP"])
def test_too_many_checkpoints_and_the_best(data: Path, tmp_path: Path, best: str) -> None:
    settings = small_settings(data, epochs=4)
    settings["default_hooks"]["checkpoint"] |= {"max_keep_ckpts": 2, "save_best": best}
    train(settings, tmp_path, "cpu")
    names = sorted(path.name for path in tmp_path.glob("*.pth"))
    assert names == ["best_mAP_epoch_1.pth", "epoch_3.pth", "epoch_4.pth"]


def test_an_unreadable_image_is_named_and_training_goes_on(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_images(tmp_path / "train", 6)
    (tmp_path / "train/images/P3.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    settings = small_settings(data, epochs=2)
    settings["train_dataloader"]["dataset"]["data_root"] = str(tmp_path / "train")
    train(settings, tmp_path / "work", "cpu")
    errors = caplog.text
    assert errors.count("P3.png") == 1 and "1 images cannot be read" in errors
    assert (tmp_path / "work/epoch_2.pth").exists()


def test_dropped_objects_are_in_the_log(data: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "train", 4)
    settings = small_settings(data, epochs=1)
    dataset = settings["train_dataloader"]["dataset"]
    dataset["data_root"] = str(tmp_path / "train")
    dataset["pipeline"].insert(2, {"type": "RandomCrop", "crop_size": (24, 24), "allow_negative_crop": True})
    train(settings, tmp_path / "work", "cpu")
    lines = [json.loads(line) for line in (tmp_path / "work/log.jsonl").read_text().splitlines()]
    (counts,) = [line["dropped"] for line in lines if "dropped" in line]
    assert sum(counts.values()) > 0
    losses = [line for line in lines if "loss_cls" in line]
    assert [line["step"] for line in losses] == [1, 2]
    assert {"epoch", "lr", "loss_bbox", "grad_norm", "data_time", "time", "memory"} <= losses[0].keys()


def test_nan_guard(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = small_settings(data)
    settings["model"]["backbone"]["break_at"] = 3
    work = tmp_path / "work"
    code, errors = rotx_train(capsys, write_config(tmp_path / "config.py", settings), "--work-dir", work)
    last = errors.rstrip().splitlines()[-1]
    assert code == 1 and last.startswith("error: step 2: loss_") and "is not finite" in last
    dump = torch.load(work / "nan_batch_step_2.pt", weights_only=True)
    assert str(work / "nan_batch_step_2.pt") in last and all(path in last for path in dump["paths"])
    assert [image.shape for image in dump["images"]] == [(3, 64, 64)] * 2 and dump["images"][0].dtype == torch.uint8
    assert [len(b) for b in dump["boxes"]] == [len(label) for label in dump["labels"]]
    assert not all(np.isfinite(value) for value in dump["losses"].values())
    name = dump["names"][0]
    assert (cv2.imread(str(data / f"train/images/{name}.png")) is not None) and len(dump["boxes"][0]) in (2, 3)
    assert not list(work.glob("*.pth"))


def test_tensorboard(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_config(tmp_path / "config.py", small_settings(data, epochs=1))
    code, errors = rotx_train(capsys, file, "--work-dir", tmp_path / "work", "--tensorboard")
    if find_spec("tensorboard"):
        assert code == 0 and list((tmp_path / "work").glob("events.out.tfevents.*"))
    else:
        assert code == 2 and "pip install 'rotx[tensorboard]'" in errors


def test_scaling_of_the_learning_rate(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = small_settings(data, epochs=1, auto_scale_lr={"base_batch_size": 16}, param_scheduler=None)
    file = write_config(tmp_path / "config.py", settings)
    code, errors = rotx_train(capsys, file, "--work-dir", tmp_path / "work", "--auto-scale-lr", "--amp", "--seed", "3")
    assert code == 0 and "lr 0.01 is for 16 images a step; for 2 it is 0.00125" in errors
    lines = [json.loads(line) for line in (tmp_path / "work/log.jsonl").read_text().splitlines()]
    assert {line["lr"] for line in lines if "lr" in line} == {0.00125}
    written = load_config(tmp_path / "work/config.py")
    assert written["optim_wrapper"]["type"] == "AmpOptimWrapper" and written["optim_wrapper"]["dtype"] == "bfloat16"
    assert written["randomness"] == {"seed": 3}
