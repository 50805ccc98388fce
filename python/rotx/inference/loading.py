"""From a config and a checkpoint to a detector that is ready for images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from rotx import config
from rotx.annotations.classes import CLASSES_OF
from rotx.inference.predictor import Predictor
from rotx.models import build_detector, load_checkpoint
from rotx.registry import load_plugins

#: Where a config says what images a detector is for, most telling first.
LOADERS = ("test_dataloader", "val_dataloader", "train_dataloader")


def load(
    config_file: str | Path,
    checkpoint: str | Path,
    device: str = "auto",
    *,
    options: Sequence[str] = (),
    plugins: Sequence[str] = (),
    trust_config: bool = False,
) -> Predictor:
    """A trained detector, ready for images.

    Neither file is executed: the config is parsed, of the checkpoint only tensors and plain values are read.

    Args:
        config_file: of rotx or of MMRotate 0.x or 1.x.
        checkpoint: the weights, written by rotx or by MMRotate.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; ``"auto"``: a GPU if there is one.
        options: changes of the config, such as ``"model.test_cfg.score_thr=0.1"``.
        plugins: modules of the user's that register what the config names.
        trust_config: also import what ``custom_imports`` of the config says.

    Raises:
        ValueError: for a config or checkpoint that cannot be read, or that do not belong together; for a device
            that is not there.
        OSError: for a file that cannot be opened.
        ImportError: for a plug-in that cannot be found.
    """
    where = _device(device)
    settings = config.load(config_file, options)
    try:
        imports = config.custom_imports(settings, trusted=trust_config)
        load_plugins([*plugins, *imports])
        if not isinstance(settings.get("model"), Mapping):
            raise ValueError("has no model")
        detector = build_detector(settings["model"])
        scale, keep_ratio = _scale(settings)
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from error
    try:
        report = load_checkpoint(detector, checkpoint)
    except ValueError as error:
        raise ValueError(f"{config_file}: cannot take its weights from {error}") from None
    if report.missing or report.mismatched:
        raise ValueError(f"{config_file}: these are not its weights: {report}")
    if report.unexpected:
        warnings.warn(f"{config_file}: the checkpoint holds more than its weights: {report}", stacklevel=2)
    try:
        classes = _classes(settings, report.classes, detector.num_classes)
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from None
    return Predictor(detector, classes, scale, keep_ratio, where)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device: need 'auto', 'cpu', 'cuda' or 'cuda:0' and so on, got {name!r}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: torch sees {torch.cuda.device_count()} CUDA devices, so there is no {name!r}")
    return device


def _classes(settings: Mapping[str, Any], trained: Sequence[str] | None, number: int) -> tuple[str, ...]:
    """Names from the checkpoint, else from the config, else from the kind of dataset, else numbers."""
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
        raise ValueError(f"the model tells {number} classes apart, but {found}")
    return fitting or tuple(map(str, range(number)))


def _dataset(settings: Mapping[str, Any], loader: str) -> Mapping[str, Any]:
    """The dataset of a loader, within its wrappers, such as RepeatDataset; the first of several."""
    dataset: Any = settings.get(loader)
    while isinstance(dataset, Mapping):
        inner = dataset.get("dataset") or next(iter(dataset.get("datasets") or ()), None)
        if not isinstance(inner, Mapping):
            return dataset
        dataset = inner
    return {}


def _scale(settings: Mapping[str, Any]) -> tuple[tuple[int, int] | None, bool]:
    """Width and height that the config's test images are resized to, and whether their ratio is kept."""
    for loader in LOADERS[:2]:
        for step in _dataset(settings, loader).get("pipeline") or ():
            kind = str(step.get("type", "")).rpartition(".")[2] if isinstance(step, Mapping) else ""
            if kind == "Resize" and "scale" in step:
                scale = step["scale"]
                pair = (scale, scale) if isinstance(scale, int) else scale
                if not isinstance(pair, list | tuple) or [type(side) for side in pair] != [int, int] or min(pair) < 1:
                    raise ValueError(f"{loader}: Resize: scale: need width and height in pixels, got {scale!r}")
                return (pair[0], pair[1]), bool(step.get("keep_ratio", False))
    return None, True
