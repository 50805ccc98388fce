"""The data loader: samples become tensors, in worker processes, a list of items for each batch.

What an item shows depends on its dataset, the seed and its draw alone: not on the workers or who asked before.
"""

from __future__ import annotations

import atexit
import shutil
import signal
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from traceback import format_exc
from typing import Any, NamedTuple, Protocol, cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils import data
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from rotx.boxes import AngleVersion, regularize
from rotx.datasets.sample import Sample, keep_sound
from rotx.datasets.samplers import Draw, Records
from rotx.images.files import UnreadableImage

#: So many images in a row that cannot be read end the training.
MOST_UNREADABLE = 10

_SHARED_MEMORY = Path("/dev/shm")
_SMALL = ("boxes", "labels", "ignored")


class Samples(Records, Protocol):
    """What the loader needs of a dataset."""

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """An image after all transforms."""


@dataclass(eq=False)
class Item:
    """An image as a detector takes it, with its objects in pixels of ``image``.

    Attributes:
        name: of the image in its dataset.
        path: of its file.
        image: (3, H, W) uint8, BGR; float32 after a Normalize; (3, 0, 0) if it cannot be read, in test mode.
        boxes: (M, 5) float32, of the angle version; none in test mode: what predictions are compared with are
            the annotations of the dataset.
        labels: (M,) int64.
        ignored: (I, 5) float32: neither object nor background.
        size: height and width of the file.
        factors: pixels of ``image`` for a pixel of the file, in x and y.
        dropped: how many objects were left out, for each reason.
        skipped: ``path: reason`` of the images that cannot be read: in training this item stands in for them.
    """

    name: str
    path: Path
    image: Tensor
    boxes: Tensor
    labels: Tensor
    ignored: Tensor
    size: tuple[int, int]
    factors: tuple[float, float] = (1.0, 1.0)
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)

    def pin_memory(self) -> Item:
        """With its tensors in pinned memory, so that copies to a GPU do not wait; the data loader calls it."""
        for name in ("image", *_SMALL):
            setattr(self, name, getattr(self, name).pin_memory())
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Between processes every tensor takes an open file, of which there are few: only the image is worth one."""
        return {name: value.numpy() if name in _SMALL else value for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: torch.from_numpy(x) if name in _SMALL else x for name, x in state.items()})


class Items(data.Dataset[Item]):
    """The items of a dataset, by their draws.

    In training an image that cannot be read is replaced by a random other one, and objects that are not finite
    or thinner than `rotx.datasets.sample.MIN_SIDE` are dropped and counted.

    Args:
        dataset: where samples come from.
        angle_version: of the boxes.
        seed: of the training.
    """

    def __init__(self, dataset: Samples, *, angle_version: AngleVersion = "le90", seed: int = 0) -> None:
        self.dataset = dataset
        self.angle_version = angle_version
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> Item:
        """Loads an item.

        Raises:
            ValueError: in training, for more than ``MOST_UNREADABLE`` images in a row that cannot be read.
        """
        rng = np.random.default_rng((self.seed, draw.position))
        index = draw.index
        skipped: list[str] = []
        while True:
            try:
                sample = self.dataset.sample(index, rng)
            except UnreadableImage as error:
                skipped.append(str(error))
            else:
                item = pack(sample, self.angle_version, self.dataset.test_mode)
                item.skipped = skipped
                return item
            if self.dataset.test_mode:
                return self._absent(index, skipped)
            if len(skipped) > MOST_UNREADABLE:
                raise ValueError(f"{len(skipped)} images in a row cannot be read: {'; '.join(skipped)}")
            index = int(rng.integers(len(self.dataset)))

    def _absent(self, index: int, skipped: list[str]) -> Item:
        """What stands for an image that cannot be read, in test mode."""
        record = self.dataset.record(index)
        none, labels = torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64)
        image = torch.zeros(3, 0, 0, dtype=torch.uint8)
        return Item(record.name, record.path, image, none, labels, none, record.size or (0, 0), skipped=skipped)


def pack(sample: Sample, angle_version: AngleVersion, test_mode: bool = False) -> Item:
    """Makes tensors of a sample; in training, objects that are degenerate are counted as dropped in it.

    Raises:
        ValueError: for a sample without an image: its pipeline does not load one.
    """
    record = sample.record
    if 0 in sample.size:
        raise ValueError(f"{record.path}: the pipeline has loaded no image: it needs LoadImageFromFile")
    if test_mode:
        rboxes, labels, ignored = torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
    else:
        rboxes = torch.from_numpy(keep_sound(sample)).float()
        labels, ignored = torch.from_numpy(sample.labels.astype(np.int64)), torch.from_numpy(sample.ignored)
    rboxes = regularize(rboxes, angle_version)
    height, width = sample.size
    planes = np.empty((3, height, width), sample.image.dtype)
    cv2.split(sample.image, list(planes))  # ten times as fast as a transposed copy
    return Item(
        name=record.name,
        path=record.path,
        image=torch.from_numpy(planes),
        boxes=rboxes[~ignored],
        labels=labels[~ignored],
        ignored=rboxes[ignored],
        size=record.size or sample.size,
        factors=sample.factors,
        dropped=sample.dropped,
    )


class Loader(data.DataLoader[Any]):
    """A DataLoader that yields lists of items; an error of the user's input comes out as it was raised."""

    def __iter__(self) -> Generator[list[Item]]:  # type: ignore[override]
        batches = super().__iter__()
        if not isinstance(batches, _MultiProcessingDataLoaderIter):
            return (yield from _checked(batches))
        # A program that ends waits for workers, and these, as they ignore SIGTERM, end only when they are told.
        atexit.register(batches._shutdown_workers)
        try:
            yield from _checked(batches)
        finally:
            atexit.unregister(batches._shutdown_workers)
            batches._shutdown_workers()


