"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_folder() -> Path | None:
    """The folder of reference numbers and real data beside the project, or None."""
    folder = Path(os.environ.get("ROTX_SHARED", Path(__file__).parents[2] / "shared"))
    return folder if folder.is_dir() else None


@pytest.fixture
def shared() -> Path:
    """The same, or the test is skipped."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("needs ../shared (or ROTX_SHARED): reference numbers and real data")
    return folder
