"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: The folder of reference numbers and real data beside the project.
SHARED = Path(os.environ.get("ROTX_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture
def shared() -> Path:
    """That folder, or the test is skipped."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (or ROTX_SHARED): reference numbers and real data")
    return SHARED
