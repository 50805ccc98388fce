"""Composing a scene: the ground, the sites with their objects, the clutter, and the camera."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.datasets.synthetic.canvas import Canvas
from rotx.datasets.synthetic.grounds import add, clutter, coast, fields, texture
from rotx.datasets.synthetic.sites import harbour, pads, road

#: Least side of an image in pixels: the longest objects still fit.
LEAST_SIZE = 128
#: Fraction of images without any object.
EMPTY = 0.04


class Scene(NamedTuple):
    """An image and its objects.

    Attributes:
        image: (S, S, 3) uint8, BGR.
        quads: (M, 8) float64: corners in pixels, front left first, clockwise.
        labels: (M,) int64: indices into ``CLASSES``.
        difficult: (M,) uint8: 1 for objects that are hardly visible.
    """

    image: NDArray[np.uint8]
    quads: NDArray[np.float64]
    labels: NDArray[np.int64]
    difficult: NDArray[np.uint8]


def make_scene(rng: np.random.Generator, size: int = 512) -> Scene:
    """Draws a scene of ``size`` × ``size`` pixels; objects are 16 to 110 pixels long whatever the size.

    Raises:
        ValueError: If ``size`` is below 128.
    """
    if size < LEAST_SIZE:
        raise ValueError(f"size: {size} pixels are too few for the objects; need {LEAST_SIZE} or more")
    canvas = Canvas.blank(size, rng)
    fields(canvas)
    if not canvas.chance(EMPTY):
        shore = coast(canvas) if canvas.chance(0.65) else None
        if canvas.chance(0.4):
            road(canvas)
        if shore is not None:
            harbour(canvas, shore)
        pads(canvas)
    clutter(canvas)
    camera(canvas)
    quads = np.array(canvas.quads, np.float64).reshape(-1, 8)
    return Scene(canvas.image, quads, np.array(canvas.labels, np.int64), np.array(canvas.difficult, np.uint8))


def camera(canvas: Canvas) -> None:
    """Adds uneven light, slight blur, and grain."""
    add(canvas, texture(canvas, 3, 12), 12)
    cv2.GaussianBlur(canvas.image, (3, 3), 0.5, canvas.image)
    side = (canvas.size, canvas.size)
    grain = canvas.rng.integers(0, 8, side, dtype=np.uint8) + canvas.rng.integers(0, 8, side, dtype=np.uint8)
    add(canvas, grain, 7)
