"""The objects of the scenes. Each is drawn inside a rectangle around its pose and touches all four sides of it."""

from __future__ import annotations

from collections.abc import Callable

import cv2

from rotx.datasets.synthetic.canvas import Canvas, Pose, Zone, lighter

CLASSES = ("ship", "plane", "vehicle", "tank")
#: Fraction of the objects that are drawn faint and annotated as difficult.
DIFFICULT = 0.06
#: Distance in pixels by which anti-aliased edges reach beyond a filled polygon in cv2 (measured by area).
SOFT_EDGE = 0.67


def place(canvas: Canvas, name: str, pose: Pose, length: float, width: float, zone: Zone, gap: float = 4) -> bool:
    """Draws an object and records its quad, if there is room for it with ``gap`` pixels around it.

    Args:
        canvas: Canvas to draw on.
        name: Class of the object, one of ``CLASSES``.
        pose: Centre of the object, and direction of its bow, nose or front.
        length, width: Size of the object in pixels, along and across that direction.
        zone: Kind of ground that the object needs.
        gap: Least distance to other objects, in pixels.

    Returns:
        Whether there was room.
    """
    if not canvas.fits(pose.rectangle(length + gap, width + gap), zone):
        return False
    difficult = canvas.chance(DIFFICULT)
    before = canvas.image.copy() if difficult else None
    DRAW[name](canvas, pose, length - 2 * SOFT_EDGE, width - 2 * SOFT_EDGE)
    if before is not None:
        cv2.addWeighted(canvas.image, 5 / 16, before, 11 / 16, 0, canvas.image)
    quad = pose.rectangle(length, width)
    canvas.claim(quad, Zone.TAKEN)
    canvas.quads.append(quad)
    canvas.labels.append(CLASSES.index(name))
    canvas.difficult.append(int(difficult))
    return True


def draw_ship(canvas: Canvas, pose: Pose, length: float, width: float) -> None:
    """Draws a hull with a pointed bow, hatches and a bridge near the stern."""
    x, y = length / 2, width / 2
    hull = canvas.colour((60, 60, 150), (95, 90, 85), (120, 70, 45), (60, 60, 60), (200, 200, 200))
    deck = canvas.colour((150, 160, 170), (110, 130, 150), (120, 150, 120), (90, 95, 160))

    def outline(inset: float) -> list[tuple[float, float]]:
        a, b = x - inset, y - inset
        return [(-a, -0.75 * b), (-0.85 * a, -b), (0.45 * a, -b), (a, 0), (0.45 * a, b), (-0.85 * a, b), (-a, 0.75 * b)]

    canvas.paint(pose.at(outline(0)), hull)
    canvas.paint(pose.at(outline(max(1.5, 0.14 * width))), deck)
    dark = lighter(deck, -55)
    hatches = 2 + int(length > 60) + int(length > 85)
    for i in range(hatches):
        hatch = pose.moved(x * (-0.3 + 0.75 * i / hatches + 0.15), 0)
        canvas.paint(hatch.rectangle(0.5 * length * 0.75 / hatches * 0.7, 0.5 * width), dark)
    canvas.paint(pose.moved(-0.66 * x, 0).rectangle(0.13 * length, 0.7 * width), canvas.colour((232, 232, 230)))


