"""The data loader: worker processes turn samples into tensors; a batch is a list of images.

A loaded image depends only on the dataset, the seed and its draw, not on the workers or the order of requests.
"""

from __future__ import annotations

import atexit
import errno
import multiprocessing
import shutil
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from traceback import format_exc
from typing import Any, NamedTuple, Protocol, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import data
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from rotx.boxes import AngleVersion, BoxKind, regularize
from rotx.datasets.sample import Sample, keep_sound
from rotx.datasets.samplers import Draw, RecordSource
from rotx.datasets.workers import killed
from rotx.images.files import UnreadableImage
from rotx.records import Bitmaps, Instances

#: Training ends after this many unreadable images in a row.
MOST_UNREADABLE = 10

_SHARED_MEMORY = Path("/dev/shm")


class SampleSource(RecordSource, Protocol):
    """The part of a dataset that the loader needs."""

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Returns an image after all transforms."""


@dataclass(eq=False)
class LoadedImage:
    """An image in the form that a detector takes, with its objects in pixels of ``image``.

    Attributes:
        name: Name of the image in its dataset.
        path: Path of its file.
        image: (3, H, W) uint8, BGR; float32 after a Normalize; (3, 0, 0) if it cannot be read, in test mode.
        instances: The objects as torch tensors: float32 boxes of the kind and angle version that the detector is
            trained on, with ``ignored``, and masks as `Bitmaps`; empty in test mode: predictions are compared with the
            annotations of the dataset.
        size: Height and width of the file, or of its window.
        matrix: (3, 3) float64, from pixels of the file, or of its window, to pixels of ``image``.
        dropped: Number of objects left out, for each reason.
        skipped: ``path: reason`` of the images that cannot be read: in training this one stands in for them.
    """

    name: str
    path: Path
    image: Tensor
    instances: Instances
    size: tuple[int, int]
    matrix: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)

    def pin_memory(self) -> LoadedImage:
        """Returns the image in pinned memory, for asynchronous copies to a GPU; called by the data loader."""
        self.image, self.instances = self.image.pin_memory(), self.instances.pin_memory()
        return self

    @property
    def nbytes(self) -> int:
        """Size of image and masks in bytes."""
        masks = self.instances.masks
        return self.image.nbytes + (masks.pixels.nbytes if isinstance(masks, Bitmaps) else 0)

    def __getstate__(self) -> dict[str, Any]:
        """Sends only image and masks as tensors: each tensor takes a file descriptor, of which there are few."""
        return {**vars(self), "instances": replace(self.instances.numpy(), masks=self.instances.masks)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "instances": state["instances"].to("cpu")})


class LoadedImages(data.Dataset[LoadedImage]):
    """The images of a dataset, indexed by their draws.

    In training, an image that cannot be read is replaced by a random other one, and objects that are not finite or
    thinner than `rotx.datasets.sample.MIN_SIDE` are dropped and counted.

    Args:
        dataset: Dataset to load from.
        box_kind: Kind of boxes that the detector is trained on.
        angle_version: Angle version of rotated boxes.
        seed: Random seed of the training.
    """

    def __init__(
        self, dataset: SampleSource, *, box_kind: BoxKind = "rbox", angle_version: AngleVersion = "le90", seed: int = 0
    ) -> None:
        self.dataset = dataset
        self.box_kind = box_kind
        self.angle_version = angle_version
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> LoadedImage:
        """Loads an image.

        Raises:
            ValueError: In training, for more than ``MOST_UNREADABLE`` unreadable images in a row.
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
                loaded = self.pack(sample)
                loaded.skipped = skipped
                return loaded
            if self.dataset.test_mode:
                return self._absent(index, skipped)
            if len(skipped) > MOST_UNREADABLE:
                raise ValueError(f"{len(skipped)} images in a row cannot be read: {'; '.join(skipped)}")
            index = int(rng.integers(len(self.dataset)))

    def _absent(self, index: int, skipped: list[str]) -> LoadedImage:
        """Placeholder for an unreadable image in test mode."""
        record = self.dataset.record(index)
        image, size = torch.zeros(3, 0, 0, dtype=torch.uint8), record.size or (0, 0)
        return LoadedImage(record.name, record.path, image, self._none(), size, skipped=skipped)

    def _none(self) -> Instances:
        none = Instances.empty(self.box_kind)
        return replace(none, boxes=none.boxes.astype(np.float32), ignored=np.zeros(0, np.bool_)).to("cpu")

    def pack(self, sample: Sample) -> LoadedImage:
        """Turns a sample into tensors; in training, degenerate objects are dropped and counted.

        Raises:
            ValueError: For a sample without an image, whose pipeline does not load one.
        """
        record = sample.record
        if 0 in sample.size:
            raise ValueError(f"{record.path}: the pipeline loads no image; add LoadImageFromFile")
        instances = self._none() if self.dataset.test_mode else self._targets(sample)
        return LoadedImage(
            name=record.name,
            path=record.path,
            image=to_tensor(sample.image),
            instances=instances,
            size=record.size or sample.size,
            matrix=sample.matrix,
            dropped=sample.dropped,
        )

    def _targets(self, sample: Sample) -> Instances:
        """The objects of a sample that can be learnt, as tensors for the detector."""
        sound = keep_sound(sample, self.box_kind)
        boxes = sound.boxes.astype(np.float32)
        if self.box_kind == "rbox":
            boxes = regularize(boxes, self.angle_version)
        ignored = np.zeros(len(sound), np.bool_) if sound.ignored is None else sound.ignored
        # Done here, in a worker, not in the training process.
        masks = None if sound.file_masks is None else Bitmaps(sound.file_masks.bitmaps(*sample.size))
        return replace(sound, boxes=boxes, ignored=ignored, difficult=None, scores=None, masks=masks).to("cpu")


