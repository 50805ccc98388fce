"""Datasets made of others: several in one, one several times, rare classes more often."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from rotx.datasets.dataset import Dataset, Transform
from rotx.datasets.pipeline import checked_pipeline
from rotx.datasets.sample import Sample


class _Picked(Dataset):
    """Images of other datasets in a given order.

    Args:
        datasets: of the same classes and mode.
        picks: for each image, its dataset and its index there.
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
        self.transforms = first.transforms  # each image goes through those of its own dataset
        self.records = [datasets[part].record(index) for part, index in picks]
        self.notices = [notice for dataset in datasets for notice in dataset.notices]
        self.dropped = sum((dataset.dropped for dataset in datasets), Counter())
        if self.test_mode:
            name, count = Counter(record.name for record in self.records).most_common(1)[0]
            if count > 1:
                raise ValueError(f"evaluation needs every image once, but {name} is there {count} times")

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """An image after the pipeline of its dataset, whose random choices come from ``rng``."""
        part, inner = self.picks[index]
        return self.datasets[part].sample(inner, rng)


class ConcatDataset(_Picked):
    """Several datasets of the same classes, one after the other.

    Args:
        datasets: at least one.
    """

    def __init__(self, *, datasets: Sequence[Dataset]) -> None:
        if not isinstance(datasets, list | tuple) or not datasets:
            raise ValueError(f"datasets: need a list of at least one, got {datasets!r}")
        for i, dataset in enumerate(datasets):
            check_dataset(dataset, f"datasets.{i}")
        super().__init__(datasets, [(part, i) for part, one in enumerate(datasets) for i in range(len(one))])


class RepeatDataset(_Picked):
    """A dataset several times over, so that an epoch is longer.

    Args:
        dataset: any.
        times: at least 1.
    """

    def __init__(self, *, dataset: Dataset, times: int) -> None:
        check_dataset(dataset, "dataset")
        if type(times) is not int or times < 1:
            raise ValueError(f"times: need an integer of at least 1, got {times!r}")
        super().__init__([dataset], [(0, i) for i in range(len(dataset))] * times)


class ClassBalancedDataset(_Picked):
    """Images of rare classes more often (Gupta et al., LVIS, CVPR 2019).

    A class that the share f of the images have asks for its images max(1, √(oversample_thr / f)) times; an image
    is there as often as the rarest of its classes asks, rounded up.

    Args:
        dataset: any.
        oversample_thr: the share of images below which a class is rare, in [0, 1].
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
    """A dataset with a pipeline that mixes several of its images, as MMDetection's: Mosaic, MixUp.

    Further images come from the dataset as it is, through its own pipeline alone.

    Args:
        dataset: Any dataset for training.
        pipeline: The transforms, in turn, after those of the dataset.
        skip_type_keys: Names of transforms to leave out.
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
        """An image after the pipeline of its dataset."""
        return self.dataset.sample(index, rng)

    def _further(self, index: int, rng: np.random.Generator, place: int) -> Sample:
        """An image after the pipeline of its dataset."""
        return self.dataset.sample(index, rng)


def check_dataset(dataset: object, where: str) -> None:
    """Raises ValueError unless it is a dataset."""
    if not isinstance(dataset, Dataset):
        raise ValueError(f"{where}: need a dataset, dict(type=...), got {dataset!r}")
