"""Writer of labels/<name>.txt: YOLO-OBB's text format, with confidences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rotx.atomic import PendingFolder, remove_leftovers
from rotx.inference.outputs.writer import size_of
from rotx.records import ImageRecord


class YoloWriter:
    """Writes a file per image with lines ``class x1 y1 ... x4 y4 confidence``, best first; empty without objects.

    Coordinates are fractions of the image's width and height, with nine digits. They are not clipped: objects at the
    border may have coordinates below 0 or above 1.
    """

    def __init__(self, out: Path) -> None:
        remove_leftovers(out / "labels")
        self._folder = PendingFolder(out / "labels")

    def add(self, result: ImageRecord) -> None:
        """Writes the file of an image."""
        found = result.instances
        shares = found.quads / np.tile(size_of(result), 4)
        lines = [
            f"{label} {' '.join(f'{share:.9g}' for share in corners)} {score}\n"
            for label, corners, score in zip(found.labels.tolist(), shares.tolist(), found.scores.tolist(), strict=True)
        ]
        self._folder.write(f"{result.name}.txt", "".join(lines).encode())

    def close(self) -> list[Path]:
        """Moves the files into place; returns their folder."""
        return [self._folder.close()]

    def discard(self) -> None:
        """Removes the temporary files."""
        self._folder.discard()