def to_tensor(image: NDArray[Any]) -> Tensor:
    """Turns an image (H, W, 3) into a tensor (3, H, W)."""
    planes = np.empty((3, *image.shape[:2]), image.dtype)
    cv2.split(image, list(planes))  # ten times as fast as a transposed copy
    return torch.from_numpy(planes)


class Loader(data.DataLoader[Any]):
    """A DataLoader that yields lists of images; errors of the input are raised unchanged.

    Raises:
        WorkerKilled: During iteration, if the system killed a worker.
    """

    def __iter__(self) -> Generator[list[LoadedImage]]:  # type: ignore[override]
        others = set(multiprocessing.active_children())
        try:
            with _children_heard_later():
                batches = super().__iter__()
        except OSError as error:
            # Workers that have started ignore SIGTERM, so the program would wait for them at exit.
            for worker in set(multiprocessing.active_children()) - others:
                worker.kill()
            for frame, _ in traceback.walk_tb(error.__traceback__):
                half_made = frame.f_locals.get("self")
                if isinstance(half_made, _MultiProcessingDataLoaderIter):
                    half_made._shutdown = True  # its destructor would fail, and print a traceback
            raise _clearer(error) from error
        if not isinstance(batches, _MultiProcessingDataLoaderIter):
            return (yield from _checked(batches))
        # A program waits for its workers at exit, and they ignore SIGTERM: they end only when told to.
        atexit.register(batches._shutdown_workers)
        try:
            yield from _checked(batches)
        except (RuntimeError, OSError, EOFError) as error:
            # A dead worker also shows as a broken connection, while its process is still ending.
            for worker in batches._workers:
                worker.join(0.2)
            codes = [worker.exitcode for worker in batches._workers]
            if any(codes):
                raise killed(codes) from error
            raise _clearer(error) from error
        finally:
            atexit.unregister(batches._shutdown_workers)
            batches._shutdown_workers()


def _clearer(error: Exception) -> Exception:
    """The error with its remedy, if the limit of open files is reached."""
    if "Too many open files" not in str(error):
        return error
    return OSError(errno.EMFILE, "too many open files: raise the limit (ulimit -n 4096), or give fewer --workers")


