"""A detector on a dataset: predictions of every process's share, gathered, and scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from tqdm import tqdm

from rotx.annotations.formats import Annotations, Detections
from rotx.datasets.loader import Item, Samples, build_loader
from rotx.datasets.samplers import DefaultSampler
from rotx.evaluation.metrics import Metric
from rotx.evaluation.score import Evaluation
from rotx.images.window_cache import reading_order
from rotx.inference.predictor import in_file, join
from rotx.inference.tta import View, predict_views
from rotx.models.detectors import Detector
from rotx.records import Instances


class Annotated(Samples, Protocol):
    """What evaluation needs of a dataset."""

    notices: list[str]

    def annotations(self) -> Annotations:
        """Of all its images, in the order of its records."""


class Predicted(NamedTuple):
    """What was found in an image, best first, in pixels of its file.

    Attributes:
        name: of the image.
        rboxes: (N, 5) float64, le90.
        scores: (N,) float64.
        labels: (N,) int64.
        skipped: why the image could not be read; empty if it could.
    """

    name: str
    rboxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    skipped: tuple[str, ...] = ()


def predict(
    detector: Detector,
    loader: Iterable[Sequence[Item]],
    device: torch.device | str,
    *,
    tta: Sequence[View] | None = None,
    progress: bool = True,
) -> list[Predicted]:
    """What a detector finds in the images of a loader, in their order.

    An image that cannot be read has no detections and says why. The detector's mode is put back afterwards.

    Args:
        detector: on ``device``.
        loader: gives lists of items, as `rotx.datasets.loader.build_loader` makes it.
        device: that the detector is on.
        tta: views to see each image in; None: as it is.
        progress: whether to show a bar.
    """
    training = detector.training
    detector.eval()
    found: list[Predicted] = []
    try:
        with torch.no_grad():
            for items in tqdm(loader, desc="evaluate", unit="batch", disable=not progress, leave=False):
                found += _predict_batch(detector, items, device, tta)
    finally:
        detector.train(training)
    return found


def _predict_batch(
    detector: Detector, items: Sequence[Item], device: torch.device | str, tta: Sequence[View] | None
) -> list[Predicted]:
    read = [item for item in items if item.image.numel()]
    images = [item.image.to(device) for item in read]
    answers = iter(_answers(detector, images, tta) if images else ())
    found = []
    for item in items:
        if item.image.numel():
            found.append(Predicted(item.name, *in_file(next(answers), item.factors)))
        else:
            nothing = np.zeros((0, 5)), np.zeros(0), np.zeros(0, np.int64)
            found.append(Predicted(item.name, *nothing, tuple(item.skipped)))
    return found


def _answers(detector: Detector, images: list[Tensor], tta: Sequence[View] | None) -> list[Instances]:
    if tta is not None:
        return predict_views(detector, images, tta)
    return detector.predict(detector.data_preprocessor(images))


def detect(
    detector: Detector,
    dataset: Annotated,
    *,
    device: torch.device | str,
    batch_size: int,
    num_workers: int,
    tta: Sequence[View] | None = None,
    score_thr: float = 0.0,
    progress: bool = True,
) -> Detections:
    """The detections on all images of a dataset, for evaluation and result files.

    Under ``torch.distributed`` each process predicts on its share of the images, and all of them get everything.

    Args:
        detector: on ``device``.
        dataset: in test mode.
        device: that the detector is on.
        batch_size: images at a time, in each process.
        num_workers: processes that read images, for each process; 0: none.
        tta: views to see each image in; None: as it is.
        score_thr: detections that score less are left out.
        progress: whether the first process shows a bar.

    Raises:
        ValueError: if two images have one name.
    """
    together = distributed.is_available() and distributed.is_initialized()
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if together else (0, 1)
    records = [dataset.record(i) for i in range(len(dataset))]
    images = [record.name for record in records]
    if len(set(images)) < len(images):
        twice = next(name for i, name in enumerate(images) if name in images[:i])
        raise ValueError(f"image '{twice}' is in the dataset twice: nothing tells its detections apart")
    sampler = DefaultSampler(shuffle=False, round_up=False)
    order = reading_order(records)
    batches = [
        [draw._replace(index=order[draw.index]) for draw in batch]
        for batch in sampler.batches(dataset, batch_size, seed=0, epoch=0, rank=rank, world=world)
    ]
    loader = build_loader(dataset, batches, num_workers=num_workers, seed=0)
    mine = [_above(p, score_thr) for p in predict(detector, loader, device, tta=tta, progress=progress and rank == 0)]
    shards: list[Any] = [mine] * world
    if world > 1:
        distributed.all_gather_object(shards, mine)
    by_name = {predicted.name: predicted for shard in shards for predicted in shard}
    found = [by_name[name] for name in images]  # in one order, however they were shared out
    skipped = [reason for predicted in found for reason in predicted.skipped]
    notices = []
    if skipped:
        count = f"{len(skipped):,} of {len(images):,} images"
        notices.append(f"{count} could not be read, their objects count as missed; first {skipped[0]}")
    joined = join([p[:4] for p in found], images, dataset.classes)
    return replace(joined, skipped={"unreadable image": len(skipped)} if skipped else {}, notices=notices)


def _above(predicted: Predicted, score_thr: float) -> Predicted:
    keep = predicted.scores >= score_thr
    arrays = (predicted.rboxes[keep], predicted.scores[keep], predicted.labels[keep])
    return Predicted(predicted.name, *arrays, predicted.skipped)


def evaluate_detector(
    detector: Detector,
    dataset: Annotated,
    metric: Metric,
    *,
    device: torch.device | str,
    batch_size: int,
    num_workers: int,
    tta: Sequence[View] | None = None,
    progress: bool = True,
) -> tuple[Evaluation, Detections]:
    """Scores a detector on a dataset; the arguments are those of :func:`detect`. Every process gets the result."""
    detections = detect(
        detector,
        dataset,
        device=device,
        batch_size=batch_size,
        num_workers=num_workers,
        tta=tta,
        progress=progress,
    )
    return metric.evaluate(dataset.annotations(), detections), detections
