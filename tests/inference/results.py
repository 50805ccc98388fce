"""Made-up results, for tests of what writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rotx.inference.outputs import Result
from rotx.inference.prediction import Prediction

CLASSES = ("plane", "small-vehicle", "ship")


def prediction(name: str, number: int, size: tuple[int, int], seed: int = 0, labels: int = 3) -> Prediction:
    """Random objects in and around an image of a width and height, best first."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-0.1, 1.1, (number, 2)) * size
    sides = np.sort(rng.uniform(1, 60, (number, 2)), axis=1)[:, ::-1]
    rboxes = np.column_stack([centres, sides, rng.uniform(-np.pi / 2, np.pi / 2, number)])
    label = rng.integers(0, labels, number)
    return Prediction(name, rboxes, -np.sort(-rng.random(number)), label, tuple(CLASSES[i] for i in label))


def result(
    name: str,
    number: int = 20,
    size: tuple[int, int] = (640, 512),
    seed: int = 0,
    labels: int = 3,
    file: Path | None = None,
) -> Result:
    """Random objects of an image; without a file, of one that is not there."""
    return Result(file or Path("in", f"{name}.png"), name, *size, prediction(name, number, size, seed, labels))