@contextmanager
def _children_heard_later() -> Iterator[None]:
    """Keeps torch from raising an error wherever the program is when a worker dies, be it amid an update of weights.

    The loader itself finds out within seconds, when it waits for a batch of that worker.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _checked(batches: Iterable[list[LoadedImage | _Failure]]) -> Iterator[list[LoadedImage]]:
    """Yields the batches; raises an error that stands in the place of an image."""
    for batch in batches:
        for loaded in batch:
            if isinstance(loaded, _Failure):
                raise loaded.error from RuntimeError(loaded.trace)
        yield cast("list[LoadedImage]", batch)


def build_loader(
    dataset: SampleSource,
    batches: Iterable[list[Draw]],
    *,
    num_workers: int,
    box_kind: BoxKind = "rbox",
    angle_version: AngleVersion = "le90",
    seed: int = 0,
    pin_memory: bool = False,
    prefetch: int = 2,
) -> Loader:
    """Builds a loader that yields batches in the given order.

    The loader does not use torch's global random generator. Each worker uses one thread.

    Args:
        dataset: Dataset to load from.
        batches: Batches of this rank; see `rotx.datasets.samplers`.
        num_workers: Number of loader processes; 0: load in this process.
        box_kind: Kind of boxes that the detector is trained on.
        angle_version: Angle version of rotated boxes.
        seed: Random seed of the training.
        pin_memory: Whether to pin memory, for faster copies to a GPU.
        prefetch: Number of batches that each worker prepares ahead.

    Raises:
        ValueError: During iteration, for errors of :class:`LoadedImages` and the transforms.
    """
    return Loader(
        _Caught(LoadedImages(dataset, box_kind=box_kind, angle_version=angle_version, seed=seed)),
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=list,
        pin_memory=pin_memory,
        prefetch_factor=prefetch if num_workers else None,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),
    )


def check_shared_memory(
    dataset: SampleSource, batch_size: int, num_workers: int, prefetch: int = 2, processes: int = 1, taken: int = 0
) -> int:
    """Estimates the shared memory in bytes that waiting batches need, from one image.

    Workers pass images through /dev/shm; if it is full, the system kills them with "Bus error". Docker gives 64 MB by
    default. Systems without /dev/shm are not checked.

    Args:
        dataset: Dataset that the workers read.
        batch_size: Number of images in a batch.
        num_workers: Number of loader processes of each process; 0 needs no shared memory.
        prefetch: Number of batches that each worker prepares ahead.
        processes: Number of processes on this machine, each with such a loader.
        taken: Bytes that other loaders of the program need at the same time.

    Raises:
        ValueError: If the batches do not fit into the free shared memory.
    """
    if not num_workers or not _SHARED_MEMORY.is_dir():
        return 0
    batch = LoadedImages(dataset)[Draw(0, 0)].nbytes * batch_size * processes
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
    """An error with its traceback, in the place of an image."""

    error: Exception
    trace: str


class _Caught(data.Dataset[Any]):
    """Yields errors as values: a DataLoader would change the type of an error raised in a worker."""

    def __init__(self, images: LoadedImages) -> None:
        self.images = images

    def __getitem__(self, draw: Draw) -> LoadedImage | _Failure:
        try:
            loaded = self.images[draw]
            if data.get_worker_info() is not None:
                _share(loaded)
        except (ValueError, OSError) as error:
            return _Failure(error, format_exc())
        return loaded


def _share(loaded: LoadedImage) -> None:
    """Moves an image into shared memory, where torch would move it in a thread whose errors nobody hears of.

    Raises:
        OSError: If there is no room, or no file descriptor left.
    """
    try:
        loaded.image.share_memory_()  # type: ignore[no-untyped-call]
        if isinstance(loaded.instances.masks, Bitmaps):
            loaded.instances.masks.pixels.share_memory_()
    except RuntimeError as error:
        why = "give fewer --workers, or more (docker run --shm-size=8g, or --ipc=host)"
        short = str(error).splitlines()[0]
        raise OSError(f"{_SHARED_MEMORY}: an image cannot be written into shared memory ({short}): {why}") from error


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # torch limits its own threads in workers
    # Ctrl-C, timeout and Slurm signal all processes; only the first one reacts: it saves, then ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
