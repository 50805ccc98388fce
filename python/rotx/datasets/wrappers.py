"""Datasets made of other datasets: concatenated, repeated, class-balanced, mixed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from rotx.datasets.dataset import Dataset, Transform
from rotx.datasets.pipeline import checked_pipeline
from rotx.datasets.sample import Sample


class _Picked(Dataset):
    """A selection of images of other datasets, in a given order.

    Args:
        datasets: Datasets with the same classes and ``test_mode``.
        picks: The dataset and the index in it of each image.
    """

    def __init__(self, datasets: Sequence[Dataset], picks: Sequence[tuple[int, int]]) -> None:
        first = datasets[0]
        for i, other in enumerate(datasets):
            if other.classes != first.classes:
                raise ValueError(
                    f"datasets.{i}: the classes differ: {other.classes}, but of datasets.0 {first.classes}"
                )
            if other.test_mode != first.test_mode:
                raise ValueError(f"datasets.{i}: test_mode differs from that of datasets.0")
        self.datasets, self.picks = list(datasets), list(picks)
        self.classes, self.test_mode = first.classes, first.test_mode
        self.transforms = first.transforms  # informative only: each image passes the pipeline of its own dataset
        self._collect()
        if self.test_mode:
            name, count = Counter(record.name for record in self.records).most_common(1)[0]
            if count > 1:
                raise ValueError(f"evaluation needs every image once, but {name} occurs {count} times")

    def _collect(self) -> None:
        """Takes records and notes over from the datasets."""
        self.records = [self.datasets[part].record(index) for part, index in self.picks]
        self.notices = [notice for dataset in self.datasets for notice in dataset.notices]
        self.dropped = sum((dataset.dropped for dataset in self.datasets), Counter())

    def read_for(self, pipeline: Sequence[Transform]) -> None:
        """Prepares all datasets for the pipeline."""
        for dataset in self.datasets:
            dataset.read_for(pipeline)
        self._collect()

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Returns an image after the pipeline of its dataset; ``rng`` drives all random choices."""
        part, inner = self.picks[index]
        return self.datasets[part].sample(inner, rng)


class ConcatDataset(_Picked):
    """Concatenates datasets of the same classes.

    Args:
        datasets: Datasets to concatenate, at least one.
    """

    def __init__(self, *, datasets: Sequence[Dataset]) -> None:
        if not isinstance(datasets, list | tuple) or not datasets:
            raise ValueError(f"datasets: need a list of at least one, got {datasets!r}")
        for i, dataset in enumerate(datasets):
            check_dataset(dataset, f"datasets.{i}")
        super().__init__(datasets, [(part, i) for part, one in enumerate(datasets) for i in range(len(one))])


class RepeatDataset(_Picked):
    """Repeats a dataset, which makes epochs longer.

    Args:
        dataset: Dataset to draw from.
        times: Number of repetitions, at least 1.
    """

    def __init__(self, *, dataset: Dataset, times: int) -> None:
        check_dataset(dataset, "dataset")
        if type(times) is not int or times < 1:
            raise ValueError(f"times: need an integer of at least 1, got {times!r}")
        super().__init__([dataset], [(0, i) for i in range(len(dataset))] * times)


class ClassBalancedDataset(_Picked):
    """Repeats images of rare classes (Gupta et al., LVIS, CVPR 2019).

    A class that occurs in a fraction f of the images has the repeat factor max(1, √(oversample_thr / f)). An image is
    repeated by the greatest factor of its classes, rounded up.

    Args:
        dataset: Dataset to draw from.
        oversample_thr: Fraction of images, in [0, 1], below which a class is rare.
    """

    def __init__(self, *, dataset: Dataset, oversample_thr: float) -> None:
        check_dataset(dataset, "dataset")
        if not isinstance(oversample_thr, int | float) or not 0 <= oversample_thr <= 1:
            raise ValueError(f"oversample_thr: need a number in [0, 1], got {oversample_thr!r}")
        has = [np.unique(record.instances.labels) for record in dataset.records]
        share = np.bincount(np.concatenate(has), minlength=len(dataset.classes)) / len(dataset)
        asks = [max(1.0, math.sqrt(oversample_thr / f)) if f else 1.0 for f in share]
        times = [math.ceil(max((asks[label] for label in labels), default=1.0)) for labels in has]
        super().__init__([dataset], [(0, i) for i, count in enumerate(times) for _ in range(count)])


class MultiImageMixDataset(Dataset):
    """A dataset with a further pipeline that mixes several images, as in MMDetection: Mosaic, MixUp.

    Further images pass only the pipeline of the inner dataset.

    Args:
        dataset: Inner dataset, for training.
        pipeline: Transforms to apply after the pipeline of the inner dataset, in order.
        skip_type_keys: Names of transforms to skip.
    """

    def __init__(
        self,
        *,
        dataset: Dataset,
        pipeline: Sequence[Transform],
        skip_type_keys: Sequence[str] | None = None,
    ) -> None:
        check_dataset(dataset, "dataset")
        if isinstance(skip_type_keys, str) or not all(isinstance(key, str) for key in skip_type_keys or ()):
            raise ValueError(f"skip_type_keys: need names of transforms, got {skip_type_keys!r}")
        if not isinstance(pipeline, list | tuple):
            raise ValueError(f"pipeline: need a list of dict(type=...), got {pipeline!r}")
        inner = dataset.transforms
        left_out = set(skip_type_keys or ())
        kept = [transform for transform in pipeline if type(transform).__name__ not in left_out]
        self.transforms = checked_pipeline([*inner, *kept], dataset.test_mode)[len(inner) :]
        self.dataset = dataset
        self.classes, self.test_mode, self.records = dataset.classes, dataset.test_mode, dataset.records
        self.notices, self.dropped = dataset.notices, dataset.dropped

    def _untransformed(self, index: int, rng: np.random.Generator) -> Sample:
        """Returns an image after the pipeline of the inner dataset."""
        return self.dataset.sample(index, rng)

    def _further(self, index: int, rng: np.random.Generator, place: int) -> Sample:
        """Returns an image after the pipeline of the inner dataset."""
        return self.dataset.sample(index, rng)


def check_dataset(dataset: object, where: str) -> None:
    """Raises ValueError unless ``dataset`` is a `Dataset`; ``where`` is its path in the config."""
    if not isinstance(dataset, Dataset):
        raise ValueError(f"{where}: need a dataset, dict(type=...), got {dataset!r}")