def _checked(batches: Iterable[list[Item | _Failure]]) -> Iterator[list[Item]]:
    """The batches; raises the error that stands for an item."""
    for batch in batches:
        for item in batch:
            if isinstance(item, _Failure):
                raise item.error from RuntimeError(item.trace)
        yield cast("list[Item]", batch)


def build_loader(
    dataset: Samples,
    batches: Iterable[list[Draw]],
    *,
    num_workers: int,
    angle_version: AngleVersion = "le90",
    seed: int = 0,
    pin_memory: bool = False,
    prefetch: int = 2,
) -> Loader:
    """A loader of batches, in their order.

    It draws nothing from torch's own random generator. Workers use one thread each.

    Args:
        dataset: where samples come from.
        batches: of this rank; see `rotx.datasets.samplers`.
        num_workers: processes that load; 0: this one does.
        angle_version: of the boxes.
        seed: of the training.
        pin_memory: for faster copies to a GPU.
        prefetch: batches that each worker has ready.

    Raises:
        ValueError: when iterated, for what :class:`Items` and the transforms raise.
    """
    return Loader(
        _Caught(Items(dataset, angle_version=angle_version, seed=seed)),
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=list,
        pin_memory=pin_memory,
        prefetch_factor=prefetch if num_workers else None,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),
    )


def check_shared_memory(
    dataset: Samples, batch_size: int, num_workers: int, prefetch: int = 2, processes: int = 1, taken: int = 0
) -> int:
    """The bytes that the waiting batches of a loader need in shared memory, judged by one image.

    Workers hand images over through /dev/shm; when it is full the system ends them with "Bus error". Docker
    gives 64 MB unless told otherwise. Systems without it are not checked.

    Args:
        dataset: that the workers read.
        batch_size: images of a batch.
        num_workers: of each process; 0 needs no shared memory.
        prefetch: batches that each worker has ready.
        processes: that share it, each with such a loader.
        taken: Bytes that other loaders of the program need at the same time.

    Raises:
        ValueError: If they will not fit.
    """
    if not num_workers or not _SHARED_MEMORY.is_dir():
        return 0
    image = Items(dataset)[Draw(0, 0)].image
    size = image.numel() * image.element_size()
    batch = size * batch_size * processes
    need = batch * (num_workers * prefetch + 1)
    free = max(shutil.disk_usage(_SHARED_MEMORY).free - taken, 0)
    if need > free:
        fitting = max(free // batch - 1, 0) // prefetch
        each = f" in each of {processes} processes" if processes > 1 else ""
        raise ValueError(
            f"{_SHARED_MEMORY}: {free / 1e6:.0f} MB are free, but {num_workers} workers{each} with batches of "
            f"{batch_size} need about {need / 1e6:.0f} MB: set num_workers={fitting}, or give more "
            f"(docker run --shm-size={-(-2 * need // 10**9)}g, or --ipc=host)"
        )
    return need


class _Failure(NamedTuple):
    """An error and where it was raised."""

    error: Exception
    trace: str


class _Caught(data.Dataset[Any]):
    """Items, or the error in place of one: a DataLoader would make another of an error that is raised in a worker."""

    def __init__(self, items: Items) -> None:
        self.items = items

    def __getitem__(self, draw: Draw) -> Item | _Failure:
        try:
            return self.items[draw]
        except (ValueError, OSError) as error:
            return _Failure(error, format_exc())


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # torch does the same for itself
    # Ctrl-C, timeout and Slurm signal all processes at once; it is for the first, which saves and then ends these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
