"""Runs a detector on images and returns the objects in pixels of their files; prediction and evaluation share this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rotx import boxes
from rotx.boxes.move import Matrix
from rotx.models.detectors import Detector
from rotx.models.tta import View, predict_plain, predict_views
from rotx.records import Instances

#: dtype of autocast for each type of device.
AMP_DTYPES = {"cuda": torch.float16, "cpu": torch.bfloat16}


@torch.no_grad()
def predict_images(
    detector: Detector,
    images: Sequence[Tensor],
    matrices: Sequence[Matrix],
    device: torch.device | str,
    *,
    views: Sequence[View] | None = None,
    amp: bool = False,
) -> list[Instances]:
    """Runs a detector on images.

    Images of one size are one batch. Padding to the largest image of a batch would change what the detector sees at the
    borders of the others, so images of different sizes are batches of their own: results do not depend on the batch.

    Args:
        detector: Detector in evaluation mode, on ``device``.
        images: BGR images (3, H, W) after the test pipeline.
        matrices: Transform (3, 3) of each image from pixels of its file to its own pixels.
        device: Device of the detector.
        views: Views for test-time augmentation; None: only the image itself.
        amp: Whether to use autocast, with float16 on CUDA and bfloat16 on the CPU.

    Returns:
        The objects of each image as numpy arrays, best first, in pixels of its file: boxes float64 (rboxes as le90),
        scores float64, labels int64, masks within their boxes.
    """
    if not images:
        return []
    device = torch.device(device)
    there = [image.to(device) for image in images]
    sizes: dict[torch.Size, list[int]] = {}
    for i, image in enumerate(there):
        sizes.setdefault(image.shape, []).append(i)
    found: dict[int, Instances] = {}
    with torch.autocast(device.type, AMP_DTYPES.get(device.type, torch.bfloat16), enabled=amp):
        for places in sizes.values():
            batch = [there[i] for i in places]
            objects = predict_plain(detector, batch) if views is None else predict_views(detector, batch, views)
            found.update(zip(places, objects, strict=True))
    return [_in_file(found[i], matrix) for i, matrix in enumerate(matrices)]


def _in_file(found: Instances, matrix: Matrix) -> Instances:
    """Converts the objects of an image to numpy arrays in pixels of its file."""
    arrays = found.numpy()
    exact = replace(arrays, boxes=arrays.boxes.astype(np.float64), scores=arrays.scores.astype(np.float64))
    moved = exact.move(np.linalg.inv(matrix))
    return replace(moved, boxes=boxes.regularize(moved.boxes, "le90")) if moved.kind == "rbox" else moved
