"""A training small enough for a test: images of 64 pixels with bright rectangles, a detector with few channels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from rotx import config
from rotx.geometry import rbox_to_quad
from small import small_config

CLASSES = ("ship", "plane")
RETINANET = "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota"
HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "python"


def write_images(folder: Path, count: int, seed: int = 0, size: int = 64) -> None:
    """DOTA's files: ``images/P0.png`` and ``labelTxt/P0.txt`` and so on, two or three objects each."""
    rng = np.random.default_rng(seed)
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        image = rng.integers(0, 60, (size, size, 3), dtype=np.uint8)
        lines = []
        for _ in range(int(rng.integers(2, 4))):
            label = int(rng.integers(len(CLASSES)))
            center, sides = rng.uniform(16, size - 16, 2), (rng.uniform(20, 28), rng.uniform(8, 12))
            quad = rbox_to_quad(np.array([[*center, *sides, rng.uniform(-1.5, 1.5)]]))[0]
            cv2.fillPoly(image, [quad.reshape(4, 2).round().astype(np.int32)], (255, 255, 255 * label))
            lines.append(" ".join(f"{value:.1f}" for value in quad) + f" {CLASSES[label]} 0\n")
        cv2.imwrite(str(folder / f"images/P{i}.png"), image)
        (folder / f"labelTxt/P{i}.txt").write_text("".join(lines))


def write_sets(folder: Path, train: int = 6, val: int = 2) -> Path:
    """Images to train with and to validate, in ``folder``, which it returns."""
    write_images(folder / "train", train)
    write_images(folder / "val", val, seed=1)
    return folder


def small_model() -> dict[str, Any]:
    """Rotated RetinaNet on a backbone of five convolutions."""
    model = small_config(RETINANET, num_classes=len(CLASSES))
    model["backbone"] = {"type": "TinyBackbone"}
    # Four levels: a fifth would be made of a map of one pixel, from which oneDNN makes random gradients in bfloat16.
    model["neck"] |= {"in_channels": [16] * 4, "out_channels": 16, "num_outs": 4}
    model["bbox_head"] |= {"in_channels": 16, "feat_channels": 16}
    model["bbox_head"]["anchor_generator"]["strides"] = [8, 16, 32, 64]
    return model


def _loader(folder: Path, batch_size: int, train: bool) -> dict[str, Any]:
    flips: list[dict[str, Any]] = [
        {"type": "RandomFlip", "prob": 0.75, "direction": ["horizontal", "vertical", "diagonal"]}
    ]
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, *(flips if train else [])]
    return {
        "batch_size": batch_size,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": train},
        "dataset": {
            "type": "DOTADataset",
            "data_root": str(folder),
            "ann_file": "labelTxt/",
            "data_prefix": {"img_path": "images/"},
            "metainfo": {"classes": CLASSES},
            "test_mode": not train,
            "pipeline": [*pipeline, {"type": "PackDetInputs"}],
        },
    }


def small_settings(data: Path, epochs: int = 3, batch_size: int = 2, **more: Any) -> dict[str, Any]:
    """A whole config; the images of ``data/train`` and ``data/val`` are as :func:`write_images` makes them."""
    return {
        "model": small_model(),
        "train_dataloader": _loader(data / "train", batch_size, train=True),
        "val_dataloader": _loader(data / "val", 2, train=False),
        "val_evaluator": {"type": "DOTAMetric"},
        "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": epochs, "val_interval": 1},
        "optim_wrapper": {
            "type": "OptimWrapper",
            "optimizer": {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001},
            "clip_grad": {"max_norm": 35, "norm_type": 2},
        },
        "param_scheduler": [
            {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 4},
            {"type": "MultiStepLR", "by_epoch": True, "milestones": [2], "gamma": 0.1},
        ],
        "default_hooks": {"logger": {"interval": 1}, "checkpoint": {"interval": 1}},
        **more,
    }


def write_config(path: Path, settings: dict[str, Any]) -> Path:
    path.write_text(config.dumps(settings))
    return path


def start(*arguments: object, limit_file_size: int | None = None, **variables: str) -> subprocess.Popen[str]:
    """``rotx-train`` in a process of its own, in a session of its own."""

    def limit() -> None:
        if limit_file_size is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_file_size, limit_file_size))

    return _python(["-m", "rotx.cli.train", *map(str, arguments), "--plugin", "tiny"], limit, **variables)


def start_processes(number: int, *arguments: object, restarts: int = 0) -> subprocess.Popen[str]:
    """``rotx-train`` by torchrun, with several processes on this machine."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)]
    module = ["--max-restarts", str(restarts), "-m", "rotx.cli.train"]
    return _python([*launch, *module, *map(str, arguments), "--plugin", "tiny"])


def _python(arguments: list[str], preexec: Callable[[], None] | None = None, **variables: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(map(str, (PACKAGE, HERE)))
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables},
        start_new_session=True,
        preexec_fn=preexec,
    )


class Starter:
    """Many runs of ``rotx-train``, one after the other, without importing torch for each; see :mod:`forks`."""

    def __init__(self, errors: Path) -> None:
        self.errors = errors
        self.server = _python([str(HERE / "forks.py")], lambda: os.dup2(os.open(errors, os.O_CREAT | os.O_WRONLY), 2))

    def start(self, *arguments: object) -> int:
        """Starts a run; its process."""
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps([*map(str, arguments), "--plugin", "tiny"]) + "\n")
        self.server.stdin.flush()
        return self._read()

    def wait(self) -> int:
        """The exit code of the run, when it ended; a negative one is a signal."""
        return self._read()

    def close(self) -> None:
        self.server.communicate()

    def _read(self) -> int:
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        assert line, self.errors.read_text()
        return int(line)


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Everything in a checkpoint that training changes, by name: weights, averages and the optimizer's state."""
    content = torch.load(path, weights_only=True)
    found = {f"state_dict.{name}": value for name, value in content["state_dict"].items()}
    found |= {f"raw.{name}": value for name, value in content.get("ema_state_dict", {}).items()}
    for i, state in content["optimizer"]["state"].items():
        found |= {f"optimizer.{i}.{name}": value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return found


def different(first: Path, second: Path) -> list[str]:
    """Names of what is not bit for bit the same in two checkpoints."""
    a, b = weights(first), weights(second)
    return [name for name in a.keys() | b.keys() if name not in a or name not in b or not torch.equal(a[name], b[name])]
