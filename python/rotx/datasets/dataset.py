"""The base class of datasets: images with their objects, which give samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from rotx.datasets.sample import Sample
from rotx.datasets.transforms.mixing import Mixing
from rotx.records import ImageRecord, InstanceTable

Transform = Callable[[Sample, np.random.Generator], Sample]


class Dataset:
    """Images with their objects, and the pipeline that they pass before a detector sees them.

    Attributes:
        classes: Class names in the order of the labels.
        records: One record per image.
        transforms: The pipeline.
        test_mode: Whether the dataset is for evaluation, not for training.
        notices: Notes for the user, one sentence each.
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
        """Returns the record of an image."""
        return self.records[index]

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Returns an image after the pipeline; ``rng`` drives all random choices."""
        return self._transformed(index, rng, len(self.transforms))

    def _transformed(self, index: int, rng: np.random.Generator, stop: int) -> Sample:
        """Returns an image after the first ``stop`` transforms of the pipeline."""
        sample = self._untransformed(index, rng)
        for place, transform in enumerate(self.transforms[:stop]):
            if not isinstance(transform, Mixing):
                sample = transform(sample, rng)
            elif others := transform.draw(self.records, rng):
                sample = transform.mix(sample, [self._further(other, rng, place) for other in others], rng)
        return sample

    def _untransformed(self, index: int, rng: np.random.Generator) -> Sample:
        """Returns the sample that the first transform gets."""
        return Sample(self.records[index])

    def _further(self, index: int, rng: np.random.Generator, place: int) -> Sample:
        """Returns an image to be mixed into another one by the transform at ``place`` in the pipeline."""
        return self._transformed(index, rng, place)

    def read_for(self, pipeline: Sequence[Transform]) -> None:
        """Prepares a dataset without a pipeline for another one's; those with several shapes of an object read again.

        Args:
            pipeline: Transforms that the records of this dataset will pass.
        """

    def annotations(self) -> InstanceTable:
        """Returns the objects for evaluation: boxes as in the files; ignored objects count as difficult."""
        table = InstanceTable.of_records(self.records, self.classes)
        if table.ignored is not None:
            table.difficult = np.where(table.ignored & (table.difficult == 0), 1, table.difficult).astype(np.uint8)
        return table
