"""predictions.json: all that is known of each image."""

from __future__ import annotations

import json
from pathlib import Path

from rotx.atomic import Pending, remove_leftovers
from rotx.inference.outputs.result import Result


class JsonWriter:
    """A list with ``name``, ``file``, ``width``, ``height`` and ``objects`` for each image, one image a line.

    An object has ``class``, ``label``, ``score``, ``rbox`` and ``quad``; numbers are read as those that were
    written.
    """

    def __init__(self, out: Path) -> None:
        remove_leftovers(out / "predictions.json")
        self._file = Pending(out / "predictions.json")
        self._before = "[\n"

    def add(self, result: Result) -> None:
        """Writes an image."""
        image = {
            "name": result.name,
            "file": str(result.file),
            "width": result.width,
            "height": result.height,
            "objects": result.prediction.objects(),
        }
        self._file.write(f"{self._before}{json.dumps(image)}".encode())
        self._before = ",\n"

    def close(self) -> list[Path]:
        """Completes the list."""
        self._file.write(b"\n]\n" if self._before == ",\n" else b"[]\n")
        return [self._file.close()]

    def discard(self) -> None:
        """Removes the temporary file."""
        self._file.discard()
