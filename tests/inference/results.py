"""Made-up results, for tests of what writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rotx.records import ImageRecord, Instances

CLASSES = ("plane", "small-vehicle", "ship")


def objects(number: int, size: tuple[int, int], seed: int = 0, labels: int = 3) -> Instances:
    """Random objects in and around an image of a width and height, best first."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-0.1, 1.1, (number, 2)) * size
    sides = np.sort(rng.uniform(1, 60, (number, 2)), axis=1)[:, ::-1]
    rboxes = np.column_stack([centres, sides, rng.uniform(-np.pi / 2, np.pi / 2, number)])
    label = rng.integers(0, labels, number)
    return Instances(rboxes, "rbox", label, scores=-np.sort(-rng.random(number)))


def result(
    name: str,
    number: int = 20,
    size: tuple[int, int] = (640, 512),
    seed: int = 0,
    labels: int = 3,
    file: Path | None = None,
) -> ImageRecord:
    """Random objects of an image; without a file, of one that is not there."""
    return ImageRecord(name, file or Path("in", f"{name}.png"), objects(number, size, seed, labels), size[::-1])
