"""From a config and a checkpoint to a detector with the images that it is to be evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from rotx.annotations.classes import few
from rotx.compat import build, load_config
from rotx.datasets.tiled import TiledDataset
from rotx.engine.evaluate import Annotated
from rotx.evaluation.metrics import Metric, build_metric
from rotx.inference.loading import load
from rotx.models.detectors import Detector
from rotx.records import InstanceTable
from rotx.tiling.merging import MERGE_IOU

#: Where a config says what images a detector is tested on, most telling first.
_LOADERS = {"test_dataloader": "test_evaluator", "val_dataloader": "val_evaluator"}


@dataclass(frozen=True)
class Subject:
    """A trained detector, a dataset and how it is scored there."""

    detector: Detector
    dataset: Annotated
    metric: Metric
    batch_size: int
    num_workers: int

    @cached_property
    def annotations(self) -> InstanceTable:
        """Those of the dataset."""
        return self.dataset.annotations()

    @cached_property
    def whole(self) -> InstanceTable | None:
        """Those of the whole images, if the dataset has them: its images are windows that were never written."""
        return self.dataset.whole.annotations() if isinstance(self.dataset, TiledDataset) else None

    @property
    def merge_patches(self) -> bool:
        """Whether the config's evaluator merges patches."""
        return bool(getattr(self.metric, "merge_patches", False))

    @property
    def merge_iou(self) -> float:
        """From which IoU on detections of several patches are suppressed."""
        return float(getattr(self.metric, "iou_thr", MERGE_IOU))

    @property
    def format_only(self) -> bool:
        """Whether the config's evaluator writes detections and scores nothing."""
        return bool(getattr(self.metric, "format_only", False))

    @property
    def folder(self) -> str | None:
        """Where the config's evaluator writes detections."""
        return getattr(self.metric, "outfile_prefix", None)


def load_subject(
    config_file: str | Path,
    checkpoint: str | Path,
    device: torch.device,
    *,
    options: Sequence[str] = (),
    plugins: Sequence[str] = (),
    trust_config: bool = False,
) -> Subject:
    """Loads a trained detector and the test images of its config, else the validation images.

    Args:
        config_file: of rotx or of MMRotate 0.x or 1.x.
        checkpoint: the weights.
        device: where the detector goes.
        options: changes of the config.
        plugins: modules of the user's that register what the config names.
        trust_config: also import what ``custom_imports`` of the config says.

    Raises:
        ValueError: for files that cannot be read or do not belong together.
        OSError: for a file that cannot be opened.
        ImportError: for a plug-in that cannot be found.
    """
    predictor = load(config_file, checkpoint, str(device), options=options, plugins=plugins, trust_config=trust_config)
    settings = load_config(config_file, options)
    name = next((name for name in _LOADERS if settings.get(name)), None)
    if name is None:
        raise ValueError(f"{config_file}: nothing to evaluate on: it has neither {' nor '.join(_LOADERS)}")
    try:
        loader = settings[name]
        if not isinstance(loader, Mapping) or not isinstance(loader.get("dataset"), Mapping):
            raise ValueError(f"{name}: needs dataset=dict(type=...)")
        dataset = build(loader["dataset"], f"{name}.dataset")
        _check(dataset, f"{name}.dataset", predictor.classes)
        evaluator = _LOADERS[name]
        metric = build_metric(settings.get(evaluator) or {"type": "DOTAMetric"}, evaluator)
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from error
    return Subject(
        predictor.detector, dataset, metric, int(loader.get("batch_size", 1)), int(loader.get("num_workers", 0))
    )


def _check(dataset: Any, where: str, trained: Sequence[str]) -> None:
    """Raises ValueError unless the dataset is for evaluation and its classes are those that the detector knows."""
    if not dataset.test_mode:
        raise ValueError(f"{where}: needs test_mode=True: else images and objects are left out of the evaluation")
    classes = tuple(dataset.classes)
    # A checkpoint without names, of a config without names, gives numbers.
    nameless = tuple(trained) == tuple(map(str, range(len(trained))))
    if len(classes) != len(trained) or (classes != tuple(trained) and not nameless):
        raise ValueError(
            f"{where}: its {len(classes)} classes {few(classes)} are not the {len(trained)} that the detector was "
            f"trained for, {few(trained)}: set metainfo=dict(classes=...) there, in that order"
        )
