"""The tests of tests/gpu run: here on the CPU, against itself, since CI has no GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="rotx.ops needs torch")


def test_they_run_on_the_cpu() -> None:
    folder = Path(__file__).parent / "gpu"
    fewer = "not float16 and not kld and not gwd and not psc and not kfiou"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", fewer, folder]
    run = subprocess.run(
        command, env=os.environ | {"ROTX_GPU_TESTS_ON": "cpu"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
