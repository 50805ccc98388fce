"""The tests of tests/gpu run: here on the CPU, against itself, since CI has no GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="rotx.ops needs torch")


def test_they_run_on_the_cpu() -> None:
    folder = Path(__file__).parent / "gpu"
    fewer = "not opcheck and not gradcheck and not float16 and not kld and not gwd and not psc and not kfiou"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", fewer, folder]
    run = subprocess.run(
        command, env=os.environ | {"ROTX_GPU_TESTS_ON": "cpu"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]


def test_the_bench_runs_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    folder = Path(__file__).parent / "benches"
    monkeypatch.syspath_prepend(folder)
    import gpu

    def once(run: Callable[[], object]) -> float:
        run()
        return 1e-3

    lines = list(gpu.table(torch.device("cpu"), once, scale=0.002))
    assert len(lines) == 3 + 5 + 4 + 8
    assert all(line.count("|") == 5 for line in lines[1:])
    assert any("torchvision" in line for line in lines)
    if not torch.cuda.is_available():
        run = subprocess.run([sys.executable, folder / "gpu.py"], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout, run.stderr) == (2, "", "no CUDA device: nothing was measured\n")
