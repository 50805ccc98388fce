"""Samplers: the order of images in an epoch, and how ranks share a batch. Needs no torch.

A *global batch* is all that the ranks take in one step: W ranks with B images each take W · B draws, of which rank r
gets the r-th slice. A global batch of a size holds the same images whatever W is. The order depends only on seed and
epoch.
In training, every global batch is full: the last one is filled up with images from the start of the order.
In test mode, no image occurs twice: the last batches are smaller, and a rank may have one batch less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rotx.images.files import image_size
from rotx.records import ImageRecord

T = TypeVar("T")
Indices = NDArray[np.int64]


class Draw(NamedTuple):
    """An image to load.

    Attributes:
        position: Number of draws before this one since the start of the training; with the seed, it determines the
            choices of random transforms.
        index: Index of the image in the dataset.
    """

    position: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which is not needed


class RecordSource(Protocol):
    """The part of a dataset that samplers need."""

    classes: tuple[str, ...]
    test_mode: bool

    def __len__(self) -> int: ...

    def record(self, index: int) -> ImageRecord:
        """Returns the record of an image."""


class DataSampler(Protocol):
    """Protocol of all samplers."""

    def batches(
        self, dataset: RecordSource, batch_size: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
    ) -> list[list[Draw]]:
        """Returns the batches of one rank in one epoch, in order.

        Args:
            dataset: Dataset to draw from.
            batch_size: Number of images per batch of one rank.
            seed: Random seed of the training.
            epoch: Number of the epoch, from 0.
            rank: Rank of this process, below ``world``.
            world: Number of processes.
        """


class DefaultSampler:
    """Draws every image once in an epoch.

    Args:
        shuffle: Whether to draw in random order.
        seed: Random seed; None: that of the training.
        round_up: Whether to fill up the last batch in training; never done in test mode.
    """

    def __init__(self, *, shuffle: bool = True, seed: int | None = None, round_up: bool = True) -> None:
        self.shuffle = shuffle
        self.seed = seed
        self.round_up = round_up

    def order(self, dataset: RecordSource, seed: int, epoch: int) -> Indices:
        """Returns the indices of an epoch, in order."""
        count = len(dataset)
        if not self.shuffle:
            return np.arange(count)
        return _generator(self.seed, seed, epoch).permutation(count)

    def batches(
        self, dataset: RecordSource, batch_size: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
    ) -> list[list[Draw]]:
        """Returns the batches of one rank in one epoch; see :class:`DataSampler`."""
        step = batch_size * world
        order = self.order(dataset, seed, epoch)
        if self.round_up and not dataset.test_mode:
            order = _filled(order, step)
        return _shared(order, epoch * -(-len(dataset) // step) * step, batch_size, rank, world)


class InfiniteSampler:
    """An endless stream of images, in which every image occurs once before any is repeated.

    An epoch has as many full batches as it takes to show every image; the next epoch continues the stream.

    Args:
        shuffle: Whether each round has another random order.
        seed: Random seed; None: that of the training.
    """

    def __init__(self, *, shuffle: bool = True, seed: int | None = None) -> None:
        self.shuffle = shuffle
        self.seed = seed

    def batches(
        self, dataset: RecordSource, batch_size: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
    ) -> list[list[Draw]]:
        """Returns the batches of one rank in one epoch; see :class:`DataSampler`."""
        step, count = batch_size * world, len(dataset)
        length = -(-count // step) * step
        first = epoch * length
        rounds = range(first // count, -(-(first + length) // count))
        sampler = DefaultSampler(shuffle=self.shuffle, seed=self.seed)
        stream = np.concatenate([sampler.order(dataset, seed, i) for i in rounds])
        start = first - rounds.start * count
        return _shared(stream[start : start + length], first, batch_size, rank, world)


class ClassAwareSampler(DefaultSampler):
    """Cycles through the classes and draws a random image of each, so that rare classes occur often.

    Paper: Shen et al., Relay Backpropagation for Effective Learning of Deep CNNs, ECCV 2016. An epoch has as many
    draws as there are images; images without objects are never drawn.

    Args:
        num_sample_class: Number of images drawn for a class before the next class.
        seed: Random seed; None: that of the training.
    """

    def __init__(self, *, num_sample_class: int = 1, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        if num_sample_class < 1:
            raise ValueError(f"num_sample_class: need at least 1, got {num_sample_class}")
        self.num_sample_class = num_sample_class
        self._images = _OfDataset(images_of_classes)

    def order(self, dataset: RecordSource, seed: int, epoch: int) -> Indices:
        """Returns the indices of an epoch, in order.

        Raises:
            ValueError: If no image has an object.
        """
        images = [indices for indices in self._images(dataset) if len(indices)]
        if not images:
            raise ValueError("ClassAwareSampler: no image of the dataset has an object")
        rng = _generator(self.seed, seed, epoch)
        classes, streams = _cycle(np.arange(len(images)), rng), [_cycle(indices, rng) for indices in images]
        order: list[int] = []
        while len(order) < len(dataset):
            stream = streams[next(classes)]
            order += [next(stream) for _ in range(self.num_sample_class)]
        return np.array(order[: len(dataset)], np.int64)


class AspectRatioBatchSampler:
    """Batches of images that are all wide (width ≥ height) or all tall, which need less padding.

    Batches are yielded when they are full. In training, the last batch of each kind is filled up with images of the
    same kind, or left out.

    Args:
        sampler: Sampler that gives the order of the images.
        drop_last: Whether to leave out the last batch of each kind unless it is full; never done in test mode.
    """

    def __init__(self, *, sampler: DefaultSampler | None = None, drop_last: bool = False) -> None:
        self.sampler = sampler or DefaultSampler()
        if not hasattr(self.sampler, "order"):
            raise ValueError(f"sampler: {type(self.sampler).__name__} has no order of an epoch: use DefaultSampler")
        self.drop_last = drop_last
        self._tall = _OfDataset(tall_images)

    def batches(
        self, dataset: RecordSource, batch_size: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
    ) -> list[list[Draw]]:
        """Returns the batches of one rank in one epoch; see :class:`DataSampler`."""
        step = batch_size * world
        tall, order = self._tall(dataset), self.sampler.order(dataset, seed, epoch)
        batches: list[tuple[int, Indices]] = []  # each batch with the position of its last image
        for kind in (False, True):
            places = np.flatnonzero(tall[order] == kind)
            full = len(places) // step * step
            batches += [(int(places[i + step - 1]), order[places[i : i + step]]) for i in range(0, full, step)]
            rest = order[places[full:]]
            if len(rest) and dataset.test_mode:
                batches.append((len(order), rest))
            elif len(rest) and not self.drop_last:
                batches.append((len(order), _filled(np.concatenate([rest, order[places[:full]]]), step)[:step]))
        batches.sort(key=lambda batch: batch[0])
        # Positions of epochs must not overlap: an epoch has at most two batches more than the full ones.
        position = epoch * (len(order) // step + 2) * step
        own = []
        for _, indices in batches:
            own += _shared(indices, position, batch_size, rank, world)
            position += len(indices)
        return own


def images_of_classes(dataset: RecordSource) -> list[Indices]:
    """Indices of the images with an object of each class; ignored objects do not count."""
    found: list[list[int]] = [[] for _ in dataset.classes]
    for index in range(len(dataset)):
        known = dataset.record(index).instances
        sought = known.labels if known.ignored is None else known.labels[~known.ignored]
        for label in np.unique(sought):
            found[label].append(index)
    return [np.array(indices, np.int64) for indices in found]


def tall_images(dataset: RecordSource) -> NDArray[np.bool_]:
    """Whether each image of a dataset is taller than wide, from the annotations or the header of the file.

    An image that cannot be read counts as wide; the loader reports the error.
    """
    size_of = cache(image_size)  # repeated datasets list the same image several times
    tall = np.zeros(len(dataset), np.bool_)
    for index in range(len(dataset)):
        record = dataset.record(index)
        height, width = record.size or size_of(record.path) or (0, 0)
        tall[index] = height > width
    return tall


class _OfDataset(Generic[T]):
    """Caches the result of a slow function for the last dataset it was called with."""

    def __init__(self, function: Callable[[RecordSource], T]) -> None:
        self.function = function
        self.known: tuple[RecordSource, T] | None = None

    def __call__(self, dataset: RecordSource) -> T:
        if self.known is None or self.known[0] is not dataset:
            self.known = dataset, self.function(dataset)
        return self.known[1]


def _generator(own: int | None, seed: int, epoch: int) -> np.random.Generator:
    # The third number separates it from the generators of images, default_rng((seed, position)).
    return np.random.default_rng((seed if own is None else own, epoch, 1))


def _filled(order: Indices, step: int) -> Indices:
    """The order, repeated from its start until its length is a multiple of ``step``."""
    return np.resize(order, -(-len(order) // step) * step)


def _shared(order: Indices, first: int, batch_size: int, rank: int, world: int) -> list[list[Draw]]:
    """The slices of global batches that belong to a rank; empty slices are left out."""
    indices = [int(index) for index in order]
    starts = range(rank * batch_size, len(indices), batch_size * world)
    return [
        [Draw(first + start + i, index) for i, index in enumerate(indices[start : start + batch_size])]
        for start in starts
    ]


def _cycle(values: Indices, rng: np.random.Generator) -> Iterator[int]:
    """Yields the values in random order, endlessly, with a new order each round."""
    while True:
        yield from (int(value) for value in rng.permutation(values))
