"""The reports of a training: messages, a progress bar, ``log.jsonl``, and TensorBoard on request."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

logger = logging.getLogger(__name__)

#: All messages of the package come from loggers below this one.
_PACKAGE = logging.getLogger("rotx")

#: Seconds between two lines about the course of the training where there is no terminal for a bar.
EVERY = 30


class Log:
    """The reports of the first process; the other processes write nothing and log errors only.

    ``log.jsonl`` has one JSON object a line: ``{"step", "epoch", "lr", each loss, "grad_norm", "data_time", "time",
    "memory"}`` with means over the steps since the last such line, times in seconds and memory in MiB;
    ``{"validation": {...}}`` with metrics; ``{"note": "..."}`` with a message that was logged.

    Within ``with Log(...):`` the messages of all loggers ``rotx.…`` go to the file, too. If the logger ``rotx`` has
    no level, it has INFO meanwhile.

    Args:
        folder: Folder whose ``log.jsonl`` is continued; None to report nothing.
        interval: Number of steps from one line of losses to the next.
        tensorboard: Whether to write events for TensorBoard into ``folder``, too.

    Raises:
        ImportError: If TensorBoard is wanted and not installed.
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
        self.total, self.said = 0, 0.0
        self._notes, self._level = _Notes(self), logging.NOTSET
        # A training that was killed may have left half a line.
        if self.path is not None and self.path.is_file() and self.path.read_bytes()[-1:] not in (b"", b"\n"):
            self.path.write_bytes(self.path.read_bytes() + b"\n")
        self.events: Any = None
        if tensorboard and folder is not None:
            self.events = _summary_writer(folder)

    def __enter__(self) -> Log:
        self._level = _PACKAGE.level
        _PACKAGE.addHandler(self._notes)
        if self.path is None:
            _PACKAGE.setLevel(logging.ERROR)
        elif self._level == logging.NOTSET:
            _PACKAGE.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        _PACKAGE.removeHandler(self._notes)
        _PACKAGE.setLevel(self._level)

    def begin(self, total: int, done: int) -> None:
        """Shows the progress bar, from ``done`` steps to ``total``; not if messages of level INFO are off."""
        if self.path is not None and logger.isEnabledFor(logging.INFO):
            # In a file, every state of the line would stay: there, `step` writes a line now and then.
            self.bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True, smoothing=0.05, disable=None)
            self.total, self.said = total, time.monotonic()

    def step(self, step: int, epoch: int, lr: float, values: Mapping[str, float], batches: int = 1) -> None:
        """Reports a step.

        Args:
            step: Number of batches since training began.
            epoch: Epoch of this step, from 1.
            lr: Learning rate of the first group of parameters.
            values: Losses, ``grad_norm``, ``data_time`` and ``time`` by name.
            batches: Number of batches of this step.
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
            if self.bar.disable and time.monotonic() - self.said > EVERY:
                self.said = time.monotonic()
                numbers = ", ".join(f"{name} {value}" for name, value in words.items())
                logger.info("step %d of %d: %s", step, self.total, numbers)
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
        logger.info("epoch %d, step %d: %s", epoch, step, numbers)

    def left_out(self, epoch: int, dropped: Mapping[str, int], unreadable: Sequence[str]) -> None:
        """Reports the data that an epoch left out: objects for each reason, and unreadable images."""
        if dropped:
            self.write({"epoch": epoch, "dropped": dict(dropped)})
        # The same images fail in every epoch: once is enough.
        new = [line for line in unreadable if line not in self.unreadable]
        self.unreadable.update(new)
        if new and self.path is not None:
            message = f"epoch {epoch}: {len(new)} images cannot be read, others replaced them: {'; '.join(new)}"
            self.write({"note": message})
            logger.warning(message)

    def write(self, line: Mapping[str, Any]) -> None:
        """Adds an object to ``log.jsonl``. If that fails, training continues without."""
        if self.path is None or not self.writable:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_known_to_json({"at": round(time.time(), 3), **line})) + "\n")
        except OSError as error:
            self.writable = False
            logger.warning("%s: cannot be written (%s): the log ends here, training goes on", self.path, error.strerror)

    def close(self) -> None:
        """Closes the progress bar, and writes the steps since the last line of the file."""
        if self.count:
            self._write_means()
        if self.bar is not None:
            self.bar.close()
        if self.events is not None:
            self.events.close()

    def _events(self, step: int, values: Mapping[str, float]) -> None:
        if self.events is not None:
            for name, value in values.items():
                self.events.add_scalar(name, value, step)


class _Notes(logging.Handler):
    """Writes messages to ``log.jsonl``, but those of this module, which are in the file in another form."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != __name__:
            self.log.write({"note": record.getMessage()})


def _known_to_json(value: Any) -> Any:
    """The value with None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {name: _known_to_json(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def memory() -> int:
    """Peak memory of the tensors on the GPU in MiB; without a GPU, of the process."""
    # Training may run on the CPU although there is a GPU.
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
