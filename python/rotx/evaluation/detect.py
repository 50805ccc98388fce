"""Runs a detector on a dataset, distributed over processes, and scores the detections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import distributed
from tqdm import tqdm

from rotx.datasets.loader import LoadedImage, SampleSource, build_loader
from rotx.datasets.samplers import DefaultSampler
from rotx.evaluation.metrics import Metric
from rotx.images.window_cache import reading_order
from rotx.models.detectors import Detector
from rotx.models.predict import predict_images
from rotx.models.tta import View
from rotx.records import ImageRecord, Instances, InstanceTable, concatenate


class Annotated(SampleSource, Protocol):
    """Interface of datasets that can be evaluated."""

    notices: list[str]

    def annotations(self) -> InstanceTable:
        """Returns the objects of all images, in the order of the dataset's records."""


def predict(
    detector: Detector,
    loader: Iterable[Sequence[LoadedImage]],
    device: torch.device | str,
    *,
    tta: Sequence[View] | None = None,
    amp: bool = False,
    progress: bool = True,
) -> tuple[list[ImageRecord], dict[str, str]]:
    """Runs a detector on the images of a loader, in evaluation mode; restores the detector's mode afterwards.

    Args:
        detector: Detector on ``device``.
        loader: Loader that yields lists of images, from `rotx.datasets.loader.build_loader`.
        device: Device of the detector.
        tta: Views for test-time augmentation; None: only the image itself.
        amp: Whether to use autocast.
        progress: Whether to show a progress bar.

    Returns:
        The detections of each image, in the loader's order, best first, in pixels of its file; and, by name, the
        reasons why images could not be read. Unreadable images have no detections.
    """
    training = detector.training
    detector.eval()
    records: list[ImageRecord] = []
    skipped: dict[str, str] = {}
    try:
        for items in tqdm(loader, desc="evaluate", unit="batch", disable=not progress or None, leave=False):
            readable = [item for item in items if item.image.numel()]
            images, matrices = [item.image for item in readable], [item.matrix for item in readable]
            found = iter(predict_images(detector, images, matrices, device, views=tta, amp=amp))
            for item in items:
                instances = next(found).paste(*item.size) if item.image.numel() else _nothing()
                records.append(ImageRecord(item.name, item.path, instances, item.size))
                if not item.image.numel():
                    skipped[item.name] = item.skipped[0]
    finally:
        detector.train(training)
    return records, skipped


def detect(
    detector: Detector,
    dataset: Annotated,
    *,
    device: torch.device | str,
    batch_size: int,
    num_workers: int,
    tta: Sequence[View] | None = None,
    score_thr: float = 0.0,
    amp: bool = False,
    progress: bool = True,
) -> InstanceTable:
    """Returns the detections in all images of a dataset, for evaluation and result files.

    Under ``torch.distributed`` each process predicts on its share of the images, and all processes get all detections.

    Args:
        detector: Detector on ``device``.
        dataset: Dataset in test mode.
        device: Device of the detector.
        batch_size: Number of images per batch and process.
        num_workers: Number of loader workers per process; 0: images are loaded in the process itself.
        tta: Views for test-time augmentation; None: only the image itself.
        score_thr: Lowest score of the detections to return.
        amp: Whether to use autocast.
        progress: Whether the first process shows a progress bar.

    Raises:
        ValueError: If two images have the same name.
    """
    together = distributed.is_available() and distributed.is_initialized()
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if together else (0, 1)
    records = [dataset.record(i) for i in range(len(dataset))]
    images = [record.name for record in records]
    if len(set(images)) < len(images):
        twice = next(name for i, name in enumerate(images) if name in images[:i])
        raise ValueError(f"image '{twice}' is in the dataset twice: rename one, so that detections can be assigned")
    sampler = DefaultSampler(shuffle=False, round_up=False)
    order = reading_order(records)
    batches = [
        [draw._replace(index=order[draw.index]) for draw in batch]
        for batch in sampler.batches(dataset, batch_size, seed=0, epoch=0, rank=rank, world=world)
    ]
    loader = build_loader(dataset, batches, num_workers=num_workers, seed=0)
    mine, failed = predict(detector, loader, device, tta=tta, amp=amp, progress=progress and rank == 0)
    mine = [replace(r, instances=r.instances[r.instances.scores >= score_thr]) for r in mine]
    shards: list[Any] = [(mine, failed)] * world
    if world > 1:
        distributed.all_gather_object(shards, (mine, failed))
    # In the dataset's order, however the images were distributed.
    by_name = {record.name: record.instances for found, _ in shards for record in found}
    reasons = {name: reason for _, failed in shards for name, reason in failed.items()}
    skipped = [reasons[name] for name in images if name in reasons]
    notices = []
    if skipped:
        count = f"{len(skipped):,} of {len(images):,} images"
        notices.append(f"{count} could not be read; their objects count as missed; first: {skipped[0]}")
    joined = join([by_name[name] for name in images], images, dataset.classes)
    return replace(joined, skipped={"unreadable image": len(skipped)} if skipped else {}, notices=notices)


def evaluate_detector(
    detector: Detector,
    dataset: Annotated,
    metric: Metric,
    *,
    device: torch.device | str,
    batch_size: int,
    num_workers: int,
    tta: Sequence[View] | None = None,
    amp: bool = False,
    progress: bool = True,
) -> tuple[Any, InstanceTable]:
    """Scores a detector on a dataset; the arguments are those of :func:`detect`. Every process gets the result."""
    detections = detect(
        detector,
        dataset,
        device=device,
        batch_size=batch_size,
        num_workers=num_workers,
        tta=tta,
        amp=amp,
        progress=progress,
    )
    return metric.evaluate(dataset.annotations(), detections), detections


def join(found: Sequence[Instances], images: Sequence[str], classes: Sequence[str]) -> InstanceTable:
    """Concatenates the objects found in several images to one table, for evaluation and result files.

    Args:
        found: Objects of each image.
        images: Names of the images.
        classes: Class names in the order of the labels.
    """
    parts = [one for one in found if len(one)]
    objects = concatenate(parts) if parts else _nothing()
    return InstanceTable(
        images=list(images),
        classes=list(classes),
        boxes=objects.boxes,
        kind=objects.kind,
        scores=objects.scores,
        masks=objects.file_masks,
        image=np.repeat(np.arange(len(images), dtype=np.int32), [len(one) for one in found]),
        label=objects.labels.astype(np.int32),
    )


def _nothing() -> Instances:
    return replace(Instances.empty("rbox"), scores=np.zeros(0))
