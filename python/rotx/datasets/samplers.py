"""Samplers: which image stands at which place of an epoch, and how the ranks share a batch; no torch.

A *global batch* is what all ranks take in one step: of W ranks with B images each, W · B draws, of which rank r
takes the r-th slice. So it holds the same images whatever W is. The order depends on seed and epoch alone.
In training every global batch is full: the last one is filled up with images from the start of the order.
In test mode no image comes twice: the last batches are smaller, and a rank may have one less.
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
        position: how many were drawn before it in the whole training; with the seed it decides what random
            transforms do.
        index: of the image in the dataset.
    """

    position: int
    index: int  # type: ignore[assignment]  # a tuple has a method of this name, which nobody needs here


class RecordSource(Protocol):
    """What samplers need of a dataset."""

    classes: tuple[str, ...]
    test_mode: bool

    def __len__(self) -> int: ...

    def record(self, index: int) -> ImageRecord:
        """What is known of an image."""


class DataSampler(Protocol):
    """What every sampler here is."""

    def batches(
        self, dataset: RecordSource, batch_size: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
    ) -> list[list[Draw]]:
        """The batches of one rank in one epoch, in order.

        Args:
            dataset: to draw from.
            batch_size: images of one rank.
            seed: of the training.
            epoch: from 0.
            rank: of this process, below ``world``.
            world: number of processes.
        """


class DefaultSampler:
    """Every image once in an epoch.

    Args:
        shuffle: in random order.
        seed: instead of that of the training.
        round_up: fill up the last batch in training. In test mode it never is.
    """

    def __init__(self, *, shuffle: bool = True, seed: int | None = None, round_up: bool = True) -> None:
        self.shuffle = shuffle
        self.seed = seed
        self.round_up = round_up

    def order(self, dataset: RecordSource, seed: int, epoch: int) -> Indices:
        """The indices of an epoch, in order."""
        count = len(dataset)
        if not self.shuffle:
            return np.arange(count)
        return _generator(self.seed, seed, epoch).permutation(count)

    def batches(
        self, dataset: RecordSource, batch_size: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
    ) -> list[list[Draw]]:
        """See :class:`DataSampler`."""
        step = batch_size * world
        order = self.order(dataset, seed, epoch)
        if self.round_up and not dataset.test_mode:
            order = _filled(order, step)
        return _shared(order, epoch * -(-len(dataset) // step) * step, batch_size, rank, world)


class InfiniteSampler:
    """An endless stream of images, every one once before any comes again; epochs are pieces of it.

    An epoch has as many full batches as it takes to show every image; the next one goes on behind it.

    Args:
        shuffle: each round in another random order.
        seed: instead of that of the training.
    """

    def __init__(self, *, shuffle: bool = True, seed: int | None = None) -> None:
        self.shuffle = shuffle
        self.seed = seed

    def batches(
        self, dataset: RecordSource, batch_size: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
    ) -> list[list[Draw]]:
        """See :class:`DataSampler`."""
        step, count = batch_size * world, len(dataset)
        length = -(-count // step) * step
        first = epoch * length
        rounds = range(first // count, -(-(first + length) // count))
        sampler = DefaultSampler(shuffle=self.shuffle, seed=self.seed)
        stream = np.concatenate([sampler.order(dataset, seed, i) for i in rounds])
        start = first - rounds.start * count
        return _shared(stream[start : start + length], first, batch_size, rank, world)


class ClassAwareSampler(DefaultSampler):
    """Classes in turn, each in random order, and a random image with objects of the class: rare ones come often.

    Paper: Shen et al., Relay Backpropagation for Effective Learning of Deep CNNs, ECCV 2016. An epoch has as many
    draws as there are images; images without objects are never drawn.

    Args:
        num_sample_class: images drawn for a class before the next one.
        seed: instead of that of the training.
    """

    def __init__(self, *, num_sample_class: int = 1, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        if num_sample_class < 1:
            raise ValueError(f"num_sample_class: need at least 1, got {num_sample_class}")
        self.num_sample_class = num_sample_class
        self._images = _OfDataset(images_of_classes)

    def order(self, dataset: RecordSource, seed: int, epoch: int) -> Indices:
        """The indices of an epoch, in order.

        Raises:
            ValueError: if no image has an object.
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
    """Batches of images that are all wide (width ≥ height) or all tall: less padding.

    The two kinds come in the order in which their batches become full. In training the last batch of each kind
    is filled up with images of it, or left out.

    Args:
        sampler: for the order of the images.
        drop_last: leave out the last batch of each kind unless it is full. In test mode it stays.
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
        """See :class:`DataSampler`."""
        step = batch_size * world
        tall, order = self._tall(dataset), self.sampler.order(dataset, seed, epoch)
        batches: list[tuple[int, Indices]] = []  # each with the place of its last image
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
        # Positions of epochs must not overlap: there are at most two batches more than full ones.
        position = epoch * (len(order) // step + 2) * step
        own = []
        for _, indices in batches:
            own += _shared(indices, position, batch_size, rank, world)
            position += len(indices)
        return own


def images_of_classes(dataset: RecordSource) -> list[Indices]:
    """For each class of a dataset the indices of the images that have an object of it; ignored ones do not count."""
    found: list[list[int]] = [[] for _ in dataset.classes]
    for index in range(len(dataset)):
        known = dataset.record(index).instances
        sought = known.labels if known.ignored is None else known.labels[~known.ignored]
        for label in np.unique(sought):
            found[label].append(index)
    return [np.array(indices, np.int64) for indices in found]


def tall_images(dataset: RecordSource) -> NDArray[np.bool_]:
    """Whether each image of a dataset is higher than wide; from the annotations, or the file's header.

    An image that cannot be read counts as wide: the loader will say what is wrong with it.
    """
    size_of = cache(image_size)  # repeated datasets have the same images many times
    tall = np.zeros(len(dataset), np.bool_)
    for index in range(len(dataset)):
        record = dataset.record(index)
        height, width = record.size or size_of(record.path) or (0, 0)
        tall[index] = height > width
    return tall


class _OfDataset(Generic[T]):
    """What a slow function says of a dataset; asked once, as long as it is the same one."""

    def __init__(self, function: Callable[[RecordSource], T]) -> None:
        self.function = function
        self.known: tuple[RecordSource, T] | None = None

    def __call__(self, dataset: RecordSource) -> T:
        if self.known is None or self.known[0] is not dataset:
            self.known = dataset, self.function(dataset)
        return self.known[1]


def _generator(own: int | None, seed: int, epoch: int) -> np.random.Generator:
    # The 1 keeps it apart from the generators of images, default_rng((seed, position)).
    return np.random.default_rng((seed if own is None else own, epoch, 1))


def _filled(order: Indices, step: int) -> Indices:
    """The order, repeated from its start until its length is a multiple of ``step``."""
    return np.resize(order, -(-len(order) // step) * step)


def _shared(order: Indices, first: int, batch_size: int, rank: int, world: int) -> list[list[Draw]]:
    """The slices that a rank takes of global batches; empty ones are left out."""
    indices = [int(index) for index in order]
    starts = range(rank * batch_size, len(indices), batch_size * world)
    return [
        [Draw(first + start + i, index) for i, index in enumerate(indices[start : start + batch_size])]
        for start in starts
    ]


def _cycle(values: Indices, rng: np.random.Generator) -> Iterator[int]:
    """The values in random order, and again in another."""
    while True:
        yield from (int(value) for value in rng.permutation(values))
