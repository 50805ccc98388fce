"""What a detector finds in images, in pixels of their files: one function for predicting and for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from rotx import boxes
from rotx.boxes.move import Matrix
from rotx.datasets.loader import Item
from rotx.models.detectors import Detector
from rotx.models.tta import View, predict_plain, predict_views
from rotx.records import Instances

#: Number format of autocast, by the type of the device.
AMP_DTYPES = {"cuda": torch.float16, "cpu": torch.bfloat16}


@torch.no_grad()
def predict_items(
    detector: Detector,
    items: Sequence[Item],
    device: torch.device | str,
    *,
    views: Sequence[View] | None = None,
    amp: bool = False,
) -> list[Instances]:
    """Runs a detector on a batch of images.

    Images of unequal sizes are padded to one, at the right and below.

    Args:
        detector: Detector in evaluation mode, on ``device``.
        items: Images after the test pipeline.
        device: Device of the detector.
        views: Views to see each image in; None: as it is.
        amp: Whether to compute with autocast, in float16 on CUDA and bfloat16 on the CPU.

    Returns:
        The objects of each image as numpy arrays, best first, in pixels of its file: boxes float64 (rboxes as le90),
        scores float64, labels int64.
    """
    if not items:
        return []
    device = torch.device(device)
    images = [item.image.to(device) for item in items]
    dtype = AMP_DTYPES.get(device.type, torch.bfloat16)
    with torch.autocast(device.type, dtype, enabled=amp):
        found = predict_plain(detector, images) if views is None else predict_views(detector, images, views)
    return [in_file(one, boxes.scale_matrix(*item.factors)) for one, item in zip(found, items, strict=True)]


def in_file(found: Instances, matrix: Matrix) -> Instances:
    """Objects that were found in an image, as numpy arrays in pixels of the image's file.

    Args:
        found: Objects in pixels of the image that the detector saw.
        matrix: The move (3, 3) from pixels of the file to pixels of that image.
    """
    arrays = found.numpy()
    exact = replace(arrays, boxes=arrays.boxes.astype(np.float64), scores=arrays.scores.astype(np.float64))
    moved = exact.move(np.linalg.inv(matrix))
    return replace(moved, boxes=boxes.regularize(moved.boxes, "le90")) if moved.kind == "rbox" else moved
