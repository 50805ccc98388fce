"""From a config and a checkpoint to a detector with the images that it is evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from rotx.annotations.classes import few
from rotx.compat import build
from rotx.datasets.tiled import TiledDataset
from rotx.evaluation.coco import CocoMetric
from rotx.evaluation.detect import Annotated
from rotx.evaluation.metrics import Metric, build_metric
from rotx.models.detectors import Detector
from rotx.models.loading import load_detector
from rotx.records import InstanceTable
from rotx.tiling.merging import MERGE_IOU

#: Where a config describes the images that a detector is tested on, and how it is scored, most telling first.
_LOADERS = {"test_dataloader": "test_evaluator", "val_dataloader": "val_evaluator"}


@dataclass(frozen=True)
class EvaluationSetup:
    """A trained detector, a dataset and how the detector is scored there.

    Attributes:
        detector: Detector, on its device.
        dataset: Dataset in test mode.
        metric: Metric of the config's evaluator.
        batch_size: Number of images of a batch.
        num_workers: Number of processes that read images.
    """

    detector: Detector
    dataset: Annotated
    metric: Metric
    batch_size: int
    num_workers: int

    @cached_property
    def annotations(self) -> InstanceTable:
        """Annotations of the dataset."""
        return self.dataset.annotations()

    @cached_property
    def whole(self) -> InstanceTable | None:
        """Annotations of the whole images, if the dataset has them: its images are windows that were never written."""
        return self.dataset.whole.annotations() if isinstance(self.dataset, TiledDataset) else None

    @property
    def official_coco(self) -> bool:
        """Whether the config's evaluator, or the first of several, computes COCO's official numbers."""
        return isinstance(getattr(self.metric, "metrics", [self.metric])[0], CocoMetric)

    @property
    def merge_patches(self) -> bool:
        """Whether the config's evaluator merges patches."""
        return bool(getattr(self.metric, "merge_patches", False))

    @property
    def merge_iou(self) -> float:
        """IoU from which on detections of several patches are suppressed."""
        return float(getattr(self.metric, "iou_thr", MERGE_IOU))

    @property
    def format_only(self) -> bool:
        """Whether the config's evaluator writes detections and scores nothing."""
        return bool(getattr(self.metric, "format_only", False))

    @property
    def folder(self) -> str | None:
        """Where the config's evaluator writes detections."""
        return getattr(self.metric, "outfile_prefix", None)


def load_setup(
    config_file: str | Path,
    checkpoint: str | Path,
    device: torch.device,
    *,
    options: Sequence[str] = (),
    plugins: Sequence[str] = (),
    trust_config: bool = False,
) -> EvaluationSetup:
    """Loads a trained detector and the test images of its config, else the validation images.

    Args:
        config_file: Config of rotx or of MMRotate 0.x or 1.x.
        checkpoint: Weights.
        device: Device for the detector.
        options: Changes of the config.
        plugins: Modules to import that register what the config names.
        trust_config: Whether to import what ``custom_imports`` of the config names.

    Raises:
        ValueError: If files cannot be read or do not belong together.
        OSError: If a file cannot be opened.
        ImportError: If a plug-in is not found.
    """
    trained = load_detector(
        config_file, checkpoint, str(device), options=options, plugins=plugins, trust_config=trust_config
    )
    settings = trained.settings
    name = next((name for name in _LOADERS if settings.get(name)), None)
    if name is None:
        raise ValueError(f"{config_file}: nothing to evaluate on: it has neither {' nor '.join(_LOADERS)}")
    try:
        loader = settings[name]
        if not isinstance(loader, Mapping) or not isinstance(loader.get("dataset"), Mapping):
            raise ValueError(f"{name}: needs dataset=dict(type=...)")
        dataset = build(loader["dataset"], f"{name}.dataset")
        _check(dataset, f"{name}.dataset", trained.classes)
        evaluator = _LOADERS[name]
        metric = build_metric(settings.get(evaluator) or {"type": "DOTAMetric"}, evaluator)
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from error
    return EvaluationSetup(
        trained.detector, dataset, metric, int(loader.get("batch_size", 1)), int(loader.get("num_workers", 0))
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
