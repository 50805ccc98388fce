"""The objects of a whole data set, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx import boxes as rotx_boxes
from rotx.boxes import BoxKind
from rotx.records.image import ImageRecord
from rotx.records.instances import Instances, concatenate
from rotx.records.masks import Masks


@dataclass
class InstanceTable:
    """The annotated or found objects of a data set; one entry an object in the arrays, one an image in the lists.

    Attributes:
        images: Names of the images, those without objects included.
        classes: Names of the classes.
        boxes: Boxes (N, D) float64, as written.
        kind: Kind of the boxes.
        image: Index into ``images`` of each object, (N,) integers.
        label: Index into ``classes`` of each object, (N,) integers.
        scores: (N,) float64, finite; None for annotations.
        difficult: (N,) uint8: 0, 1 (difficult) or 2 (truncated); None if not known.
        ignored: (N,) bool: objects that are neither looked for nor background; None: none.
        masks: The mask of each object, or None.
        paths: The image file of each image, None where there is none; [] if unknown.
        sizes: Height and width of each image, None where the files do not say; [] if unknown.
        line: The line of its file that each object stands on, from 1; (0,) if unknown.
        files: The annotation file of each image, as messages call it; [] if unknown.
        skipped: How many lines, files or names were skipped, for each reason.
        notices: What the user should know, a sentence each.
    """

    images: list[str]
    classes: list[str]
    boxes: NDArray[np.float64]
    kind: BoxKind
    image: NDArray[np.integer[Any]]
    label: NDArray[np.integer[Any]]
    scores: NDArray[np.float64] | None = None
    difficult: NDArray[np.uint8] | None = None
    ignored: NDArray[np.bool_] | None = None
    masks: Masks | None = None
    paths: list[Path | None] = field(default_factory=list)
    sizes: list[tuple[int, int] | None] = field(default_factory=list)
    line: NDArray[np.integer[Any]] = field(default_factory=lambda: np.zeros(0, np.uint32))
    files: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def quads(self) -> NDArray[np.float64]:
        """Corners (N, 8) of the objects; the array itself where the boxes are quads."""
        return rotx_boxes.convert(self.boxes, self.kind, "quad")

    def keep_objects(self, which: NDArray[np.bool_]) -> None:
        """Keeps the objects marked in ``which`` (N,)."""
        if which.all():
            return
        for name in ("boxes", "image", "label", "scores", "difficult", "ignored", "masks"):
            values = getattr(self, name)
            if values is not None:
                setattr(self, name, values[which])
        if len(self.line):
            self.line = self.line[which]

    def keep_images(self, which: NDArray[np.bool_]) -> None:
        """Keeps the images marked in ``which``, one entry an image, and the objects on them."""
        if which.all():
            return
        self.keep_objects(which[self.image])
        self.image = (np.cumsum(which) - 1)[self.image]
        kept = np.flatnonzero(which).tolist()
        for name in ("images", "paths", "sizes", "files"):
            values = getattr(self, name)
            if values:
                setattr(self, name, [values[i] for i in kept])

    def records(self) -> list[ImageRecord]:
        """One record an image, sorted by name; every image must have a file.

        Raises:
            ValueError: For an image without a file.
        """
        order = sorted(range(len(self.images)), key=self.images.__getitem__)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        rows = np.argsort(rank[self.image], kind="stable")
        bounds = np.searchsorted(rank[self.image][rows], np.arange(len(order) + 1))
        arrays = Instances(
            boxes=self.boxes[rows],
            kind=self.kind,
            labels=self.label[rows].astype(np.int64),
            scores=None if self.scores is None else self.scores[rows],
            ignored=None if self.ignored is None else self.ignored[rows],
            difficult=None if self.difficult is None else self.difficult[rows],
            masks=None if self.masks is None else self.masks[rows],
        )
        records = []
        for i, start, stop in zip(order, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            path = self.paths[i] if self.paths else None
            if path is None:
                raise ValueError(f"image {self.images[i]} has no file")
            size = self.sizes[i] if self.sizes else None
            records.append(ImageRecord(self.images[i], path, arrays[start:stop], size))
        return records

    @classmethod
    def of_records(cls, records: Sequence[ImageRecord], classes: Sequence[str]) -> InstanceTable:
        """The objects of records of one kind, in turn."""
        joined = concatenate([r.instances for r in records]) if records else Instances.empty("quad")
        joined = joined.numpy()
        if not isinstance(joined.masks, Masks | None):
            raise ValueError("table.masks: need polygons or run lengths, as files have them")
        counts = [len(record.instances) for record in records]
        return cls(
            images=[record.name for record in records],
            classes=list(classes),
            boxes=np.asarray(joined.boxes, np.float64),
            kind=joined.kind,
            image=np.repeat(np.arange(len(records), dtype=np.int32), counts),
            label=joined.labels.astype(np.int32),
            scores=joined.scores,
            difficult=joined.difficult,
            ignored=joined.ignored,
            masks=joined.masks,
            paths=[record.path for record in records],
            sizes=[record.size for record in records],
        )
