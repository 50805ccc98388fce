"""Images a second that the data loader gives, and what the time goes into: 1024² PNG patches, flip and rotate."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from rotx.datasets.loader import LoadedImages, build_loader
from rotx.datasets.sample import Sample
from rotx.datasets.samplers import DefaultSampler, Draw
from rotx.datasets.transforms.flipping import RandomFlip
from rotx.datasets.transforms.loading import LoadAnnotations, LoadImageFromFile
from rotx.datasets.transforms.rotating import RandomRotate
from rotx.records import ImageRecord, Instances

SIZE, FILES, OBJECTS = 1024, 24, 60


class Patches:
    """A dataset of PNG files that weigh what patches of DOTA do, 1.7 MB; each file stands for several images."""

    classes = ("ship",)
    test_mode = False

    def __init__(self, folder: Path, transforms: list[Any], images: int) -> None:
        self.transforms = transforms
        self.images = images
        self.paths = [folder / f"{i}.png" for i in range(FILES)]
        rng = np.random.default_rng(0)
        centers, sides = rng.uniform(0, SIZE, (OBJECTS, 1, 2)), rng.uniform(5, 50, (OBJECTS, 1, 2))
        self.quads = (centers + sides * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])).reshape(-1, 8)
        for path in self.paths:
            if not path.exists():
                cv2.imwrite(str(path), ground(rng))

    def __len__(self) -> int:
        return self.images

    def record(self, index: int) -> ImageRecord:
        objects = Instances(self.quads, "quad", np.zeros(OBJECTS, np.int64), ignored=np.zeros(OBJECTS, np.bool_))
        return ImageRecord(str(index), self.paths[index % FILES], objects)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        sample = Sample(self.record(index))
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


def ground(rng: np.random.Generator) -> np.ndarray:
    """Something between fields and noise; (SIZE, SIZE, 3) uint8."""
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    for cells, strength in ((8, 40), (64, 25), (256, 15), (SIZE, 2.5)):
        noise = rng.standard_normal((cells, cells, 3 if cells < SIZE else 1), np.float32) * strength
        image += cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC).reshape(SIZE, SIZE, -1)
    return np.clip(image + 110, 0, 255).astype(np.uint8)


def seconds_each(run: Callable[[int], object], times: int = 48) -> float:
    """Mean processor time of a call."""
    run(0)
    start = time.process_time()
    for i in range(times):
        run(i)
    return (time.process_time() - start) / times


def data_pipeline(workers: int = 2, images: int = 600) -> None:
    """Prints the speed of the loader and, for one thread, the share of each step."""
    pipeline = [
        LoadImageFromFile(),
        LoadAnnotations(),
        RandomFlip(prob=0.75, direction=["horizontal", "vertical", "diagonal"]),
        RandomRotate(prob=0.5),
    ]
    with tempfile.TemporaryDirectory() as folder:
        dataset = Patches(Path(folder), pipeline, images)
        weight = np.mean([path.stat().st_size for path in dataset.paths]) / 1e6
        batches = DefaultSampler().batches(dataset, 2, seed=0, epoch=0)
        steps = shares(dataset)
        runs = [epoch(dataset, batches, workers) for _ in range(3)]
    rate, work = max(rate for rate, _ in runs), min(work for _, work in runs)
    steps["reading files, handing over"] = max(work - sum(steps.values()), 0)
    print(f"{f'load {SIZE}² PNG patches of {weight:.1f} MB':<44} {rate:9.1f} images/s with {workers} workers")
    print(f"{'  if nothing else used two cores':<44} {2 / work:9.1f} images/s (at least 100)")
    for name, step in steps.items():
        print(f"{'  ' + name:<44} {step * 1e3:9.2f} ms {step / work:9.0%} of {work * 1e3:.1f} ms of a core")


def epoch(dataset: Patches, batches: list[list[Draw]], workers: int) -> tuple[float, float]:
    """Images a second of an epoch, after the first batch, and seconds of processor time that an image takes."""
    before = used()
    loader = iter(build_loader(dataset, batches, num_workers=workers))
    next(loader)
    start = time.perf_counter()
    count = sum(len(items) for items in loader)
    rate = count / (time.perf_counter() - start)
    del loader  # ends the workers, whose time counts then
    return rate, (used() - before) / len(dataset)


def used() -> float:
    """Seconds of processor time of this process and of those that it has started and that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def shares(dataset: Patches) -> dict[str, float]:
    """Seconds of processor time an image for each step of the pipeline."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    load, annotate, flip, rotate = dataset.transforms
    contents = [np.fromfile(path, np.uint8) for path in dataset.paths]
    samples = [annotate(load(Sample(dataset.record(i)), None), None) for i in range(FILES)]
    rng, images = np.random.default_rng(0), LoadedImages(dataset)
    decode = seconds_each(lambda i: cv2.imdecode(contents[i % FILES], cv2.IMREAD_COLOR))

    def turn(transform: Any, i: int) -> None:
        sample = samples[i % FILES]
        transform(Sample(sample.record, sample.image, sample.instances), rng)

    steps = {
        "PNG decode": decode,
        "flip": seconds_each(lambda i: turn(flip, i)),
        "rotate (every other image)": seconds_each(lambda i: turn(rotate, i)),
        "to tensors": seconds_each(lambda i: images.pack(samples[i % FILES])),
    }
    cv2.setNumThreads(threads[0])
    torch.set_num_threads(threads[1])
    return steps


if __name__ == "__main__":
    data_pipeline()
