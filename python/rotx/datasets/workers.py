"""What is said when a process that loads images ends before its work does; no torch."""

from __future__ import annotations

import signal
from collections.abc import Iterable


class WorkerKilled(RuntimeError):
    """The system killed a process that loads images.

    Attributes:
        saved: Whether a checkpoint holds everything that was trained.
    """

    saved = False


def killed(exit_codes: Iterable[int | None]) -> WorkerKilled:
    """The error for loader processes with these exit codes; a negative one is the number of a signal."""
    codes = [code for code in exit_codes if code]
    number, fix = -min(codes, default=0), "give fewer with --workers"
    if number == signal.SIGBUS:
        how = "was killed (bus error; is /dev/shm full?)"
        fix += ", or more shared memory (docker run --shm-size=8g, or --ipc=host)"
    elif number > 0:
        how = f"was killed (signal {number}; is memory short?)"
    else:
        how = f"ended (exit code {max(codes, default=0)}; is memory short?)"
    return WorkerKilled(f"a process that loads images {how}: {fix}")
