"""What travels through the data pipeline: what a dataset knows of an image, and the image with its objects."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.geometry import quad_to_rbox
from rotx.records import Window as Window

#: Objects thinner than this many pixels, as the detector sees them, are dropped in training: no head can learn
#: them, and their logarithms spoil the losses.
MIN_SIDE = 0.1


@dataclass(frozen=True, eq=False)
class Record:
    """What a dataset knows of one image before reading it; boxes are in pixels of the file, or of its window.

    Attributes:
        name: as predictions and result files call the image; unique in its dataset.
        path: of the image's file.
        quads: (M, 8) float64, corners as annotated.
        labels: (M,) int64, indices into the classes of the dataset.
        difficult: (M,) uint8: 0, 1 (difficult) or 2 (truncated).
        ignored: (M,) bool: objects that training neither looks for nor takes for background.
        size: height and width of the image, if the annotations say them.
        window: the part of the file that is the image; None: all of it.
    """

    name: str
    path: Path
    quads: NDArray[np.float64]
    labels: NDArray[np.int64]
    difficult: NDArray[np.uint8]
    ignored: NDArray[np.bool_]
    size: tuple[int, int] | None = None
    window: Window | None = None


@dataclass(eq=False)
class Sample:
    """An image on its way through the transforms, with its objects in pixels of ``image``.

    Attributes:
        record: where it comes from.
        image: (H, W, 3) uint8, BGR; of no pixels before it is loaded, float32 after a Normalize.
        quads: (M, 8) float64.
        labels: (M,) int64.
        ignored: (M,) bool.
        factors: pixels of ``image`` for a pixel of the file, in x and y.
        dropped: how many objects transforms left out, for each reason.
    """

    record: Record
    image: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    quads: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 8)))
    labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ignored: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    factors: tuple[float, float] = (1.0, 1.0)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.image.shape[0], self.image.shape[1]

    def keep(self, which: NDArray[np.bool_], reason: str) -> None:
        """Keeps the objects marked in ``which`` (M,) and counts the others as dropped for ``reason``."""
        gone = int(len(which) - np.count_nonzero(which))
        if gone:
            self.quads, self.labels, self.ignored = self.quads[which], self.labels[which], self.ignored[which]
            self.dropped[reason] += gone


def keep_sound(sample: Sample) -> NDArray[np.float64]:
    """Drops objects that are not finite or too thin; the rboxes (M, 5) of the others."""
    sample.keep(np.asarray(np.isfinite(sample.quads).all(axis=1)), "not finite")
    rboxes = quad_to_rbox(sample.quads)
    sound = np.minimum(rboxes[:, 2], rboxes[:, 3]) >= MIN_SIDE
    sample.keep(sound, f"thinner than {MIN_SIDE:g} px")
    kept: NDArray[np.float64] = rboxes[sound]
    return kept
