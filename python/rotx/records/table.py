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
from rotx.records.problems import FileProblem

# The fields with an entry for each object, and those with an entry for each image.
_OF_OBJECTS = ("boxes", "image", "label", "scores", "difficult", "ignored", "masks", "line")
_OF_IMAGES = ("images", "paths", "sizes", "files", "image_files")


@dataclass
class InstanceTable:
    """The annotated or found objects of a data set: one entry per object in the arrays, one per image in the lists.

    Attributes:
        images: Names of the images, those without objects included.
        classes: Names of the classes.
        boxes: Boxes (N, D) float64, as written.
        kind: Kind of the boxes.
        image: Index into ``images`` of each object, (N,) int32.
        label: Index into ``classes`` of each object, (N,) int32.
        scores: (N,) float64, finite; None for annotations.
        difficult: (N,) uint8: 0, 1 (difficult) or 2 (truncated); 0 where the files do not say.
        ignored: (N,) bool: objects that are neither looked for nor background; None: none.
        masks: The mask of each object, or None.
        paths: The image file of each image, None where there is none; [] if they were not looked for.
        sizes: Height and width of each image, None where the files do not say; [] if unknown.
        image_files: Name of the image file of each image as the annotations give it, "" where they do not; [] if
            unknown.
        line: Line of its file that each object stands on, from 1; (0,) if unknown.
        files: Annotation file of each image, as messages call it; [] if unknown.
        format: Name of the format that was read; "" if the objects come from no file.
        other_images: Annotated images that the list of images leaves out.
        other_classes: Number of objects left out on these images, for each class that was not asked for.
        skipped: Number of lines, files or names that were skipped, for each reason.
        problems: The first of what was skipped.
        lost: What the files say and this table does not hold, a sentence each.
        notices: What the user should know, a sentence each.
    """

    images: list[str]
    classes: list[str]
    boxes: NDArray[np.float64]
    kind: BoxKind
    image: NDArray[np.int32]
    label: NDArray[np.int32]
    scores: Any = None
    difficult: NDArray[np.uint8] = None  # type: ignore[assignment]  # zeros
    ignored: Any = None
    masks: Masks | None = None
    paths: list[Path | None] = field(default_factory=list)
    sizes: list[tuple[int, int] | None] = field(default_factory=list)
    image_files: list[str] = field(default_factory=list)
    line: NDArray[np.integer[Any]] = field(default_factory=lambda: np.zeros(0, np.uint32))
    files: list[str] = field(default_factory=list)
    format: str = ""
    other_images: list[str] = field(default_factory=list)
    other_classes: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    problems: list[FileProblem] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.image, self.label = np.asarray(self.image, np.int32), np.asarray(self.label, np.int32)
        if self.difficult is None:
            self.difficult = np.zeros(len(self.boxes), np.uint8)

    @classmethod
    def without_objects(cls, images: Sequence[str], paths: Sequence[Path | None] = ()) -> InstanceTable:
        """A table of images without objects and classes."""
        none = np.zeros(0, np.int32)
        return cls(list(images), [], np.zeros((0, 8)), "quad", none, none.copy(), paths=list(paths))

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def quads(self) -> NDArray[np.float64]:
        """Corners (N, 8) of the objects; the array itself where the boxes are quads."""
        return rotx_boxes.convert(self.boxes, self.kind, "quad")

    @property
    def extents(self) -> NDArray[np.int64]:
        """Width and height of each image, (I, 2); 0 where they are not known."""
        sizes = self.sizes or [None] * len(self.images)
        return np.array([(0, 0) if size is None else size[::-1] for size in sizes], np.int64).reshape(-1, 2)

    def convert(self, kind: BoxKind) -> None:
        """Writes the boxes as another kind, in place; see `rotx.boxes.convert`."""
        self.boxes, self.kind = rotx_boxes.convert(self.boxes, self.kind, kind), kind

    def keep_objects(self, which: NDArray[np.bool_]) -> None:
        """Keeps the objects marked in ``which`` (N,)."""
        if not which.all():
            self._take_objects(which)

    def keep_images(self, which: NDArray[np.bool_]) -> None:
        """Keeps the images marked in ``which``, one entry an image, and the objects on them."""
        if which.all():
            return
        self.keep_objects(which[self.image])
        self.image = (np.cumsum(which, dtype=np.int32) - 1)[self.image]
        kept = np.flatnonzero(which).tolist()
        for name in _OF_IMAGES:
            values = getattr(self, name)
            if values:
                setattr(self, name, [values[i] for i in kept])

    def sort_by_image(self) -> NDArray[np.int64]:
        """Sorts the objects by their images, those of one image as they were; returns the bounds (I + 1,) of each."""
        if (np.diff(self.image) < 0).any():
            self._take_objects(np.argsort(self.image, kind="stable"))
        return np.searchsorted(self.image, np.arange(len(self.images) + 1))

    def _take_objects(self, which: Any) -> None:
        for name in _OF_OBJECTS:
            values = getattr(self, name)
            if values is not None and (name != "line" or len(values)):
                setattr(self, name, values[which])

    def records(self) -> list[ImageRecord]:
        """One record per image, sorted by name; every image must have a file.

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
            difficult=self.difficult[rows],
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
        """The objects of records in turn; as quads where the records are of several kinds."""
        parts = [record.instances for record in records if len(record.instances)]
        if len({part.kind for part in parts}) > 1:
            parts = [part.convert("quad") for part in parts]
        joined = concatenate(parts).numpy() if parts else Instances.empty("quad")
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
            masks=joined.file_masks,
            paths=[record.path for record in records],
            sizes=[record.size for record in records],
        )
