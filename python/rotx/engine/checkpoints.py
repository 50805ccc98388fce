"""Checkpoints of a training: what they hold, where they lie, and which one to resume from."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rotx.atomic import write_bytes, write_text
from rotx.models import torch_files
from rotx.renamed import old_name

logger = logging.getLogger(__name__)

#: Names of the checkpoints that training writes one after another.
NUMBERED = re.compile(r"(epoch|iter)_\d+\.pth")

#: Names the newest checkpoint, as MMEngine's does.
POINTER = "last_checkpoint"


@dataclass
class Position:
    """The position of a training: with the seed, all that the next step depends on besides weights and optimizer.

    Attributes:
        epoch: Number of complete epochs.
        batches: Number of batches of the next epoch that this process has trained.
        step: Number of batches that this process has trained in all.
        saved: Epoch, or step, of the last regular checkpoint.
        validated: Epoch, or step, of the last validation.
        best: Metric of the best checkpoint, if there is one.
        best_file: File name of the best checkpoint in the work dir.
    """

    epoch: int = 0
    batches: int = 0
    step: int = 0
    saved: int = 0
    validated: int = 0
    best: float | None = None
    best_file: str | None = None


class CheckpointManager:
    """Writes the checkpoints of a training and removes old ones.

    Args:
        folder: Work dir.
        keep: Number of numbered checkpoints to keep; -1 for all.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        # Remembered, because a drive that fails cannot be asked.
        self.good = next(iter(numbered(folder)), None)

    def clean(self) -> None:
        """Removes the temporary files of a training that was killed."""
        for pattern in (".*.pth.*", f".{POINTER}.*"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def save(self, name: str, content: Mapping[str, Any]) -> bool:
        """Writes ``name``, makes it the newest checkpoint and removes the oldest ones.

        If that fails, as on a full disk or a lost network drive, it logs a warning; earlier checkpoints stay.

        Returns:
            Whether the checkpoint was written.
        """
        if not self._write(name, content):
            return False
        self.good = self.folder / name
        try:
            write_text(self.folder / POINTER, str(self.folder / name))
            for old in numbered(self.folder)[self.keep :] if self.keep > 0 else []:
                old.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s: %s", error.filename, error.strerror)
        return True

    def save_best(self, name: str, content: Mapping[str, Any], before: str | None) -> bool:
        """Writes ``name`` and removes the best checkpoint before it; returns whether it was written."""
        if not self._write(name, content):
            return False
        try:
            if before is not None and before != name:
                (self.folder / before).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s: %s", error.filename, error.strerror)
        return True

    def _write(self, name: str, content: Mapping[str, Any]) -> bool:
        # Into memory first: torch's own writer does not report what is wrong with the disk.
        buffer = io.BytesIO()
        torch.save(dict(content), buffer)
        try:
            write_bytes(self.folder / name, buffer.getbuffer())
        except OSError as error:
            good = f"the last good checkpoint is {self.good}" if self.good else "there is no checkpoint yet"
            logger.warning("%s: cannot be written (%s); %s", self.folder / name, error.strerror, good)
            return False
        return True


def numbered(folder: Path) -> list[Path]:
    """The checkpoints ``epoch_N.pth`` and ``iter_N.pth`` of a folder, newest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if NUMBERED.fullmatch(path.name)]
    # Of two of the same instant the one with the larger number.
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, int(re.sub(r"\D", "", path.stem))), reverse=True)


def newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest undamaged checkpoint of a work dir and its content; None if there is no checkpoint.

    Logs a warning for each newer one that is damaged.

    Raises:
        ValueError: If all of them are damaged.
    """
    candidates = numbered(folder)
    # A folder that was copied has lost the order of its files.
    pointed = Path(pointer.read_text().strip()).name if (pointer := folder / POINTER).is_file() else ""
    candidates.sort(key=lambda path: path.name != pointed)
    for path in candidates:
        try:
            return path, read(path)
        except (ValueError, OSError) as error:
            logger.warning("%s; taking the checkpoint before it", error)
    if candidates:
        raise ValueError(f"{folder}: all its checkpoints are damaged: start again in another --work-dir")
    return None


def read(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint to resume from.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, also by a single bit, or holds weights only.
    """
    content = torch_files.read(path)
    torch_files.check_sums(path)
    if not isinstance(content, dict) or not {"state_dict", "optimizer", "position"} <= content.keys():
        raise ValueError(
            f"{path}: is not a training checkpoint of rotx: to start from its weights set load_from, without --resume"
        )
    return content


def check_fits(path: str | Path, theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> None:
    """Raises ValueError unless the weights of a checkpoint have the names and shapes of the model's."""
    missing = [key for key in ours if key not in theirs]
    more = [key for key in theirs if key not in ours]
    other = [key for key in ours if key in theirs and ours[key].shape != theirs[key].shape]
    if not (missing or more or other):
        return
    if other:
        here, there = tuple(ours[other[0]].shape), tuple(theirs[other[0]].shape)
        example = f"{other[0]} is {here} in the model and {there} in the file"
    else:
        example = f"{(missing or more)[0]} is only in {'the model' if missing else 'the file'}"
    raise ValueError(
        f"{path}: is a checkpoint of another model: {len(missing)} weights are missing, {len(more)} are unknown, "
        f"{len(other)} have another shape ({example}): resume with the config it was made with, or set load_from"
    )


def position_of(content: Mapping[str, Any], path: str | Path) -> Position:
    """The position of the training that wrote a checkpoint."""
    known = asdict(Position())
    try:
        return Position(**{name: content["position"][name] for name in known})
    except (KeyError, TypeError):
        raise ValueError(f"{path}: its position is not as this version of rotx writes it: set load_from") from None


def __getattr__(name: str) -> Any:
    return old_name(__name__, name)
