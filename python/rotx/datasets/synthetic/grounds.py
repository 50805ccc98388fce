"""The background of the scenes: fields, water, buildings, trees."""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.datasets.synthetic.canvas import Canvas, Colour, Points, Pose, Zone, lighter

SOILS: tuple[tuple[Colour, ...], ...] = (
    ((60, 105, 80), (70, 125, 105), (55, 90, 70), (85, 130, 125), (90, 120, 140)),  # green
    ((105, 140, 165), (95, 125, 150), (120, 155, 175), (80, 120, 120)),  # dry
    ((75, 95, 100), (85, 105, 115), (60, 85, 80), (95, 115, 110)),  # dull
)


def texture(canvas: Canvas, cells: int, amplitude: int) -> NDArray[np.uint8]:
    """Smooth noise (S, S) in 0 .. 2·amplitude, with ``cells`` cells per side."""
    coarse = canvas.rng.integers(0, 2 * amplitude + 1, (cells, cells), dtype=np.uint8)
    # INTER_LINEAR_EXACT gives the same bytes on every processor.
    side = (canvas.size, canvas.size)
    return np.asarray(cv2.resize(coarse, side, interpolation=cv2.INTER_LINEAR_EXACT), np.uint8)


def add(canvas: Canvas, values: NDArray[np.uint8], amplitude: int) -> None:
    """Adds noise, less its mean ``amplitude``, to all channels."""
    cv2.addWeighted(canvas.image, 1, cv2.merge([values] * 3), 1, -amplitude, canvas.image)


