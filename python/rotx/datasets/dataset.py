"""What every dataset is: images with their objects, given out as samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from rotx.datasets.sample import Sample
from rotx.datasets.transforms.mixing import Mixing
from rotx.records import ImageRecord, InstanceTable

Transform = Callable[[Sample, np.random.Generator], Sample]


class Dataset:
    """Images with their objects, and what is done to them before a detector sees them.

    Attributes:
        classes: Names in the order of the labels.
        records: One record per image.
        transforms: The pipeline.
        test_mode: Whether the dataset is for evaluation, not for training.
        notices: What the user should know, a sentence each.
        dropped: Number of objects left out because they cannot be learnt, for each reason.
    """

    classes: tuple[str, ...]
    records: list[ImageRecord]
    transforms: list[Transform]
    test_mode: bool
    notices: list[str]
    dropped: Counter[str]

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> ImageRecord:
        """What is known of an image."""
        return self.records[index]

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """An image after the pipeline, whose random choices come from ``rng``."""
        return self._transformed(index, rng, len(self.transforms))

    def _transformed(self, index: int, rng: np.random.Generator, stop: int) -> Sample:
        """An image after the first transforms of the pipeline."""
        sample = self._untransformed(index, rng)
        for place, transform in enumerate(self.transforms[:stop]):
            if not isinstance(transform, Mixing):
                sample = transform(sample, rng)
            elif others := transform.draw(self.records, rng):
                sample = transform.mix(sample, [self._further(other, rng, place) for other in others], rng)
        return sample

    def _untransformed(self, index: int, rng: np.random.Generator) -> Sample:
        """What the first transform gets."""
        return Sample(self.records[index])

    def _further(self, index: int, rng: np.random.Generator, place: int) -> Sample:
        """An image that is mixed into another by the transform at a place of the pipeline."""
        return self._transformed(index, rng, place)

    def annotations(self) -> InstanceTable:
        """The objects of the records, for evaluation: boxes as in the files, ignored objects difficult."""
        table = InstanceTable.of_records(self.records, self.classes)
        if table.ignored is not None:
            table.difficult = np.where(table.ignored & (table.difficult == 0), 1, table.difficult).astype(np.uint8)
        return table
