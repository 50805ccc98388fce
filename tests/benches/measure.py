"""What the benches share: clocks, and a line for a result."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

#: What benches make once and read again.
DATA = Path(__file__).parents[2] / "bench-data"


def best(run: Callable[[], object], times: int = 7) -> float:
    """The least wall time in seconds of several runs."""
    seconds = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        result = run()
        seconds = min(seconds, time.perf_counter() - start)
        del result
    return seconds


def report(what: str, ours: float, baseline: float, of: str, target: str) -> None:
    """One line: time of rotx, time of the baseline, their ratio."""
    print(
        f"{what:<44} {ours * 1e3:9.2f} ms {baseline * 1e3:9.2f} ms {ours / baseline:6.2f} x {of} ({target})", flush=True
    )


def process(*command: object) -> tuple[float, float]:
    """Wall time in seconds and greatest resident memory in MB of a whole process."""
    start = time.perf_counter()
    child = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0, command
    return time.perf_counter() - start, usage.ru_maxrss / 1024
