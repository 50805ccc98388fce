"""The sites where objects stand: harbours, roads, aprons, car parks, tank farms."""

from __future__ import annotations

import math
from collections.abc import Callable

from rotx.datasets.synthetic.canvas import Canvas, Colour, Pose, Zone, lighter
from rotx.datasets.synthetic.grounds import rocks
from rotx.datasets.synthetic.objects import place


def harbour(canvas: Canvas, shore: Pose) -> None:
    """Paints piers, moored ships and ships under way; ``shore`` is the frame from :func:`coast`."""
    for _ in range(int(canvas.rng.integers(0, 2 + canvas.size // 256))):
        pier(canvas, shore.moved(canvas.between(-0.45, 0.45) * canvas.size, 0, math.pi / 2))
    rocks(canvas)
    wanted = canvas.between(4, 9) * (canvas.size / 512) ** 0.7
    for _ in range(50):
        if wanted < 0.5:
            break
        pose, (length, width) = canvas.anywhere(), ship_size(canvas)
        under_way = canvas.chance(0.6)
        # The wake needs room, too, but is not part of the quad.
        room = pose.moved(-0.3 * length, 0).rectangle(1.7 * length, 1.6 * width) if under_way else None
        if room is not None and not canvas.fits(room, Zone.WATER, inside=False):
            continue
        if not canvas.fits(pose.rectangle(length + 6, width + 6), Zone.WATER):
            continue
        if under_way:
            wake(canvas, pose, length, width)
        place(canvas, "ship", pose, length, width, Zone.WATER, gap=6)
        wanted -= 1


def ship_size(canvas: Canvas) -> tuple[float, float]:
    """Draws the length and width of a ship, in pixels."""
    length = canvas.between(38, 110)
    return length, length * canvas.between(0.25, 0.34)


def wake(canvas: Canvas, pose: Pose, length: float, width: float) -> None:
    """Paints foam behind a ship and its two bow waves."""
    x, y = length / 2, width / 2
    canvas.paint(
        pose.at([(-x, -0.5 * y), (-1.9 * x, -0.9 * y), (-2.1 * x, 0.5 * y), (-x, 0.5 * y)]), (210, 205, 190), 0.5
    )
    for side in (-1, 1):
        canvas.paint(
            pose.at([(0.5 * x, side * y), (-1.3 * x, side * 1.9 * y), (-0.9 * x, side * 1.3 * y)]),
            (200, 195, 180),
            0.25,
        )


def pier(canvas: Canvas, pose: Pose) -> None:
    """Paints a pier from the shore into the sea, with ships along it."""
    length, width = canvas.between(70, 150), canvas.between(8, 15)
    middle = pose.moved(length / 2 - 10, 0)
    shape = middle.rectangle(length, width)
    if not canvas.fits(middle.moved(15, 0).rectangle(length - 30, width), Zone.WATER, inside=False):
        return
    canvas.paint(shape, canvas.colour((140, 145, 150), (100, 115, 130), (165, 165, 160)))
    canvas.line(middle.rectangle(length - 4, width - 4), (95, 95, 95), closed=True)
    canvas.claim(shape, Zone.TAKEN)
    for side in (-1, 1):
        if canvas.chance(0.65):
            ship, beam = ship_size(canvas)
            berth = middle.moved(canvas.between(0, 25), side * (width / 2 + beam / 2 + 4))
            place(canvas, "ship", berth, ship, beam, Zone.WATER)


def road(canvas: Canvas) -> None:
    """Paints a road across the image, over water too, with traffic in both directions."""
    middle = canvas.size / 2
    reach = 0.3 * canvas.size
    offset = canvas.between(-reach, reach), canvas.between(-reach, reach)
    pose = Pose(middle + offset[0], middle + offset[1], canvas.between(0, 2 * math.pi))
    width, length = canvas.between(32, 40), 3.0 * canvas.size
    asphalt = canvas.colour((85, 85, 85), (105, 105, 105), (125, 130, 135))
    canvas.paint(pose.rectangle(length, width + 6), lighter(asphalt, 35))
    canvas.paint(pose.rectangle(length, width), asphalt)
    for dash in range(-canvas.size, canvas.size, 16):
        canvas.line(pose.at([(dash, 0), (dash + 7, 0)]), (225, 225, 225))
    canvas.claim(pose.rectangle(length, width + 10), Zone.TAKEN)
    canvas.claim(pose.rectangle(length, width), Zone.ROAD)
    sparse = canvas.between(60, 170)
    for side in (-1, 1):
        x = -0.8 * canvas.size
        while x < 0.8 * canvas.size:
            spot = pose.moved(x, side * width / 4, 0 if side > 0 else math.pi)
            place(canvas, "vehicle", spot, *vehicle_size(canvas), Zone.ROAD, gap=2)
            x += canvas.between(0.6, 1.6) * sparse


def vehicle_size(canvas: Canvas) -> tuple[float, float]:
    """Draws the length and width of a vehicle, in pixels: a car, or in one of five cases a lorry."""
    length = canvas.between(26, 36) if canvas.chance(0.2) else canvas.between(16, 22)
    return length, min(13.0, length * canvas.between(0.44, 0.52))


def pad(canvas: Canvas, length: float, width: float, colour: Colour) -> Pose | None:
    """Paints a paved rectangle on free land, which may reach beyond the image; None if there is no room."""
    low, high = 0.15 * canvas.size, 0.85 * canvas.size
    for _ in range(25):
        pose = Pose(canvas.between(low, high), canvas.between(low, high), canvas.between(0, 2 * math.pi))
        if canvas.fits(pose.rectangle(length + 10, width + 10), Zone.LAND, inside=False):
            canvas.paint(pose.rectangle(length + 4, width + 4), lighter(colour, -20))
            canvas.paint(pose.rectangle(length, width), colour)
            canvas.claim(pose.rectangle(length + 10, width + 10), Zone.TAKEN)
            canvas.claim(pose.rectangle(length, width), Zone.PAD)
            return pose
    return None


def apron(canvas: Canvas) -> None:
    """Paints concrete slabs with planes in a row, and the ring of a helipad."""
    largest = canvas.between(44, 84)
    length, width = canvas.between(2.2, 4.2) * (largest + 8), canvas.between(1.4, 1.6) * largest
    pose = pad(canvas, length, width, canvas.colour((150, 155, 155), (125, 130, 130), (165, 170, 175)))
    if pose is None:
        return
    for joint in range(int(-length / 2) + 20, int(length / 2), 28):
        canvas.line(pose.at([(joint, -width / 2), (joint, width / 2)]), (120, 122, 122))
    canvas.line(pose.at([(-length / 2, 0.38 * width), (length / 2, 0.38 * width)]), (70, 190, 215), 2)
    heading = canvas.between(-0.25, 0.25) + (math.pi / 2 if canvas.chance(0.5) else -math.pi / 2)
    x = -length / 2 + largest / 2
    while x < length / 2:
        size = largest * canvas.between(0.65, 1)
        spot = pose.moved(x, canvas.between(-0.04, 0.04) * width, heading + canvas.between(-0.08, 0.08))
        if canvas.chance(0.85):
            place(canvas, "plane", spot, size, size * canvas.between(0.86, 1.05), Zone.PAD, gap=2)
        elif canvas.fits(spot.rectangle(34, 34), Zone.PAD):
            canvas.line(spot.disc(15), (225, 225, 225), 2, closed=True)
        x += 1.05 * largest + 4


def car_park(canvas: Canvas) -> None:
    """Paints rows of bays, some with a vehicle, some with a container."""
    bays, rows = int(canvas.rng.integers(5, 10)), int(canvas.rng.integers(1, 3))
    bay, depth, lane = 18, 30, 16
    length, width = bays * bay + 14, rows * (depth + lane) + 4
    pose = pad(canvas, length, width, canvas.colour((95, 95, 95), (80, 80, 82), (120, 120, 118)))
    if pose is None:
        return
    for row in range(rows):
        y = -width / 2 + 4 + depth / 2 + row * (depth + lane)
        for i in range(bays + 1):
            x = -length / 2 + 7 + i * bay
            canvas.line(pose.at([(x, y - depth / 2), (x, y + depth / 2)]), (205, 205, 205))
            if i == bays or not canvas.chance(0.45):
                continue
            spot = pose.moved(
                x + bay / 2, y, math.pi / 2 * (1 if canvas.chance(0.5) else -1) + canvas.between(-0.05, 0.05)
            )
            size = vehicle_size(canvas)
            if size[0] < depth - 2:
                place(canvas, "vehicle", spot, *size, Zone.PAD, gap=1)


def tank_farm(canvas: Canvas) -> None:
    """Paints tanks of one size in a grid, with pipes."""
    size = canvas.between(24, 58)
    columns, rows = (int(n) for n in canvas.rng.integers(2, 4, 2))
    step = size * canvas.between(1.3, 1.5)
    length, width = columns * step + 8, rows * step + 8
    pose = pad(canvas, length, width, canvas.colour((120, 145, 160), (135, 140, 140), (95, 120, 125)))
    if pose is None:
        return
    canvas.line(pose.rectangle(length - 5, width - 5), (90, 100, 105), 2, closed=True)
    for row in range(rows):
        y = (row - (rows - 1) / 2) * step
        canvas.line(pose.at([(-length / 2 + 4, y), (length / 2 - 4, y)]), (75, 75, 80), 2)
        for column in range(columns):
            if canvas.chance(0.85):
                spot = pose.moved((column - (columns - 1) / 2) * step, y)
                diameter = size * canvas.between(0.9, 1)
                # A round object has no direction: its box is upright.
                place(canvas, "tank", Pose(spot.x, spot.y, 0), diameter, diameter, Zone.PAD, gap=1)


def pads(canvas: Canvas) -> None:
    """Paints aprons, a tank farm, and a car park if there is room left."""
    first: tuple[Callable[[Canvas], None], ...] = (apron, tank_farm)
    for site in first if canvas.chance(0.55) else reversed(first):
        site(canvas)
    if canvas.size > 384:
        apron(canvas)
    if canvas.chance(0.7):
        car_park(canvas)
