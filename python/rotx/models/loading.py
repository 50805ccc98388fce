"""Loads a detector with its weights and class names from a config and a checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rotx import config
from rotx.annotations.classes import CLASSES_OF
from rotx.compat import load_config
from rotx.models.build import build_detector
from rotx.models.checkpoints import load_checkpoint
from rotx.models.detectors import Detector
from rotx.registry import load_plugins

#: Keys of a config that describe the images of its detector, in order of preference.
LOADERS = ("test_dataloader", "val_dataloader", "train_dataloader")


@dataclass(frozen=True, eq=False)
class TrainedDetector:
    """Detector with trained weights.

    Attributes:
        detector: Detector on its device, in evaluation mode.
        classes: Class names in the order of the labels.
        settings: Config with the options applied.
        device: Device of the detector.
    """

    detector: Detector
    classes: tuple[str, ...]
    settings: dict[str, Any]
    device: torch.device


def load_detector(
    config_file: str | Path,
    checkpoint: str | Path,
    device: str = "auto",
    *,
    options: Sequence[str] = (),
    plugins: Sequence[str] = (),
    trust_config: bool = False,
) -> TrainedDetector:
    """Loads a trained detector.

    Neither file is executed: the config is parsed, and only tensors and plain values are read from the checkpoint.

    Args:
        config_file: Config of rotx or of MMRotate 0.x or 1.x.
        checkpoint: Checkpoint written by rotx or MMRotate.
        device: Device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; ``"auto"`` uses a GPU if there is one.
        options: Overrides of config values, such as ``"model.test_cfg.score_thr=0.1"``.
        plugins: Modules to import, which register further types that the config uses.
        trust_config: Whether to import the modules in ``custom_imports`` of the config.

    Raises:
        ValueError: If the config or checkpoint cannot be read, they do not match, or the device does not exist.
        OSError: If a file cannot be opened.
        ImportError: If a plug-in is not found.
    """
    where = device_of(device)
    settings = load_config(config_file, options)
    try:
        imports = config.custom_imports(settings, trusted=trust_config)
        load_plugins([*plugins, *imports])
        if not isinstance(settings.get("model"), Mapping):
            raise ValueError("has no model")
        detector = build_detector(settings["model"])
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from error
    try:
        report = load_checkpoint(detector, checkpoint)
    except ValueError as error:
        raise ValueError(f"{config_file}: cannot load weights: {error}") from None
    if report.missing or report.mismatched:
        raise ValueError(f"{config_file}: the checkpoint does not match the config: {report}")
    if report.unexpected:
        warnings.warn(f"{config_file}: the checkpoint contains weights that the model lacks: {report}", stacklevel=2)
    try:
        classes = _classes(settings, report.classes, detector.num_classes)
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from None
    return TrainedDetector(detector.to(where).eval(), classes, settings, where)


def device_of(name: str | torch.device) -> torch.device:
    """Device of a name; ``"auto"`` is a GPU if there is one.

    Raises:
        ValueError: If there is no such device.
    """
    if isinstance(name, torch.device):
        name = str(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device: need 'auto', 'cpu', 'cuda' or 'cuda:0' and so on, got {name!r}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: torch sees {torch.cuda.device_count()} CUDA devices, so there is no {name!r}")
    if device.type not in ("cpu", "cuda"):
        try:
            torch.zeros(1, device=device).cpu()
        except (RuntimeError, NotImplementedError, AssertionError) as error:
            raise ValueError(f"device: {name!r} cannot be used here: {str(error).splitlines()[0]}") from None
    return device


def _classes(settings: Mapping[str, Any], trained: Sequence[str] | None, number: int) -> tuple[str, ...]:
    """Returns the class names of the checkpoint, else of the config, else of the dataset's type, else numbers."""
    candidates: dict[str, Any] = {"the checkpoint": trained}
    for loader in LOADERS:
        dataset = _dataset(settings, loader)
        metainfo, kind = dataset.get("metainfo"), str(dataset.get("type", "")).rpartition(".")[2]
        candidates[loader] = metainfo.get("classes") if isinstance(metainfo, Mapping) else None
        candidates[kind] = CLASSES_OF.get(kind)
    named = {
        source: (names,) if isinstance(names, str) else tuple(map(str, names))
        for source, names in candidates.items()
        if isinstance(names, str | list | tuple) and names
    }
    fitting = next((names for names in named.values() if len(names) == number), None)
    if named and fitting is None:
        found = ", ".join(f"{source} names {len(names)}" for source, names in named.items())
        raise ValueError(f"the model has {number} classes, but {found}")
    return fitting or tuple(map(str, range(number)))


def _dataset(settings: Mapping[str, Any], loader: str) -> Mapping[str, Any]:
    """Returns the dataset of a loader without wrappers such as RepeatDataset; the first of several."""
    dataset: Any = settings.get(loader)
    while isinstance(dataset, Mapping):
        inner = dataset.get("dataset") or next(iter(dataset.get("datasets") or ()), None)
        if not isinstance(inner, Mapping):
            return dataset
        dataset = inner
    return {}
