"""Deprecated constructor of the checkpoint manager; it will be removed in the next version."""

from __future__ import annotations

from pathlib import Path

from rotx.engine.checkpoints import CheckpointManager


def Keeper(folder: Path, keep: int, say: object = None) -> CheckpointManager:
    """Returns a `CheckpointManager`, which logs its messages; ``say`` is not used."""
    return CheckpointManager(folder, keep)
