"""Writer of Task1/Task1_<class>.txt: DOTA's result format, for `rotx-eval score` and the DOTA server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rotx import _rust
from rotx.annotations.task1 import check_names, file_name
from rotx.atomic import Pending, remove_leftovers
from rotx.records import ImageRecord


class Task1Writer:
    """Writes a file for each class, with the lines of `rotx.evaluation.write_task1`.

    Lines are in the order of the images, best first within each image: no protocol needs more, and sorting by score
    would keep all results in memory.
    """

    def __init__(self, out: Path, classes: Sequence[str]) -> None:
        check_names([], classes)
        folder = out / "Task1"
        folder.mkdir(parents=True, exist_ok=True)
        self._files: list[Pending] = []
        try:
            remove_leftovers(*(folder / file_name(name) for name in classes))
            for name in classes:
                self._files.append(Pending(folder / file_name(name)))
        except OSError:
            self.discard()
            raise

    def add(self, result: ImageRecord) -> None:
        """Writes the lines of an image; raises ValueError if its name has spaces."""
        check_names([result.name], [])
        found = result.instances
        image, labels = np.zeros(len(found), np.int32), found.labels.astype(np.int32)
        scores = np.ascontiguousarray(found.scores)
        for label in set(labels.tolist()):
            text = _rust.write_task1([result.name], found.quads, scores, image, labels, label)
            self._files[label].write(text)

    def close(self) -> list[Path]:
        """Moves the files into place."""
        return [file.close() for file in self._files]

    def discard(self) -> None:
        """Removes the temporary files."""
        for file in self._files:
            file.discard()
