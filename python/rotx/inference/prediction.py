"""What a detector found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.geometry import rbox_to_quad

#: Objects in one image, (N, 7) float64 ``cx, cy, w, h, angle, score, label``: as `Prediction` has them, in one array.
Table = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The objects that were found in one image, best first, in pixels of that image.

    Attributes:
        name: of the image: its file's, without the suffix, or ``image0`` and so on.
        rboxes: (N, 5) float64 ``cx, cy, w, h, angle``, radians, clockwise, w ≥ h (le90).
        scores: (N,) float64 in [0, 1].
        labels: (N,) int64.
        classes: the name of each object's class.
    """

    name: str
    rboxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def quads(self) -> NDArray[np.float64]:
        """The corners, (N, 8)."""
        return rbox_to_quad(self.rboxes)

    def above(self, score_thr: float) -> Prediction:
        """Those that score more than a threshold."""
        keep = self.scores > score_thr
        classes = tuple(name for name, kept in zip(self.classes, keep, strict=True) if kept)
        return Prediction(self.name, self.rboxes[keep], self.scores[keep], self.labels[keep], classes)

    def objects(self) -> list[dict[str, Any]]:
        """Each object as JSON holds it: ``class``, ``label``, ``score``, ``rbox`` and ``quad``."""
        columns = (self.classes, self.labels.tolist(), self.scores.tolist(), self.rboxes.tolist(), self.quads.tolist())
        return [
            {"class": name, "label": label, "score": score, "rbox": rbox, "quad": quad}
            for name, label, score, rbox, quad in zip(*columns, strict=True)
        ]
