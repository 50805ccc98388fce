"""Loads a detector and its test dataset from a config and a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from rotx.annotations.classes import first_names
from rotx.compat import build
from rotx.datasets.tiled import TiledDataset
from rotx.evaluation.coco import CocoMetric
from rotx.evaluation.detect import Annotated
from rotx.evaluation.metrics import Metric, build_metric, merge_iou
from rotx.models.detectors import Detector
from rotx.models.loading import load_detector
from rotx.records import InstanceTable

#: Keys of a config with the test dataset → with the evaluator, in order of preference.
_LOADERS = {"test_dataloader": "test_evaluator", "val_dataloader": "val_evaluator"}


@dataclass(frozen=True)
class EvaluationSetup:
    """Trained detector, test dataset and metric.

    Attributes:
        detector: Detector on its device.
        dataset: Dataset in test mode.
        metric: Metric of the config's evaluator.
        batch_size: Number of images per batch.
        num_workers: Number of loader workers.
        merge_iou: IoU above which detections of different patches are merged.
    """

    detector: Detector
    dataset: Annotated
    metric: Metric
    batch_size: int
    num_workers: int
    merge_iou: float

    @cached_property
    def annotations(self) -> InstanceTable:
        """Annotations of the dataset."""
        return self.dataset.annotations()

    @cached_property
    def whole(self) -> InstanceTable | None:
        """Annotations of the whole images, if the dataset cuts them into windows on the fly; otherwise None."""
        return self.dataset.whole.annotations() if isinstance(self.dataset, TiledDataset) else None

    @property
    def official_coco(self) -> bool:
        """Whether the config's (first) evaluator computes COCO's official numbers."""
        return isinstance(getattr(self.metric, "metrics", [self.metric])[0], CocoMetric)

    @property
    def merge_patches(self) -> bool:
        """Whether the config's evaluator merges patches."""
        return bool(getattr(self.metric, "merge_patches", False))

    @property
    def compares_masks(self) -> bool:
        """Whether the config's evaluator scores masks."""
        return any("segm" in getattr(one, "kinds", ()) for one in getattr(self.metric, "metrics", [self.metric]))

    @property
    def format_only(self) -> bool:
        """Whether the config's evaluator only writes detections, without scoring them."""
        return bool(getattr(self.metric, "format_only", False))

    @property
    def folder(self) -> str | None:
        """Folder that the config's evaluator writes detections to, if any."""
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
    """Loads a trained detector and the test dataset of its config, or else the validation dataset.

    Args:
        config_file: Config of rotx or of MMRotate 0.x or 1.x.
        checkpoint: Checkpoint written by rotx or MMRotate.
        device: Device for the detector.
        options: Overrides of config values, such as ``"model.test_cfg.score_thr=0.1"``.
        plugins: Modules to import, which register further types that the config uses.
        trust_config: Whether to import the modules in ``custom_imports`` of the config.

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
        raise ValueError(f"{config_file}: nothing to evaluate on: has neither {' nor '.join(_LOADERS)}")
    try:
        loader = settings[name]
        if not isinstance(loader, Mapping) or not isinstance(loader.get("dataset"), Mapping):
            raise ValueError(f"{name}: needs dataset=dict(type=...)")
        dataset = build(loader["dataset"], f"{name}.dataset")
        _check(dataset, f"{name}.dataset", trained.classes)
        evaluator = _LOADERS[name]
        metric = build_metric(settings.get(evaluator) or {"type": "DOTAMetric"}, evaluator)
        batch_size, num_workers = _count(loader, f"{name}.batch_size", 1), _count(loader, f"{name}.num_workers", 0)
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from error
    iou = merge_iou(settings, trained.detector.nms_iou)
    return EvaluationSetup(trained.detector, dataset, metric, batch_size, num_workers, iou)


def _count(loader: Mapping[str, Any], where: str, least: int) -> int:
    """A whole number among the settings of a loader; ``least`` by default."""
    value = loader.get(where.rpartition(".")[2], least)
    if type(value) is not int or value < least:
        raise ValueError(f"{where}: need an integer of at least {least}, got {value!r}")
    return value


def _check(dataset: Any, where: str, trained: Sequence[str]) -> None:
    """Raises ValueError unless the dataset is in test mode and its classes are those of the detector."""
    if not dataset.test_mode:
        raise ValueError(f"{where}: needs test_mode=True: else images and objects are left out of the evaluation")
    classes = tuple(dataset.classes)
    # Classes are numbers if neither checkpoint nor config has names.
    nameless = tuple(trained) == tuple(map(str, range(len(trained))))
    if len(classes) != len(trained) or (classes != tuple(trained) and not nameless):
        raise ValueError(
            f"{where}: its {len(classes)} classes {first_names(classes)} are not the {len(trained)} that the detector "
            f"was trained for, {first_names(trained)}: set metainfo=dict(classes=...) there, in that order"
        )
