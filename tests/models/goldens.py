"""The reference numbers of whole models, and how a model is made ready to be compared with them."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conftest import SHARED
from rotx.compat import load_config
from rotx.models import Batch, Targets, build_detector

CONFIGS = Path(__file__).parents[2] / "configs"
GOLDENS = SHARED / "goldens"

#: All kept: what was drawn at random in training is not compared.
ALL = 1_000_000


def names() -> list[str]:
    """The configs that there are goldens of; none without ../shared."""
    return sorted(folder.name for folder in (GOLDENS / "models").glob("*/"))


def load_module(name: str) -> ModuleType:
    """A Python file of the goldens."""
    spec = importlib.util.spec_from_file_location(name, GOLDENS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Case:
    """A config with its goldens, and the model with the weights of the goldens' recipe."""

    name: str
    arrays: dict[str, NDArray[Any]] = field(init=False)
    meta: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        folder = GOLDENS / "models" / self.name
        self.arrays = dict(np.load(folder / "golden.npz"))
        self.meta = json.loads((folder / "golden.json").read_text())

    @property
    def recipe(self) -> ModuleType:
        return load_module("recipe")

    @cached_property
    def model(self) -> nn.Module:
        part = load_config(CONFIGS.parent / self.meta["config"])["model"]
        keep_all_samples(part)
        model: nn.Module = self.recipe.load_into(build_detector(part))
        return model

    def fresh(self) -> nn.Module:
        """The model with the recipe's weights, whatever was done to it; the norms in eval mode, the rest in train."""
        model: nn.Module = self.recipe.load_into(self.model)
        model.train()
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
        model.zero_grad(set_to_none=True)
        return model

    def image(self, run: str) -> Tensor:
        """The image of a run, normalised, (1, 3, H, W).

        That of ``real224x320`` is not at hand: the goldens were made from a version of P2805__1024__0___0.png with
        170 x 170 pixels (ops/pipeline.json gives its size), and ../shared holds the one with 1024 x 1024. Made
        small here, it is close, not equal.
        """
        if run == "random256":
            return torch.from_numpy(self.recipe.random_image(256, 256, 0))
        pixels = cv2.imread(str(SHARED / "data/dota_patches/mmrotate/images/P2805__1024__0___0.png"))
        assert pixels is not None
        small = cv2.resize(pixels, (170, 170), interpolation=cv2.INTER_AREA)
        rgb = cv2.resize(small, (320, 224), interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
        mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
        values = ((rgb - mean) / std).astype(np.float32).transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(values))[None]

    def batch(self, run: str) -> Batch:
        if run == "batch2":
            images = torch.cat([torch.from_numpy(self.recipe.random_image(256, 256, seed)) for seed in (0, 1)])
        else:
            images = self.image("random256" if run == "empty_gt" else run)
        return Batch(images, [(images.shape[-2], images.shape[-1])] * len(images))

    def targets(self, run: str) -> list[Targets]:
        boxes = torch.tensor(self.meta["gt_boxes_used"])
        labels = torch.tensor(self.meta["gt_labels"])
        if run == "empty_gt":
            return [Targets(boxes[:0], labels[:0])]
        first = Targets(boxes, labels)
        if run != "batch2":
            return [first]
        moved = boxes[:3].clone()
        moved[:, :2] += torch.tensor([5.0, 7.0])
        return [first, Targets(moved, labels[:3])]


def keep_all_samples(part: Any) -> None:
    """Makes every random sampler of a config keep all, as the goldens did."""
    if isinstance(part, dict):
        if part.get("type") == "RandomSampler":
            part["num"] = ALL
        part = list(part.values())
    if isinstance(part, list | tuple):
        for item in part:
            keep_all_samples(item)
