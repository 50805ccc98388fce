"""Drawing boxes on images, with OpenCV."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.geometry import rbox_to_quad

Image = NDArray[np.uint8]

#: Step of the hue from class to class, as a fraction of the circle: neighbouring labels differ most.
GOLDEN_RATIO = 0.618033988749895

#: Greatest number of dashes and gaps of a side.
_DASHES = 301

#: Limit of drawn coordinates, in pixels: far outside any image, and still valid for OpenCV.
FAR = 1 << 24

FONT = cv2.FONT_HERSHEY_SIMPLEX
#: Cell size in pixels of the grid that marks free places for text.
CELL = 4


def draw_boxes(
    image: Image,
    rboxes: NDArray[np.floating],
    labels: NDArray[np.integer],
    captions: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> Image:
    """Draws boxes on a copy of an image, with one colour per label.

    Captions are placed where they hide no box and no other caption, first come, first served; a caption without a free
    place is left out. With ``classes``, a legend in a corner names the colours.

    Args:
        image: (H, W, 3) uint8, BGR.
        rboxes: (N, 5) ``cx, cy, w, h, angle``, in pixels and radians, clockwise.
        labels: Labels (N,), which determine the colours.
        captions: Caption of each box; empty for none.
        classes: Class name of each box, for the legend; empty for none.

    Raises:
        ValueError: For an image of another form, or another number of labels, captions or classes.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image: need (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if len(labels) != len(rboxes) or len(captions) not in (0, len(rboxes)):
        raise ValueError(
            f"need a label and a caption for each box, got {len(labels)} and {len(captions)} for {len(rboxes)}"
        )
    picture = image.copy()
    draw_onto(picture, rboxes, labels, captions, classes)
    return picture


def draw_onto(
    picture: Image,
    rboxes: NDArray[np.floating],
    labels: NDArray[np.integer],
    captions: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> None:
    """Draws boxes on an image in place; see :func:`draw_boxes`."""
    draw_quads(picture, rbox_to_quad(rboxes), labels, captions, classes)


def draw_quads(
    picture: Image,
    quads: NDArray[np.floating],
    labels: NDArray[np.integer],
    captions: Sequence[str] = (),
    classes: Sequence[str] = (),
    dashed: NDArray[np.bool_] | None = None,
) -> None:
    """Draws quads (N, 8) on an image in place, with dashed outlines where ``dashed`` (N,) is set.

    See :func:`draw_boxes` for the other arguments.
    """
    longest = max(picture.shape[:2])
    corners = np.round(quads).reshape(-1, 4, 2).clip(-FAR, FAR).astype(np.int32)
    sides = np.hypot(*np.moveaxis(corners - np.roll(corners, 1, axis=1), 2, 0).astype(np.float64))
    # Thin lines, so that small objects do not vanish under their outlines.
    lines = np.fmax(1, np.fmin(sides.min(1) / 8, longest / 600)).round().astype(int)
    for i, (points, label, thickness) in enumerate(zip(corners, labels.tolist(), lines.tolist(), strict=True)):
        if dashed is not None and dashed[i]:
            _dashes(picture, points, class_colour(label), thickness)
        else:
            cv2.polylines(picture, [points], True, class_colour(label), thickness, cv2.LINE_AA)
    if not captions:
        return
    text = _Text(picture, corners)
    left_out = [not text.caption(*row) for row in zip(captions, corners, labels.tolist(), strict=True)]
    if any(left_out):
        text.legend(sorted(Counter(zip(labels.tolist(), classes, strict=False)).items()))


def _dashes(picture: Image, points: NDArray[np.int32], colour: tuple[int, int, int], thickness: int) -> None:
    """Draws the dashed outline of a quad (4, 2)."""
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        count = int(np.clip(np.hypot(*(end - start)) // (4 * thickness), 2, _DASHES)) | 1
        stops = np.linspace(start, end, count + 1).round().astype(np.int32)
        for a, b in zip(stops[:-1:2], stops[1::2], strict=True):
            cv2.line(picture, a.tolist(), b.tolist(), colour, thickness, cv2.LINE_AA)


class _Text:
    """Places text on a picture; a grid of `CELL` pixel cells marks the free places."""

    def __init__(self, picture: Image, corners: NDArray[np.int32]) -> None:
        self.picture = picture
        self.scale = 0.4 * max(1.0, max(picture.shape[:2]) / 1200)
        self.thickness = max(1, round(self.scale))
        self.taken = np.zeros([-(-side // CELL) for side in picture.shape[:2]], np.uint8)
        for points in corners:
            cv2.fillPoly(self.taken, [points // CELL], 1)

    def caption(self, text: str, points: NDArray[np.int32], label: int) -> bool:
        """Writes above a box (4, 2), or below it; returns False if there was no room or the box is not visible."""
        if (points.max(0) < 0).any() or (points.min(0) >= self.picture.shape[1::-1]).any():
            return True
        width, height = self._size(text)
        top, bottom = points[points[:, 1].argmin()], points[points[:, 1].argmax()]
        for x, y in ((top[0], top[1] - height - CELL), (bottom[0], bottom[1] + CELL)):
            x = int(np.clip(x, 0, max(self.picture.shape[1] - width, 0)))
            y = int(y)
            area = self.taken[y // CELL : (y + height) // CELL + 1, x // CELL : (x + width) // CELL + 1]
            if 0 <= y <= self.picture.shape[0] - height and not area.any():
                area[...] = 1
                self._write(text, x, y, width, height, class_colour(label))
                return True
        return False

    def legend(self, counts: Sequence[tuple[tuple[int, str], int]]) -> None:
        """Writes the classes with their numbers of boxes, in the corner with the fewest boxes."""
        lines = [(f"{name} {count}", class_colour(label)) for (label, name), count in counts]
        width = max((self._size(text)[0] for text, _ in lines), default=0)
        height = self._size("")[1]
        far_x, far_y = (self.picture.shape[1] - width, self.picture.shape[0] - height * len(lines))
        places = [(x, y) for y in (0, max(far_y, 0)) for x in (0, max(far_x, 0))]
        across, down = -(-width // CELL), -(-height * len(lines) // CELL)
        hidden = [self.taken[y // CELL :, x // CELL :][:down, :across].sum() for x, y in places]
        x, y = places[int(np.argmin(hidden))]
        for i, (text, colour) in enumerate(lines):
            self._write(text, x, y + i * height, width, height, colour)

    def _size(self, text: str) -> tuple[int, int]:
        """Width of a text and height of a line in pixels, with margins."""
        (width, _), _ = cv2.getTextSize(text, FONT, self.scale, self.thickness)
        return int(width + 10 * self.scale), int(36 * self.scale)

    def _write(self, text: str, x: int, y: int, width: int, height: int, colour: tuple[int, int, int]) -> None:
        blue, green, red = colour
        ink = (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 100 else (255, 255, 255)
        cv2.rectangle(self.picture, (x, y), (x + width - 1, y + height - 1), colour, cv2.FILLED)
        foot = (x + int(5 * self.scale), y + int(26 * self.scale))
        cv2.putText(self.picture, text, foot, FONT, self.scale, ink, self.thickness, cv2.LINE_AA)


def class_colour(label: int) -> tuple[int, int, int]:
    """Returns the bright BGR colour of a label."""
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN_RATIO % 1, 0.85, 1.0)
    return int(blue * 255), int(green * 255), int(red * 255)
