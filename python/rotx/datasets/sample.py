"""Samples: what passes through the transforms, an image with its objects and how it was moved."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.boxes import BoxKind, sides
from rotx.datasets.deprecated import OldSampleFields
from rotx.records import ImageRecord, Instances

#: Shortest side in pixels, in the transformed image, of objects to train on: thinner ones cannot be learnt, and
#: their logarithms spoil the losses.
MIN_SIDE = 0.1


@dataclass(eq=False)
class Sample(OldSampleFields):
    """An image with its objects, in pixels of ``image``, while it passes through the transforms.

    Attributes:
        record: Record of the image in its dataset.
        image: (H, W, 3) uint8, BGR; without pixels before it is loaded, float32 after a Normalize.
        instances: The objects, as numpy arrays, with ``ignored``.
        matrix: (3, 3) float64, from pixels of the file, or of its window, to pixels of ``image``.
        dropped: Number of objects that transforms left out, for each reason.
    """

    record: ImageRecord
    image: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    instances: Instances = field(default_factory=lambda: Instances.empty("quad"))
    matrix: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.image.shape[0], self.image.shape[1]

    def keep(self, which: NDArray[np.bool_], reason: str) -> None:
        """Keeps the objects marked in ``which``, (M,) bool; counts the others as dropped for ``reason``."""
        gone = int(len(which) - np.count_nonzero(which))
        if gone:
            self.instances = self.instances[which]
            self.dropped[reason] += gone


def keep_sound(sample: Sample, kind: BoxKind = "rbox") -> Instances:
    """Drops and counts objects that are not finite or too thin.

    Args:
        sample: The sample; its objects are dropped in place.
        kind: Kind of boxes to train on.

    Returns:
        The remaining objects, with boxes of this kind.
    """
    sample.keep(np.asarray(np.isfinite(sample.instances.boxes).all(axis=1)), "not finite")
    converted = sample.instances.convert(kind)
    upright = kind == "hbox"
    lengths = sides(converted.boxes, "hbox") if upright else converted.rboxes[:, 2:4]
    sound = np.asarray(lengths.min(axis=1, initial=np.inf) >= MIN_SIDE)
    sample.keep(sound, f"thinner than {MIN_SIDE:g} px")
    return converted if sound.all() else converted[sound]
