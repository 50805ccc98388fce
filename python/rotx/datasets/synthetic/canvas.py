"""The canvas of a scene: the image, a map of the ground, and the objects placed so far."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Points (P, 2): x, y in pixels."""
Colour = tuple[int, int, int]
"""Blue, green, red."""

#: Fraction bits of cv2's fixed-point coordinates; integers give the same pixels on every machine.
SHIFT = 4


class Zone(IntEnum):
    """Kinds of ground; each class of objects stands on one kind."""

    LAND = 0
    WATER = 1
    ROAD = 2
    PAD = 3
    TAKEN = 4


@dataclass(frozen=True)
class Pose:
    """A local coordinate frame: its origin in pixels, and its x axis rotated by ``angle`` radians, clockwise."""

    x: float
    y: float
    angle: float

    def at(self, points: Iterable[tuple[float, float]]) -> Points:
        """Maps points of the frame to points (P, 2) of the image."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return np.array([(self.x + px * cos - py * sin, self.y + px * sin + py * cos) for px, py in points])

    def moved(self, px: float, py: float, turn: float = 0.0) -> Pose:
        """Returns a frame with its origin at a point of this one, rotated by ``turn`` radians."""
        ((x, y),) = self.at([(px, py)]).tolist()
        return Pose(x, y, self.angle + turn)

    def rectangle(self, length: float, width: float) -> Points:
        """Corners (4, 2) of the rectangle centred on the origin."""
        x, y = length / 2, width / 2
        return self.at([(-x, -y), (x, -y), (x, y), (-x, y)])

    def disc(self, radius: float, corners: int = 24) -> Points:
        """Points (P, 2) of the circle around the origin."""
        turns = [2 * math.pi * i / corners for i in range(corners)]
        return self.at([(radius * math.cos(t), radius * math.sin(t)) for t in turns])


@dataclass
class Canvas:
    """A square image that is being painted.

    Attributes:
        rng: Generator of all random choices.
        image: (S, S, 3) uint8, BGR.
        zone: (S, S) uint8, the `Zone` of each pixel.
        sun: Offset of shadows, in pixels per pixel of height.
        quads, labels, difficult: Annotations of the objects placed so far.
    """

    rng: np.random.Generator
    image: NDArray[np.uint8]
    zone: NDArray[np.uint8]
    sun: tuple[float, float]
    quads: list[Points] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    difficult: list[int] = field(default_factory=list)

    @classmethod
    def blank(cls, size: int, rng: np.random.Generator) -> Canvas:
        """Returns a black canvas, all land."""
        turn = rng.uniform(0, 2 * math.pi)
        image, zone = np.zeros((size, size, 3), np.uint8), np.full((size, size), Zone.LAND, np.uint8)
        return cls(rng, image, zone, (math.cos(turn), math.sin(turn)))

    @property
    def size(self) -> int:
        """Side of the image in pixels."""
        return int(self.image.shape[0])

    def chance(self, probability: float) -> bool:
        """Draws True with a probability."""
        return bool(self.rng.random() < probability)

    def between(self, low: float, high: float) -> float:
        """Draws a number uniformly."""
        return float(self.rng.uniform(low, high))

    def anywhere(self) -> Pose:
        """Draws a pose uniformly over the image and all directions."""
        return Pose(self.between(0, self.size), self.between(0, self.size), self.between(0, 2 * math.pi))

    def colour(self, *choices: Colour, spread: int = 10) -> Colour:
        """Draws one of the colours, with small random changes of lightness and of each channel."""
        base = choices[int(self.rng.integers(len(choices)))]
        shift = int(self.rng.integers(-spread, spread + 1))
        blue, green, red = (int(self.rng.integers(-spread // 3, spread // 3 + 1)) + shift + c for c in base)
        return lighter((blue, green, red), 0)

    def paint(self, points: Points, colour: Colour, alpha: float = 1.0) -> None:
        """Fills an anti-aliased polygon, whose edges reach slightly beyond it; ``alpha`` is rounded to sixteenths."""
        window = self._window(points, margin=2)
        if window is None:
            return
        view, offset = self.image[window], (window[1].start, window[0].start)
        if alpha >= 1:
            cv2.fillPoly(view, [_fixed(points - offset)], colour, cv2.LINE_AA, SHIFT)
            return
        # With sixteenths, products are exact with and without fused multiply-add.
        weight = round(alpha * 16) / 16
        filled = cv2.fillPoly(view.copy(), [_fixed(points - offset)], colour, cv2.LINE_AA, SHIFT)
        cv2.addWeighted(filled, weight, view, 1 - weight, 0, view)

    def line(self, points: Points, colour: Colour, thickness: int = 1, closed: bool = False) -> None:
        """Draws a polyline."""
        cv2.polylines(self.image, [_fixed(points)], closed, colour, thickness, cv2.LINE_AA, SHIFT)

    def shadow(self, points: Points, height: float) -> None:
        """Paints the shadow of something of this shape and height."""
        self.paint(points + np.array(self.sun) * height, (20, 18, 16), 0.5)

    def claim(self, points: Points, zone: Zone) -> None:
        """Marks a polygon as a kind of ground."""
        cv2.fillPoly(self.zone, [_fixed(points)], int(zone), cv2.LINE_8, SHIFT)

    def fits(self, points: Points, zone: Zone, inside: bool = True) -> bool:
        """Whether all of a polygon is one kind of ground and, with ``inside``, lies in the image."""
        if inside and not (points.min() >= 0 and points.max() <= self.size - 1):
            return False
        window = self._window(points, margin=0)
        # Most misfits are found at the first corner.
        if window is None or self.ground(*points[0].tolist()) not in (zone, None):
            return False
        other = self.zone[window] != zone
        offset = (window[1].start, window[0].start)
        mask = cv2.fillPoly(np.zeros(other.shape, np.uint8), [_fixed(points - offset)], 1, cv2.LINE_8, SHIFT)
        return not bool((mask.view(bool) & other).any())

    def ground(self, x: float, y: float) -> Zone | None:
        """Kind of ground at a point; None outside the image."""
        column, row = round(x), round(y)
        inside = 0 <= column < self.size and 0 <= row < self.size
        return Zone(int(self.zone[row, column])) if inside else None

    def _window(self, points: Points, margin: int) -> tuple[slice, slice] | None:
        """Rows and columns that a polygon touches, or None if it is outside."""
        x0, y0 = (max(0, math.floor(v) - margin) for v in points.min(axis=0).tolist())
        x1, y1 = (min(self.size, math.ceil(v) + margin + 1) for v in points.max(axis=0).tolist())
        return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


def lighter(colour: Colour, by: int) -> Colour:
    """Returns the colour with ``by`` added to each channel."""
    blue, green, red = (min(255, max(0, c + by)) for c in colour)
    return blue, green, red


def _fixed(points: Points) -> NDArray[np.int32]:
    return np.rint(points * (1 << SHIFT)).astype(np.int32)