def fields(canvas: Canvas) -> None:
    """Paints parcels of one kind of soil, some with furrows, and their texture."""
    soil = SOILS[int(canvas.rng.integers(len(SOILS)))]
    canvas.image[:] = canvas.colour(*soil)
    frame = Pose(canvas.size / 2, canvas.size / 2, canvas.between(0, math.pi))
    columns, rows = _cuts(canvas), _cuts(canvas)
    for left, right in pairwise(columns):
        for top, bottom in pairwise(rows):
            if canvas.chance(0.3):
                continue
            colour = canvas.colour(*soil, spread=14)
            corners = [(left, top), (right - 3, top), (right - 3, bottom - 3), (left, bottom - 3)]
            canvas.paint(frame.at(corners), colour)
            if canvas.chance(0.35):
                dark, step = lighter(colour, -14), int(canvas.rng.integers(5, 10))
                for x in range(math.ceil(left) + step, math.floor(right) - 3, step):
                    canvas.line(frame.at([(x, top), (x, bottom - 3)]), dark)
    add(canvas, texture(canvas, max(2, canvas.size // 48), 14), 14)
    add(canvas, texture(canvas, max(2, canvas.size // 8), 9), 9)


def _cuts(canvas: Canvas) -> list[float]:
    """Boundaries of parcels along one axis, from the centre of the image."""
    cuts = [-0.75 * canvas.size]
    while cuts[-1] < 0.75 * canvas.size:
        cuts.append(cuts[-1] + canvas.between(70, 190))
    return cuts


def coast(canvas: Canvas) -> Pose:
    """Paints water on one side of the image; returns a frame on the shore whose y axis points to the sea."""
    frame = Pose(canvas.size / 2, canvas.size / 2, canvas.between(0, 2 * math.pi))
    shore = frame.moved(0, canvas.between(-0.15, 0.2) * canvas.size)
    steps = np.linspace(-canvas.size, canvas.size, 2 * canvas.size // 36)
    wander = canvas.rng.uniform(-9, 9, len(steps))
    edge = [(float(x), float(y)) for x, y in zip(steps, wander, strict=True)]
    far = [(float(canvas.size), 2.0 * canvas.size), (-float(canvas.size), 2.0 * canvas.size)]
    water = shore.at(edge + far)
    colour = canvas.colour((110, 80, 45), (95, 85, 40), (85, 75, 55), (80, 60, 30))
    canvas.line(shore.at(edge), canvas.colour((150, 185, 200), (120, 140, 150)), 11)
    canvas.paint(water, colour)
    canvas.line(shore.at([(x, y + 5) for x, y in edge]), lighter(colour, 14), 7)
    canvas.claim(water, Zone.WATER)
    canvas.claim(shore.at([(x, y - 8) for x, y in edge] + [(x, y + 8) for x, y in reversed(edge)]), Zone.TAKEN)
    direction = canvas.between(0, math.pi)
    for _ in range(canvas.size * canvas.size // 1800):
        wave = Pose(canvas.between(0, canvas.size), canvas.between(0, canvas.size), direction)
        if canvas.ground(wave.x, wave.y) == Zone.WATER:
            crest = wave.at([(0, 0), (canvas.between(5, 12), 0)])
            canvas.line(crest, lighter(colour, int(canvas.rng.integers(8, 24))))
    return shore


def rocks(canvas: Canvas) -> None:
    """Paints islets, buoys and white caps, which resemble ships."""
    for _ in range(int(canvas.rng.integers(1, 3 + canvas.size // 128))):
        pose, radius = canvas.anywhere(), canvas.between(3, 15)
        shape = blob(canvas, pose, radius)
        if canvas.fits(shape, Zone.WATER):
            canvas.paint(
                shape, canvas.colour((150, 150, 120), (90, 110, 115), (200, 200, 190), (60, 90, 80), spread=14)
            )
            canvas.paint(blob(canvas, pose, 0.6 * radius), canvas.colour((80, 110, 110), (70, 90, 90)), 0.5)
            canvas.claim(shape, Zone.TAKEN)


def blob(canvas: Canvas, pose: Pose, radius: float, corners: int = 11) -> Points:
    """Points (P, 2) of an irregular circle."""
    turns = [2 * math.pi * i / corners for i in range(corners)]
    radii = (canvas.rng.uniform(0.78, 1.1, corners) * radius).tolist()
    return pose.at([(r * math.cos(t), r * math.sin(t)) for r, t in zip(radii, turns, strict=True)])


def building(canvas: Canvas, pose: Pose, length: float, width: float) -> bool:
    """Paints a roof with its shadow; returns whether there was free land."""
    shape = pose.rectangle(length, width)
    if not canvas.fits(pose.rectangle(length + 6, width + 6), Zone.LAND, inside=False):
        return False
    canvas.shadow(shape, canvas.between(4, 9))
    roof = canvas.colour((60, 75, 145), (120, 120, 125), (175, 180, 180), (85, 90, 105), (110, 85, 70), spread=16)
    canvas.paint(shape, roof)
    if canvas.chance(0.6):  # a gable
        canvas.paint(pose.moved(0, width / 4).rectangle(length, width / 2), lighter(roof, -28))
    else:  # a flat roof with machines
        canvas.line(pose.rectangle(length - 3, width - 3), lighter(roof, 25), closed=True)
        for _ in range(int(canvas.rng.integers(1, 4))):
            spot = pose.moved(canvas.between(-0.35, 0.35) * length, canvas.between(-0.3, 0.3) * width)
            canvas.paint(spot.rectangle(5, 4), lighter(roof, -50))
    canvas.claim(shape, Zone.TAKEN)
    return True


def tree(canvas: Canvas, pose: Pose, radius: float) -> bool:
    """Paints a round crown with its shadow; returns whether there was free land."""
    if not canvas.fits(pose.rectangle(2 * radius, 2 * radius), Zone.LAND, inside=False):
        return False
    crown = canvas.colour((35, 70, 45), (45, 85, 65), (40, 95, 80), (30, 60, 40))
    canvas.shadow(pose.disc(radius, 10), 0.5 * radius)
    canvas.paint(blob(canvas, pose, radius), crown)
    canvas.paint(pose.moved(-0.2 * radius, 0.15 * radius).disc(0.5 * radius, 8), lighter(crown, 16), 0.5)
    canvas.claim(pose.disc(radius, 8), Zone.TAKEN)
    return True


def pond(canvas: Canvas, pose: Pose, radius: float) -> bool:
    """Paints a pond or a round field, which resemble tanks; returns whether there was free land."""
    shape = pose.disc(radius)
    if not canvas.fits(pose.disc(radius + 3), Zone.LAND, inside=False):
        return False
    colour = canvas.colour((110, 85, 50), (60, 120, 85), (80, 105, 60), (110, 145, 165))
    canvas.paint(shape, colour)
    canvas.line(shape, lighter(colour, -20), 2, closed=True)
    canvas.claim(shape, Zone.TAKEN)
    return True


def clutter(canvas: Canvas) -> None:
    """Paints rows of buildings, trees and groves, and ponds, in proportion to the size of the image."""
    area = canvas.size * canvas.size / 512**2
    for _ in range(max(1, round(canvas.between(1, 4) * area))):
        row, length, width = canvas.anywhere(), canvas.between(22, 60), canvas.between(14, 34)
        for i in range(int(canvas.rng.integers(1, 5))):
            building(canvas, row.moved(i * (length + 9), 0), length, width)
    for _ in range(round(canvas.between(0, 3) * area)):
        pond(canvas, canvas.anywhere(), canvas.between(12, 40))
    for _ in range(max(1, round(canvas.between(2, 6) * area))):
        grove, spread = canvas.anywhere(), canvas.between(4, 45)
        for _ in range(int(canvas.rng.integers(1, 12))):
            spot = grove.moved(*canvas.rng.normal(0, spread, 2).tolist())
            tree(canvas, spot, canvas.between(4, 13))
