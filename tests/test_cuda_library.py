"""The CUDA library loads, without a GPU too, and its kernels take the place of the detour through the CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the kernels are torch ops")

LIBRARY = Path(__file__).parents[1] / "python/rotx/_lib/rotx_cuda.so"
# In a process of its own: a library that is loaded stays.
LOAD = """
import sys, torch
from rotx import ops
torch.ops.load_library(sys.argv[1])
for op, columns in [(ops.box_iou_rotated, 5), (ops.box_iou_quadri, 8)]:
    name = op.__name__
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"rotx::{name}", "CUDA")
    boxes = torch.tensor([[0, 0, 4, 0, 4, 2, 0, 2], [1, 1, 4, 1, 4, 2, 1, 2]])[:, :columns] + 0.5
    assert torch.equal(op(boxes, boxes).diagonal(), torch.ones(2))
    torch.library.opcheck(getattr(torch.ops.rotx, name).default, (boxes, boxes))
"""


@pytest.mark.skipif(not LIBRARY.is_file(), reason="the CUDA library is not built: run `make cuda`")
@pytest.mark.skipif(torch.version.cuda is None, reason="this torch was built without CUDA")
def test_it_loads_and_registers_its_kernels() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD, LIBRARY], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
