"""The reference numbers of whole models, and how a model is made ready to be compared with them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import recipe
from conftest import GOLDENS, PHOTO
from rotx.boxes import translation_matrix
from rotx.compat import load_config
from rotx.models import Batch, build_detector
from rotx.models.detectors import Detector
from rotx.records import Bitmaps, Instances, Masks

CONFIGS = Path(__file__).parents[2] / "configs"

#: All kept: what was drawn at random in training is not compared.
ALL = 1_000_000


def names(source: str) -> list[str]:
    """The configs here that numbers are stored of; ``source`` is as of :class:`Case`."""
    ours = {file.stem for file in CONFIGS.rglob("*.py")}
    return sorted(file.stem for file in (GOLDENS / source).glob("*.npz") if file.stem in ours)


@dataclass
class Case:
    """A config with its goldens, and the model with the weights of the goldens' recipe.

    Args:
        name: Name of the config, without ``.py``.
        source: ``models`` for MMRotate's numbers, ``mmdet`` for MMDetection's.
    """

    name: str
    source: str = "models"
    arrays: dict[str, NDArray[Any]] = field(init=False)
    meta: dict[str, Any] = field(init=False)
    #: Shapes and dtypes by key, and the frozen parameters.
    state: dict[str, Any] = field(init=False)
    #: Ten steps of training; only of some configs.
    steps: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        with np.load(GOLDENS / self.source / f"{self.name}.npz") as file:
            self.arrays = dict(file)
        texts = {key: self.arrays.pop(key) for key in list(self.arrays) if key.endswith(".json")}
        parsed = {key: json.loads(value.tobytes()) for key, value in texts.items()}
        self.meta, self.state = parsed["golden.json"], parsed["state_dict.json"]
        self.steps = parsed.get("train10.json", {})

    @cached_property
    def model(self) -> Detector:
        part = load_config(CONFIGS.parent / self.meta["config"])["model"]
        keep_all_samples(part)
        return recipe.load_into(build_detector(part))

    def fresh(self) -> Detector:
        """The model with the recipe's weights, whatever was done to it; the norms in eval mode, the rest in train."""
        model = recipe.load_into(self.model)
        model.train()
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
        model.zero_grad(set_to_none=True)
        return model

    def needs(self, run: str) -> None:
        """Skips the test if there is no such run, or not the image that it needs."""
        if run not in self.meta["runs"]:
            pytest.skip(f"no numbers of {run} are stored")
        if run == "real224x320" and not PHOTO.is_file():
            pytest.skip("needs the photograph of the goldens: set ROTX_SHARED")

    def image(self, run: str) -> Tensor:
        """The image of a run, normalised, (1, 3, H, W)."""
        if run == "random256":
            return torch.from_numpy(recipe.random_image(256, 256, 0))
        pixels = cv2.imread(str(PHOTO))
        assert pixels is not None
        rgb = cv2.resize(pixels, (320, 224), interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
        mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
        values = ((rgb - mean) / std).astype(np.float32).transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(values))[None]

    def batch(self, run: str) -> Batch:
        if run == "batch2":
            images = torch.cat([torch.from_numpy(recipe.random_image(256, 256, seed)) for seed in (0, 1)])
        else:
            images = self.image("random256" if run == "empty_gt" else run)
        return Batch(images, [(images.shape[-2], images.shape[-1])] * len(images))

    def targets(self, run: str) -> list[Instances]:
        boxes = torch.tensor(self.meta["gt_boxes_used"])
        labels = torch.tensor(self.meta["gt_labels"])
        kind = {4: "hbox", 5: "rbox", 8: "quad"}[boxes.shape[1]]
        masks = None
        if "gt_polygons" in self.meta:
            masks = Masks([[np.array(polygon)] for polygon in self.meta["gt_polygons"]])
        first = Instances(boxes, kind, labels, masks=masks)
        if run == "empty_gt":
            first = first[:0]
        found = [first]
        if run == "batch2":
            found.append(first[:3].move(translation_matrix(5, 7)))
        height, width = self.batch(run).sizes[0]
        return [
            one if one.masks is None else replace(one, masks=Bitmaps(one.masks.bitmaps(height, width))).to("cpu")
            for one in found
        ]

    def differences(self, run: str, outputs: dict[str, Tensor], tolerance: float) -> dict[str, tuple[float, float]]:
        """The outputs that are not the stored ones.

        Args:
            run: Name of the run.
            outputs: Tensors by the names that they are stored under.
            tolerance: Largest error of a value, relative to the stored standard deviation, and largest relative error
                of the sum of absolute values.

        Returns:
            Both errors of each output that exceeds the tolerance.
        """
        wrong = {}
        for name, value in outputs.items():
            stat, wanted = self.meta["runs"][run]["out_stats"][name], self.arrays[f"{run}/out/{name}"]
            assert list(value.shape) == stat["shape"], name
            found = value.contiguous().numpy().reshape(-1)[:: stat["step"]][: len(wanted)]
            error = np.abs(found - wanted).max() / max(stat["std"], 1e-6)
            total = abs(float(value.double().abs().sum()) - stat["abssum"]) / max(stat["abssum"], 1e-6)
            if not (error <= tolerance and total <= tolerance):
                wrong[name] = (float(error), total)
        return wrong


def keep_all_samples(part: Any) -> None:
    """Makes every random sampler of a config keep all, as the goldens did."""
    if isinstance(part, dict):
        if part.get("type") == "RandomSampler":
            part["num"] = ALL
        part = list(part.values())
    if isinstance(part, list | tuple):
        for item in part:
            keep_all_samples(item)
