"""What stops a training that went wrong, and says why."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rotx.atomic import write_bytes
from rotx.models.detectors import Losses

if TYPE_CHECKING:
    from rotx.datasets.loader import LoadedImage

#: Steps in a row without a finite gradient after which a dynamic loss scale, which skips such steps, is given up.
PATIENCE = 50

#: Images and boxes that a message names.
NAMED = 4


class NotFinite(ArithmeticError):
    """A loss or gradient that is infinite or not a number."""


def values_of(losses: Losses) -> dict[str, float]:
    """The terms of a detector's losses as numbers, in one transfer from the device; levels are summed.

    Each is the mean of its values, as :func:`rotx.models.detectors.total_loss` takes it.
    """
    means = {
        name: torch.stack([value.detach().float().mean() for value in ([term] if isinstance(term, Tensor) else term)])
        for name, term in losses.items()
    }
    return dict(zip(means, torch.stack([mean.sum() for mean in means.values()]).tolist(), strict=True))


def not_finite(values: Mapping[str, float]) -> list[str]:
    """Names of the values that are infinite or not a number."""
    return [name for name, value in values.items() if not math.isfinite(value)]


def describe(what: str, items: Sequence[LoadedImage]) -> str:
    """A sentence for a batch that made ``what`` infinite or not a number: its images, and boxes that may be why."""
    # An item may be a window of the file's image: then the file alone does not say which.
    named = [f"{item.path}{f' ({item.name})' * (item.name != item.path.stem)}" for item in items]
    images = ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
    number = sum(len(_sought(item)[0]) for item in items)
    odd = [f"{_numbers(box)} of {item.name}" for item in items for box in _sought(item)[0] if _is_odd(box)]
    suspects = f", among them {'; '.join(odd[:NAMED])}" if odd else ""
    return f"{what} is not finite: images {images}; {number} boxes{suspects}"


def dump(folder: Path, step: int, rank: int, items: Sequence[LoadedImage], losses: Mapping[str, float]) -> Path | None:
    """Writes ``nan_batch_step_N.pt``, which ``torch.load(..., weights_only=True)`` reads; None if that fails.

    It holds ``images``, ``boxes``, ``labels``, ``ignored``, ``names`` and ``paths``, a list each with one entry for an
    image, and ``losses`` by name.
    """
    content: dict[str, Any] = {"images": [item.image for item in items], "names": [item.name for item in items]}
    for name, values in zip(("boxes", "labels", "ignored"), zip(*map(_sought, items), strict=True), strict=True):
        content[name] = list(values)
    content |= {"paths": [str(item.path) for item in items], "losses": dict(losses), "step": step}
    path = folder / f"nan_batch_step_{step}{f'_rank_{rank}' if rank else ''}.pt"
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        write_bytes(path, buffer.getbuffer())
    except OSError:
        return None
    return path


def _sought(item: LoadedImage) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes and labels of the objects of an image that are not ignored, and boxes of those that are."""
    found, ignored = item.instances, item.instances.ignored
    return found.boxes[~ignored], found.labels[~ignored], found.boxes[ignored]


def _is_odd(box: Tensor) -> bool:
    """Whether a box is not finite, thinner than half a pixel, or a hundred times as long as wide."""
    short, long = sorted(box[2:4].tolist())
    return not bool(torch.isfinite(box).all()) or short < 0.5 or long > 100 * short


def _numbers(box: Tensor) -> str:
    return f"({', '.join(f'{value:.4g}' for value in box.tolist())})"
