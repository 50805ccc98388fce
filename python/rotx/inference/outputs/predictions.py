"""Writer of predictions.json: complete results of each image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rotx.atomic import Pending, remove_leftovers
from rotx.inference.outputs.writer import size_of
from rotx.inference.prediction import Prediction
from rotx.records import ImageRecord


class JsonWriter:
    """Writes a list with ``name``, ``file``, ``width``, ``height`` and ``objects`` of each image, one image per line.

    For the format of objects see `Prediction.objects`; numbers are written in full precision.
    """

    def __init__(self, out: Path, classes: Sequence[str]) -> None:
        self.classes = classes
        remove_leftovers(out / "predictions.json")
        self._file = Pending(out / "predictions.json")
        self._before = "[\n"

    def add(self, result: ImageRecord) -> None:
        """Writes an image."""
        width, height = size_of(result)
        image = {"name": result.name, "file": str(result.path), "width": width, "height": height}
        image["objects"] = Prediction.of(result.name, result.instances, self.classes).objects()
        self._file.write(f"{self._before}{json.dumps(image)}".encode())
        self._before = ",\n"

    def close(self) -> list[Path]:
        """Completes the list."""
        self._file.write(b"\n]\n" if self._before == ",\n" else b"[]\n")
        return [self._file.close()]

    def discard(self) -> None:
        """Removes the temporary file."""
        self._file.discard()
