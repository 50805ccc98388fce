"""What a training tells: a line on the screen, ``log.jsonl``, TensorBoard on request."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm


class Log:
    """Reports of the first process; those of the others say and write nothing.

    ``log.jsonl`` has one JSON object a line: ``{"step", "epoch", "lr", each loss, "grad_norm", "data_time", "time",
    "memory"}`` with means over the steps since the last such line, times in seconds and memory in MiB;
    ``{"validation": {...}}`` with metrics; ``{"note": "..."}`` with what was also said on the screen.

    Args:
        folder: where ``log.jsonl`` is continued; None: nothing is written or said.
        interval: steps from one line of losses to the next.
        tensorboard: also write events for TensorBoard into ``folder``.

    Raises:
        ImportError: if TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path | None, *, interval: int = 50, tensorboard: bool = False) -> None:
        self.path = None if folder is None else folder / "log.jsonl"
        self.interval = interval
        self.sums: dict[str, float] = {}
        self.count = 0
        self.last: dict[str, Any] = {}
        self.writable = True
        self.unreadable: set[str] = set()
        self.bar: Any = None
        # A training that was killed may have left half a line.
        if self.path is not None and self.path.is_file() and self.path.read_bytes()[-1:] not in (b"", b"\n"):
            self.path.write_bytes(self.path.read_bytes() + b"\n")
        self.events: Any = None
        if tensorboard and folder is not None:
            self.events = _summary_writer(folder)

    def begin(self, total: int, done: int) -> None:
        """Shows the line of progress, from ``done`` steps to ``total``."""
        if self.path is not None:
            # In a file, every state of the line stays.
            every = 0.1 if sys.stderr.isatty() else 30.0
            self.bar = tqdm(
                total=total, initial=done, unit="step", dynamic_ncols=True, smoothing=0.05, mininterval=every
            )

    def step(self, step: int, epoch: int, lr: float, values: Mapping[str, float], batches: int = 1) -> None:
        """Reports a step: ``values`` are losses, ``grad_norm``, ``data_time`` and ``time``.

        Args:
            step: batches done since training began.
            epoch: that this step belongs to, from 1.
            lr: the learning rate of the first group of parameters.
            values: by name.
            batches: of this step.
        """
        if self.path is None:
            return
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * batches
        self.count += batches
        self.last = {"step": step, "epoch": epoch, "lr": lr}
        shown = {name: f"{value:.3g}" for name, value in values.items() if "loss" in name}
        if self.bar is not None:
            words = {"epoch": epoch, **shown, "lr": f"{lr:.2g}", "memory": f"{memory()}M"}
            self.bar.set_postfix(words, refresh=False)
            self.bar.update(batches)
        if self.count >= self.interval:
            self._write_means()

    def _write_means(self) -> None:
        means = {name: value / self.count for name, value in self.sums.items()}
        self.write({**self.last, **means, "memory": memory()})
        self._events(self.last["step"], {"lr": self.last["lr"], **means})
        self.sums, self.count = {}, 0

    def validation(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Reports the metrics of a validation."""
        if self.path is None:
            return
        self.write({"step": step, "epoch": epoch, "validation": dict(metrics)})
        self._events(step, metrics)
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self._show(f"epoch {epoch}, step {step}: {numbers}")

    def left_out(self, epoch: int, dropped: Mapping[str, int], unreadable: Sequence[str]) -> None:
        """Reports what of an epoch's data was left out: objects for each reason, and images that cannot be read."""
        if dropped:
            self.write({"epoch": epoch, "dropped": dict(dropped)})
        # The same images every time: once is enough.
        new = [line for line in unreadable if line not in self.unreadable]
        self.unreadable.update(new)
        if new:
            self.say(f"epoch {epoch}: {len(new)} images cannot be read, others stood in for them: {'; '.join(new)}")

    def say(self, sentence: str) -> None:
        """Tells the user something, on the screen and in the file."""
        if self.path is not None:
            self._show(sentence)
            self.write({"note": sentence})

    def write(self, line: Mapping[str, Any]) -> None:
        """Adds an object to ``log.jsonl``; a log that cannot be written never ends a training."""
        if self.path is None or not self.writable:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_known_to_json({"at": round(time.time(), 3), **line})) + "\n")
        except OSError as error:
            self.writable = False
            self._show(f"{self.path}: cannot be written ({error.strerror}): the log ends here, training goes on")

    def close(self) -> None:
        """Ends the line on the screen; the steps since the last line of the file get one."""
        if self.count:
            self._write_means()
        if self.bar is not None:
            self.bar.close()
        if self.events is not None:
            self.events.close()

    def _show(self, sentence: str) -> None:
        if self.bar is not None:
            self.bar.clear()
        print(sentence, file=sys.stderr, flush=True)

    def _events(self, step: int, values: Mapping[str, float]) -> None:
        if self.events is not None:
            for name, value in values.items():
                self.events.add_scalar(name, value, step)


def _known_to_json(value: Any) -> Any:
    """The value with None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {name: _known_to_json(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def memory() -> int:
    """The most memory of the GPU that tensors took so far, in MiB; without a GPU, of the process."""
    # Where there is a GPU, the training may be on the CPU nevertheless.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return int(torch.cuda.max_memory_allocated() / 2**20)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ImportError(
            "TensorBoard is not installed: pip install 'rotx[tensorboard]', or train without it"
        ) from None
    return SummaryWriter(str(folder))
