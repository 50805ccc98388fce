"""The reference numbers stay small enough for every clone, and are numbers."""

from conftest import GOLDENS


def test_they_are_small_and_hold_no_images() -> None:
    files = [file for file in GOLDENS.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert {file.suffix for file in files} <= {".npz", ".json", ".gz", ".zip", ".txt", ".md", ".py"}
    assert sum(file.stat().st_size for file in files) <= 30e6
