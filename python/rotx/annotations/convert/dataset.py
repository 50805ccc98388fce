"""What is converted: the images of a data set and the objects on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: No image has coordinates beyond this; the readers in Rust refuse them, too.
HUGE = 1e9


@dataclass(eq=False)
class DataSet:
    """The objects of a data set; one entry an image in the four from ``images`` on, one entry an object in the arrays.

    Attributes:
        format: the source's, as it was found to be.
        images: what they are called, each once.
        files: the names of their files, in folders if the source says so; empty where it does not say.
        paths: of their files, where these were looked for and found.
        sizes: (I, 2) int64: width and height in pixels; 0 where they are not known.
        classes: names.
        quads: (N, 8) float64: corners in pixels.
        image: (N,) index into ``images``.
        label: (N,) index into ``classes``.
        difficult: (N,) uint8: 0, 1 (difficult) or 2 (truncated).
        crowd: (N,) uint8: 1 for what COCO marks to be ignored.
        lost: what of the source is not in here, a sentence each.
        notices: what else the user should know, a sentence each.
    """

    format: str
    images: list[str]
    files: list[str]
    paths: list[Path | None]
    sizes: NDArray[np.int64]
    classes: list[str]
    quads: NDArray[np.float64]
    image: NDArray[np.int32]
    label: NDArray[np.int32]
    difficult: NDArray[np.uint8]
    crowd: NDArray[np.uint8]
    lost: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def keep_images(self, keep: NDArray[np.bool_]) -> None:
        """Keeps the images marked in ``keep`` (I,) and the objects on them."""
        kept = np.flatnonzero(keep).tolist()
        self.images = [self.images[i] for i in kept]
        self.files = [self.files[i] for i in kept]
        self.paths = [self.paths[i] for i in kept]
        self.sizes = self.sizes[keep]
        objects = keep[self.image]
        self.image = (np.cumsum(keep, dtype=np.int32) - 1)[self.image[objects]].astype(np.int32)
        self.quads, self.label = self.quads[objects], self.label[objects]
        self.difficult, self.crowd = self.difficult[objects], self.crowd[objects]

    def sort(self) -> NDArray[np.int64]:
        """Orders the objects by their images, those of one image as they were; returns the bounds (I + 1,) of each."""
        if (np.diff(self.image) < 0).any():
            rows = np.argsort(self.image, kind="stable")
            self.quads, self.image, self.label = self.quads[rows], self.image[rows], self.label[rows]
            self.difficult, self.crowd = self.difficult[rows], self.crowd[rows]
        return np.searchsorted(self.image, np.arange(len(self.images) + 1))


def some(names: list[str]) -> str:
    """The first three of many names, for messages."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
