"""A plug-in whose detector needs no training: it finds bright rectangles by their moments. And how to draw such."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rotx import geometry
from rotx.models import build_detector
from rotx.models.detectors import Detector
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances
from rotx.registry import register

#: Sub-pixels of a pixel, along each side.
FINE = 8


def picture(size: tuple[int, int], rboxes: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """An image (H, W, 3) with a rectangle in channel ``label`` for each box; pixel (0, 0) covers [0, 1) x [0, 1)."""
    height, width = size
    y, x = np.divide(np.mgrid[: height * FINE, : width * FINE] + 0.5, FINE)
    image = np.zeros((height, width, 3))
    for box, label in zip(rboxes, labels, strict=True):
        inside = geometry.points_in_boxes(np.stack([x.ravel(), y.ravel()], 1), box[None])
        share = inside.reshape(height, FINE, width, FINE).mean((1, 3))
        image[..., label] = np.maximum(image[..., label], 255 * share)
    return image.round().astype(np.uint8)


@register
class Pixels(nn.Module):
    """A backbone that gives the image itself."""

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (images,)


@register
class BrightHead(nn.Module):
    """Finds each bright rectangle; ``lying``: only those that are less than 30 degrees off the horizontal.

    A label for each channel: 0 is blue.
    """

    num_classes, box_kind, angle_version = 3, "rbox", "le90"

    def __init__(self, *, lying: bool = False) -> None:
        super().__init__()
        self.lying = lying
        self.threshold = nn.Parameter(torch.tensor(2.0))

    def forward(self, features: tuple[Tensor]) -> Tensor:
        return features[0]

    def decode(self, raw: Tensor, batch: Batch) -> Candidates:
        tables = [self._one(image[:, :h, :w].numpy()) for image, (h, w) in zip(raw, batch.sizes, strict=True)]
        rows = torch.full((len(tables), max(map(len, tables)), 7), -torch.inf)
        for into, table in zip(rows, tables, strict=True):
            into[: len(table)] = table
        return Candidates(rows[..., :5], rows[..., 5], rows[..., 6].long(), "rbox")

    def suppress(self, candidates: Candidates) -> list[Instances]:
        return candidates.instances()

    def _one(self, image: NDArray[np.float32]) -> Tensor:
        rows = []
        for label, channel in enumerate(image.astype(np.float64)):
            count, parts = cv2.connectedComponents((channel > self.threshold.item()).astype(np.uint8), connectivity=8)
            for part in range(1, count):
                y, x = np.nonzero(parts == part)
                weight = channel[y, x] / channel[y, x].sum()
                points = np.stack([x + 0.5, y + 0.5], 1)
                centre = weight @ points
                spread = np.cov(points.T, aweights=weight, ddof=0)
                variance, axes = np.linalg.eigh(spread)
                h, w = np.sqrt(12 * variance)
                angle = np.arctan2(axes[1, 1], axes[0, 1])
                if not self.lying or abs(np.sin(angle)) < 0.5:
                    # The larger the surer, so that scores tell objects apart.
                    rows.append((*centre, w, h, angle, w * h / 1e4, label))
        return torch.tensor(rows, dtype=torch.float32).reshape(-1, 7)


def bright_config(lying: bool = False) -> dict[str, Any]:
    """The ``model`` of a config."""
    head = {"type": "BrightHead", "lying": lying}
    preprocessor = {"type": "DetDataPreprocessor", "pad_size_divisor": 32}
    return {"type": "SingleStageDetector", "backbone": {"type": "Pixels"}, "bbox_head": head} | {
        "data_preprocessor": preprocessor
    }


def bright_detector(lying: bool = False) -> Detector:
    return build_detector(bright_config(lying)).eval()
