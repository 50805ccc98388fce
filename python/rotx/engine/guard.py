"""Stops training when a loss or gradient is not finite, and says why."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rotx import boxes
from rotx.atomic import write_bytes
from rotx.boxes import BoxKind
from rotx.datasets.loader import LoadedImage
from rotx.engine import distributed
from rotx.engine.distributed import World
from rotx.engine.launched import LaunchedStep
from rotx.models.detectors import Losses

#: Number of steps in a row without a finite gradient that a dynamic loss scale, which skips such steps, may take.
PATIENCE = 50

#: Number of images and boxes that a message names.
NAMED = 4


class NotFinite(ArithmeticError):
    """A loss or gradient is infinite or not a number."""


class NonFiniteGuard:
    """Stops all processes when a loss of one of them, or their gradient, is not finite.

    Args:
        folder: Folder that the batch is written to.
        world: The processes of this training.
        patience: Number of steps in a row whose gradient may be not finite.
    """

    def __init__(self, folder: Path, world: World, patience: int = 0) -> None:
        self.folder, self.world, self.patience = folder, world, patience
        self.skipped = 0

    def check(self, step: LaunchedStep, *, together: bool = True) -> None:
        """Checks the losses and the gradient of a step.

        Args:
            step: Step to check.
            together: Whether all processes check it now; otherwise each stops with its own finding.

        Raises:
            NotFinite: In all processes; the message names the loss, the images and the file with the saved batch.
        """
        if step.failed:
            losses = step.losses
            bad = next((i for i, terms in enumerate(losses) if not_finite(terms)), None)
            what = "" if bad is None else ", ".join(not_finite(losses[bad]))
            self._stop(step.number, what, losses[bad or 0], step.window[bad or 0], together)
        self.skipped = 0 if math.isfinite(step.grad_norm) else self.skipped + 1
        if self.skipped > self.patience:
            items = [item for items in step.window for item in items]
            self._stop(step.number, "the gradient", step.values(), items, together)

    def _stop(
        self, number: int, what: str, losses: Mapping[str, float], items: Sequence[LoadedImage], together: bool
    ) -> None:
        """Raises NotFinite with the findings of the processes that have any."""
        finding = None
        if what:
            file = dump(self.folder, number, self.world.rank, items, losses)
            where = f"; the batch is in {file}" if file else "; the batch could not be written"
            rank = f"process {self.world.rank}: " if self.world.size > 1 else ""
            finding = f"step {number}: {rank}{describe(what, items)}{where}"
        findings = distributed.gather(finding, self.world) if together else [finding]
        text = "; ".join(filter(None, findings))
        raise NotFinite(text or f"step {number}: a loss of another process is not finite")


def means(losses: Losses) -> dict[str, Tensor]:
    """The terms of a detector's losses as scalars without gradient; the levels of a term are summed.

    Each is the mean of its values, as :func:`rotx.models.detectors.total_loss` takes it.
    """
    return {
        name: torch.stack(
            [value.detach().float().mean() for value in ([term] if isinstance(term, Tensor) else term)]
        ).sum()
        for name, term in losses.items()
    }


def not_finite(values: Mapping[str, float]) -> list[str]:
    """Names of the values that are infinite or not a number."""
    return [name for name, value in values.items() if not math.isfinite(value)]


def describe(what: str, items: Sequence[LoadedImage]) -> str:
    """A sentence that names the images of a batch whose ``what`` is not finite, and boxes that may be the reason."""
    # An item may be a window of an image: then the file alone does not identify it.
    named = [f"{item.path}{f' ({item.name})' * (item.name != item.path.stem)}" for item in items]
    images = ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
    number = sum(len(_sought(item)[0]) for item in items)
    odd = [
        f"{_numbers(box)} of {item.name}"
        for item in items
        for box in _sought(item)[0]
        if _is_odd(box, item.instances.kind)
    ]
    suspects = f", among them {'; '.join(odd[:NAMED])}" if odd else ""
    return f"{what} is not finite: images {images}; {number} boxes{suspects}"


def dump(folder: Path, step: int, rank: int, items: Sequence[LoadedImage], losses: Mapping[str, float]) -> Path | None:
    """Writes ``nan_batch_step_N.pt``, which ``torch.load(..., weights_only=True)`` reads; None if that fails.

    It holds ``images``, ``boxes``, ``labels``, ``ignored``, ``names`` and ``paths``, lists with an entry for each
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


def _is_odd(box: Tensor, kind: BoxKind) -> bool:
    """Whether a box is not finite, thinner than half a pixel, or a hundred times as long as wide."""
    if not bool(torch.isfinite(box).all()):
        return True
    short, long = boxes.sides(boxes.convert(box, kind, "rbox"), "rbox").sort().values.tolist()
    return bool(short < 0.5 or long > 100 * short)


def _numbers(box: Tensor) -> str:
    return f"({', '.join(f'{value:.4g}' for value in box.tolist())})"
