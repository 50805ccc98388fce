"""The objects of a whole dataset as arrays."""

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

# Fields with one entry per object, and fields with one entry per image.
_OF_OBJECTS = ("boxes", "image", "label", "scores", "difficult", "ignored", "masks", "line")
_OF_IMAGES = ("images", "paths", "sizes", "files", "image_files")


@dataclass
class InstanceTable:
    """Annotated or detected objects of a dataset: one entry per object in the arrays, one per image in the lists.

    Attributes:
        images: Names of the images, including those without objects.
        classes: Names of the classes.
        boxes: Boxes (N, D) float64, as in the files.
        kind: Kind of the boxes.
        image: Index into ``images`` of each object, (N,) int32.
        label: Index into ``classes`` of each object, (N,) int32.
        scores: (N,) float64, finite; None for annotations.
        difficult: (N,) uint8: 0, 1 (difficult) or 2 (truncated); 0 if the files do not give it.
        ignored: (N,) bool: objects that count neither as objects nor as background; None: no such objects.
        masks: Mask of each object, or None.
        paths: Path of each image file, None where there is none; [] if they were not searched for.
        sizes: Height and width of each image, None where the files do not give them; [] if unknown.
        image_files: Name of each image file as given by the annotations, "" where they do not give it; [] if unknown.
        line: Line number of each object in its file, from 1; (0,) if unknown.
        files: Annotation file of each image, as named in messages; [] if unknown.
        format: Name of the format that was read; "" if the objects come from no file.
        other_images: Annotated images that are not in the list of images.
        other_classes: Number of objects of each unwanted class on these images.
        skipped: Number of lines, files or names that were skipped, for each reason.
        problems: The first of the problems that were skipped.
        lost: What the files contain and this table does not hold, one sentence each.
        notices: Notes for the user, one sentence each.
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
        """Makes a table of images without objects and classes."""
        none = np.zeros(0, np.int32)
        return cls(list(images), [], np.zeros((0, 8)), "quad", none, none.copy(), paths=list(paths))

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def quads(self) -> NDArray[np.float64]:
        """Corners (N, 8) of the objects; not a copy if the boxes are quads."""
        return rotx_boxes.convert(self.boxes, self.kind, "quad")

    @property
    def extents(self) -> NDArray[np.int64]:
        """Width and height of each image, (I, 2); 0 if unknown."""
        sizes = self.sizes or [None] * len(self.images)
        return np.array([(0, 0) if size is None else size[::-1] for size in sizes], np.int64).reshape(-1, 2)

    def convert(self, kind: BoxKind) -> None:
        """Converts the boxes to another kind, in place; see `rotx.boxes.convert`."""
        self.boxes, self.kind = rotx_boxes.convert(self.boxes, self.kind, kind), kind

    def keep_objects(self, which: NDArray[np.bool_]) -> None:
        """Keeps only the objects marked in ``which``, (N,) bool."""
        if not which.all():
            self._take_objects(which)

    def keep_images(self, which: NDArray[np.bool_]) -> None:
        """Keeps only the images marked in ``which``, (I,) bool, and their objects."""
        if which.all():
            return
        self.keep_objects(which[self.image])
        self.image = (np.cumsum(which, dtype=np.int32) - 1)[self.image]
        kept = np.flatnonzero(which).tolist()
        for name in _OF_IMAGES:
            values = getattr(self, name)
            if values:
                setattr(self, name, [values[i] for i in kept])

    def keep_classes(self, classes: Sequence[str]) -> dict[str, int]:
        """Numbers the classes in the order given, and drops the objects of others.

        Returns:
            Number of dropped objects of each other class that has some.
        """
        places = {name: i for i, name in enumerate(classes)}
        label = np.array([places.get(name, -1) for name in self.classes] or [-1], np.int32)[self.label]
        counts = np.bincount(self.label[label < 0], minlength=len(self.classes)).tolist()
        dropped = {name: count for name, count in zip(self.classes, counts, strict=True) if count}
        self.label, self.classes = label, list(classes)
        self.keep_objects(label >= 0)
        return dropped

    def sort_by_image(self) -> NDArray[np.int64]:
        """Sorts the objects by image, stably; returns the bounds (I + 1,) of the objects of each image."""
        if (np.diff(self.image) < 0).any():
            self._take_objects(np.argsort(self.image, kind="stable"))
        return np.searchsorted(self.image, np.arange(len(self.images) + 1))

    def _take_objects(self, which: Any) -> None:
        for name in _OF_OBJECTS:
            values = getattr(self, name)
            if values is not None and (name != "line" or len(values)):
                setattr(self, name, values[which])

    def records(self) -> list[ImageRecord]:
        """Makes one record per image, sorted by name; every image must have a file.

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
        """Makes a table of the objects of records; as quads if the records have several kinds of boxes."""
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
