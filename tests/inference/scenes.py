"""A detector that needs no training, as files that `rotx predict` takes, and images with objects that it finds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bright import picture
from rotx import config, geometry
from rotx.models import build_detector

Floats = NDArray[np.float64]

CLASSES = ("blue", "green", "red")


def write_model(folder: Path, head: str = "BrightHead") -> list[str]:
    """The config and checkpoint of a detector of bright rectangles."""
    preprocessor = {"type": "DetDataPreprocessor", "pad_size_divisor": 32}
    model = {"type": "SingleStageDetector", "backbone": {"type": "Pixels"}, "bbox_head": {"type": head}}
    model |= {"data_preprocessor": preprocessor}
    (folder / "model.py").write_text(config.dumps({"model": model}))
    meta = {"dataset_meta": {"classes": CLASSES}}
    torch.save({"meta": meta, "state_dict": build_detector(model).state_dict()}, folder / "model.pth")
    return [str(folder / "model.py"), str(folder / "model.pth")]


def planted(size: tuple[int, int], seed: int = 0, cell: int = 40) -> tuple[Floats, NDArray[np.int64]]:
    """Boxes (N, 5) of up to 30 pixels and their labels, one in the midst of each cell of a (height, width)."""
    rng = np.random.default_rng(seed)
    height, width = size
    corners = [(x, y) for y in range(0, height - cell + 1, cell) for x in range(0, width - cell + 1, cell)]
    centres = np.array(corners) + cell / 2
    count = len(corners)
    w = rng.uniform(16, 30, count)
    shift = rng.uniform(-2, 2, (count, 2))
    sides = np.column_stack([w, w * rng.uniform(0.3, 0.6, count), rng.uniform(-np.pi / 2, np.pi / 2, count)])
    return np.column_stack([centres + shift, sides]), rng.integers(3, size=count)


def write_scene(path: Path, size: tuple[int, int], seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Writes an image with such objects; gives them."""
    boxes, labels = planted(size, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), scene(size, boxes, labels))
    return boxes, labels


def scene(size: tuple[int, int], boxes: Floats, labels: NDArray[np.int64], cell: int = 40) -> NDArray[np.uint8]:
    """As `bright.picture` draws it, cell by cell."""
    image = np.zeros((*size, 3), np.uint8)
    for box, label in zip(boxes, labels, strict=True):
        x, y = (int(v // cell) * cell for v in box[:2])
        moved = box - [x, y, 0, 0, 0]
        image[y : y + cell, x : x + cell] = picture((cell, cell), moved[None], np.array([label]))
    return image


def missed_or_doubled(found: Floats, labels: NDArray[np.int64], truth: tuple[Floats, NDArray[np.int64]]) -> int:
    """How many planted objects do not stand for exactly one detection of their class, or the other way round."""
    same = (geometry.box_iou(found, truth[0]) > 0.8) & (labels[:, None] == truth[1])
    return int((same.sum(0) != 1).sum() + (same.sum(1) != 1).sum())