def draw_plane(canvas: Canvas, pose: Pose, length: float, width: float) -> None:
    """Draws a fuselage with swept wings, tail and engines; ``width`` is the span."""
    x, y = length / 2, width / 2
    skin = canvas.colour((225, 225, 225), (210, 215, 220), (200, 195, 190))
    body = 0.055 * length
    wings = [
        (0.22 * x, 0), (-0.3 * x, -y), (-0.45 * x, -y), (-0.18 * x, 0), (-0.45 * x, y), (-0.3 * x, y),
    ]  # fmt: skip
    tail = [
        (-0.7 * x, 0), (-0.93 * x, -0.36 * y), (-x, -0.36 * y), (-0.9 * x, 0), (-x, 0.36 * y), (-0.93 * x, 0.36 * y),
    ]  # fmt: skip
    fuselage = [
        (x, 0), (0.93 * x, -0.6 * body), (0.75 * x, -body), (-0.6 * x, -body), (-x, -0.2 * body),
        (-x, 0.2 * body), (-0.6 * x, body), (0.75 * x, body), (0.93 * x, 0.6 * body),
    ]  # fmt: skip
    shapes = [pose.at(wings), pose.at(tail), pose.at(fuselage)]
    for shape in shapes:
        canvas.shadow(shape, 0.06 * length)
    canvas.paint(shapes[0], lighter(skin, -18))
    canvas.paint(shapes[1], lighter(skin, -25))
    for side in (-0.42, 0.42):
        canvas.paint(pose.moved(0.0, side * y).rectangle(0.13 * length, 0.05 * length), (90, 85, 80))
    canvas.paint(shapes[2], lighter(skin, 20))
    stripe = canvas.colour((170, 80, 40), (50, 50, 190), (60, 130, 60), (110, 110, 110))
    canvas.paint(pose.at([(-0.62 * x, -0.3 * body), (-x, 0), (-0.62 * x, 0.3 * body)]), stripe)


def draw_vehicle(canvas: Canvas, pose: Pose, length: float, width: float) -> None:
    """Draws a car or, if it is long, a lorry with its load."""
    paints = (
        (225, 225, 225),
        (35, 35, 38),
        (45, 45, 190),
        (170, 85, 40),
        (165, 165, 170),
        (40, 190, 215),
        (60, 120, 50),
    )
    body = canvas.colour(*paints)
    shape = pose.rectangle(length, width)
    canvas.shadow(shape, 0.2 * width)
    canvas.paint(shape, body)
    glass = (60, 50, 40) if sum(body) > 200 else (150, 140, 130)
    if length > 24:
        canvas.paint(pose.moved(0.33 * length, 0).rectangle(1.5, 0.9 * width), glass)
        canvas.paint(pose.moved(-0.12 * length, 0).rectangle(0.68 * length, 0.7 * width), lighter(body, 35))
    else:
        canvas.paint(pose.moved(0.17 * length, 0).rectangle(0.14 * length, 0.8 * width), glass)
        canvas.paint(pose.moved(-0.3 * length, 0).rectangle(0.1 * length, 0.75 * width), glass)
        canvas.paint(pose.moved(-0.07 * length, 0).rectangle(0.3 * length, 0.7 * width), lighter(body, 25))


def draw_tank(canvas: Canvas, pose: Pose, length: float, width: float) -> None:
    """Draws a round storage tank with rim, roof and stairs."""
    radius = length / 2
    roof = canvas.colour((215, 215, 215), (190, 195, 200), (150, 165, 185), (130, 135, 135))
    canvas.shadow(pose.disc(radius), 0.16 * length)
    canvas.paint(pose.disc(radius), lighter(roof, -75))
    canvas.paint(pose.disc(0.86 * radius), roof)
    sun = Pose(pose.x + canvas.sun[0] * 0.18 * radius, pose.y + canvas.sun[1] * 0.18 * radius, 0)
    canvas.paint(sun.disc(0.6 * radius), lighter(roof, 18), 0.75)
    canvas.paint(pose.disc(0.12 * radius, 8), lighter(roof, -80))
    turn = Pose(pose.x, pose.y, canvas.between(0, 6.28))
    canvas.line(turn.at([(0.12 * radius, 0), (0.84 * radius, 0)]), lighter(roof, -60))


DRAW: dict[str, Callable[[Canvas, Pose, float, float], None]] = {
    "ship": draw_ship,
    "plane": draw_plane,
    "vehicle": draw_vehicle,
    "tank": draw_tank,
}
