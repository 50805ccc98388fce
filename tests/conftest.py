"""What several tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # there is a worker for each core

#: Reference numbers; their README says where they come from.
GOLDENS = Path(__file__).parent / "goldens"
#: Folder of real images and annotations, which are not part of the repository.
SHARED = Path(os.environ.get("ROTX_SHARED", Path(__file__).parents[2] / "shared"))
#: The photograph that some reference numbers were made with; their README says where it can be found.
PHOTO = SHARED / "goldens/input/P2805__1024__0___0.png"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with slow tests first, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def shared() -> Path:
    """The folder of real images and annotations; the test is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("needs a folder of real images: set ROTX_SHARED")
    return SHARED


@pytest.fixture(scope="session")
def device() -> torch.device:
    """What tests/gpu run on: a GPU; or, to see that they do run, the CPU, with ``ROTX_GPU_TESTS_ON=cpu``."""
    torch = pytest.importorskip("torch", reason="rotx.ops needs torch")
    from rotx.ops import _cuda

    where = torch.device(os.environ.get("ROTX_GPU_TESTS_ON", "cuda"))
    if where.type == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
        if os.environ.get("ROTX_NO_CUDA_EXT") != "1":
            try:
                _cuda.kernels()
            except RuntimeError as error:
                pytest.skip(str(error))
    return where


@pytest.fixture
def gpu(device: torch.device) -> torch.device:
    """The same where only kernels on a GPU will do."""
    if device.type != "cuda" or os.environ.get("ROTX_NO_CUDA_EXT") == "1":
        pytest.skip("of the kernels alone, on a CUDA device")
    return device


@pytest.fixture(scope="session")
def many(device: torch.device) -> Callable[[int], int]:
    """A number for the GPU; on the CPU fewer do."""
    return lambda number: number if device.type == "cuda" else min(number, 300)


@pytest.fixture
def memory(gpu: torch.device) -> Callable[[float], None]:
    """Skips where the GPU has fewer free gigabytes."""
    import torch

    def need(gigabytes: float) -> None:
        free = torch.cuda.mem_get_info(gpu)[0] / 2**30
        if free < gigabytes:
            pytest.skip(f"needs {gigabytes} GB of free memory on the GPU, there are {free:.1f}")

    return need
