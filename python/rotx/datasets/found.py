"""What the files of a dataset say, as arrays, before any of it is chosen or left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.formats import Annotations
from rotx.datasets.sample import Record


@dataclass(eq=False)
class Found:
    """What the files of a dataset say; one entry an image in the lists, one entry an object in the arrays.

    Attributes:
        names: of the images, each once.
        paths: of their files; None where there is none.
        classes: that the files name.
        quads: (N, 8) float64, corners as annotated.
        image: (N,) integers: index into ``names``.
        label: (N,) integers: index into ``classes``.
        difficult: (N,) uint8.
        ignored: (N,) bool: what the files themselves say is not to be looked for.
        sizes: height and width of each image, where the files say them.
        notices: what the user should know, a sentence each.
    """

    names: list[str]
    paths: list[Path | None]
    classes: list[str]
    quads: NDArray[np.float64]
    image: NDArray[np.integer[Any]]
    label: NDArray[np.integer[Any]]
    difficult: NDArray[np.uint8]
    ignored: NDArray[np.bool_]
    sizes: list[tuple[int, int] | None]
    notices: list[str] = field(default_factory=list)

    def keep_objects(self, which: NDArray[np.bool_]) -> None:
        """Keeps the objects marked in ``which`` (N,)."""
        if not which.all():
            self.quads, self.image, self.label = self.quads[which], self.image[which], self.label[which]
            self.difficult, self.ignored = self.difficult[which], self.ignored[which]

    def keep_images(self, which: NDArray[np.bool_]) -> None:
        """Keeps the images marked in ``which``, one entry an image, and the objects on them."""
        if not which.all():
            self.keep_objects(which[self.image])
            self.image = (np.cumsum(which) - 1)[self.image]
            kept = np.flatnonzero(which).tolist()
            self.names = [self.names[i] for i in kept]
            self.paths = [self.paths[i] for i in kept]
            self.sizes = [self.sizes[i] for i in kept]

    def records(self) -> list[Record]:
        """One record an image, sorted by name; every image must have a file."""
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        rows = np.argsort(rank[self.image], kind="stable")
        bounds = np.searchsorted(rank[self.image][rows], np.arange(len(order) + 1))
        quads, labels = self.quads[rows], self.label[rows].astype(np.int64)
        difficult, ignored = self.difficult[rows], self.ignored[rows]
        records = []
        for i, start, stop in zip(order, bounds[:-1], bounds[1:], strict=True):
            path, part = self.paths[i], slice(start, stop)
            if path is None:
                raise ValueError(f"image {self.names[i]} has no file")
            arrays = quads[part], labels[part], difficult[part], ignored[part]
            records.append(Record(self.names[i], path, *arrays, self.sizes[i]))
        return records


def found_of(read: Annotations, paths: Sequence[Path | None]) -> Found:
    """What a reader of annotations found, with the file of each of its images."""
    return Found(
        names=read.images,
        paths=list(paths),
        classes=read.classes,
        quads=read.quads,
        image=read.image,
        label=read.label,
        difficult=read.difficult,
        ignored=np.zeros(len(read.quads), np.bool_),
        sizes=[None] * len(read.images),
        notices=list(read.notices),
    )


def images_alone(names: Sequence[str], paths: Sequence[Path | None]) -> Found:
    """Images without objects."""
    return Found(
        names=list(names),
        paths=list(paths),
        classes=[],
        quads=np.zeros((0, 8)),
        image=np.zeros(0, np.int64),
        label=np.zeros(0, np.int64),
        difficult=np.zeros(0, np.uint8),
        ignored=np.zeros(0, np.bool_),
        sizes=[None] * len(names),
    )


def annotations_of(records: Sequence[Record], classes: Sequence[str]) -> Annotations:
    """The objects of records, for evaluation: corners as in the files, ignored objects difficult."""
    counts = [len(record.labels) for record in records]
    difficult = np.concatenate([r.difficult for r in records]) if records else np.zeros(0, np.uint8)
    ignored = np.concatenate([r.ignored for r in records]) if records else np.zeros(0, np.bool_)
    return Annotations(
        images=[record.name for record in records],
        classes=list(classes),
        quads=np.concatenate([r.quads for r in records]) if records else np.zeros((0, 8)),
        image=np.repeat(np.arange(len(records), dtype=np.int32), counts),
        label=np.concatenate([r.labels for r in records]).astype(np.int32) if records else np.zeros(0, np.int32),
        difficult=np.where(ignored & (difficult == 0), 1, difficult).astype(np.uint8),
    )
