"""Overlap of quads and rboxes in exact rational arithmetic: slow, obvious, and never in doubt.

Shares no idea with the Rust core: that one integrates edges by Green's theorem in float64, this one clips
triangles by half-planes in :class:`fractions.Fraction`, where no predicate can be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Point = tuple[Fraction, Fraction]

# π to 60 decimals; angles are reduced with it before the series.
PI = Fraction(3141592653589793238462643383279502884197169399375105820974944, 10**60)
# Sines and cosines are cut to this denominator, so that fractions stay short.
DIGITS = 10**45


def sin_cos(angle: float) -> tuple[Fraction, Fraction]:
    """Sine and cosine of an angle in radians to 40 decimals, by their power series."""
    x = Fraction(angle)
    x -= 2 * PI * round(x / (2 * PI))
    sin, cos, term = Fraction(0), Fraction(0), Fraction(1)
    for k in range(64):
        sign = -1 if k % 4 >= 2 else 1
        if k % 2:
            sin += sign * term
        else:
            cos += sign * term
        term = Fraction(round(term * x / (k + 1) * DIGITS), DIGITS)
    return sin, cos


def corners(box: Sequence[float]) -> list[Point]:
    """The corners of a quad (8 numbers) or an rbox (5 numbers: cx, cy, w, h, angle clockwise)."""
    values = [Fraction(v) for v in box]
    if len(values) == 8:
        return list(zip(values[::2], values[1::2], strict=True))
    cx, cy, w, h, _ = values
    sin, cos = sin_cos(box[4])
    signs = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    return [(cx + (i * w * cos - j * h * sin) / 2, cy + (i * w * sin + j * h * cos) / 2) for i, j in signs]


def signed_area(polygon: Sequence[Point]) -> Fraction:
    """The shoelace sum: positive where the polygon turns clockwise on the screen."""
    pairs = zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)
    return sum(((p[0] * q[1] - q[0] * p[1]) for p, q in pairs), Fraction(0)) / 2


def clip(polygon: list[Point], a: Point, b: Point) -> list[Point]:
    """The part of a convex polygon that lies to the right of the directed line a, b as seen on the screen."""

    def side(p: Point) -> Fraction:
        return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])

    out: list[Point] = []
    for i, p in enumerate(polygon):
        q = polygon[(i + 1) % len(polygon)]
        sp, sq = side(p), side(q)
        if sp >= 0:
            out.append(p)
        if sp * sq < 0:
            t = sp / (sp - sq)
            out.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
    return out


def triangles(quad: list[Point]) -> list[tuple[int, list[Point]]]:
    """Two triangles that turn clockwise, with signs, whose sum has the quad's winding numbers."""
    out = []
    for triangle in ([quad[0], quad[1], quad[2]], [quad[0], quad[2], quad[3]]):
        area = signed_area(triangle)
        if area:
            out.append((1, triangle) if area > 0 else (-1, triangle[::-1]))
    return out


def intersection(a: Sequence[float], b: Sequence[float]) -> Fraction:
    """∫ (winding number of a) · (winding number of b): the common area where both are simple quads."""
    total = Fraction(0)
    for sign_a, subject in triangles(corners(a)):
        for sign_b, window in triangles(corners(b)):
            part = subject
            for i in range(3):
                part = clip(part, window[i], window[(i + 1) % 3])
            total += sign_a * sign_b * signed_area(part)
    turn = signed_area(corners(a)) * signed_area(corners(b))
    return -total if turn < 0 else total


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU with the definitions of `rotx.geometry.box_iou`, rounded once, at the end."""
    area_a, area_b = abs(signed_area(corners(a))), abs(signed_area(corners(b)))
    if not area_a or not area_b:
        return 0.0
    common = max(intersection(a, b), Fraction(0))
    union = area_a + area_b - common
    return float(common / union) if common < union else 1.0
