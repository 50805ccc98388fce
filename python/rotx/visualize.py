"""Pictures of boxes on images, with OpenCV."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.geometry import rbox_to_quad

Image = NDArray[np.uint8]

#: The hue of each class follows from the one before by this share of the circle: neighbours differ most.
GOLDEN_RATIO = 0.618033988749895

#: A side has no more dashes and gaps.
_DASHES = 301

#: Corners are drawn no farther away, in pixels: far outside of any image, and still a number that OpenCV can hold.
FAR = 1 << 24


def draw_boxes(
    image: Image,
    rboxes: NDArray[np.floating],
    labels: NDArray[np.integer],
    captions: Sequence[str] = (),
) -> Image:
    """A copy of an image with boxes on it, a colour for each label.

    Args:
        image: (H, W, 3) uint8, BGR.
        rboxes: (N, 5) ``cx, cy, w, h, angle``, in pixels and radians, clockwise.
        labels: (N,), they choose the colours.
        captions: a text for each box, or none.

    Raises:
        ValueError: for another shape or number.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image: need (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if len(labels) != len(rboxes) or len(captions) not in (0, len(rboxes)):
        raise ValueError(f"need a label and a caption a box, got {len(labels)} and {len(captions)} for {len(rboxes)}")
    picture = image.copy()
    draw_quads(picture, rbox_to_quad(rboxes), labels, captions)
    return picture


def draw_quads(
    picture: Image,
    quads: NDArray[np.floating],
    labels: NDArray[np.integer],
    captions: Sequence[str] = (),
    dashed: NDArray[np.bool_] | None = None,
) -> None:
    """Draws quads into a picture, a colour for each label.

    Args:
        picture: (H, W, 3) uint8, BGR, drawn into.
        quads: (N, 8), in pixels.
        labels: (N,), they choose the colours.
        captions: a text for each quad, or none.
        dashed: (N,), whose sides are dashed; None: nobody's.
    """
    thickness = max(1, round(max(picture.shape[:2]) / 600))
    corners = np.round(quads).reshape(-1, 4, 2).clip(-FAR, FAR).astype(np.int32)
    for i, (points, label) in enumerate(zip(corners, labels, strict=True)):
        colour = class_colour(int(label))
        if dashed is not None and dashed[i]:
            _dashes(picture, points, colour, thickness)
        else:
            cv2.polylines(picture, [points], isClosed=True, color=colour, thickness=thickness, lineType=cv2.LINE_AA)
        if captions:
            _caption(picture, captions[i], points[points[:, 1].argmin()], colour, thickness)


def class_colour(label: int) -> tuple[int, int, int]:
    """A bright BGR colour for a label, always the same."""
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN_RATIO % 1, 0.85, 1.0)
    return int(blue * 255), int(green * 255), int(red * 255)


def _dashes(picture: Image, points: NDArray[np.int32], colour: tuple[int, int, int], thickness: int) -> None:
    """The outline of a quad (4, 2), of dashes as long as the gaps between them; no more than can be seen."""
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        count = int(np.clip(np.hypot(*(end - start)) // (4 * thickness), 2, _DASHES)) | 1
        stops = np.linspace(start, end, count + 1).round().astype(np.int32)
        for a, b in zip(stops[:-1:2], stops[1::2], strict=True):
            cv2.line(picture, a.tolist(), b.tolist(), colour, thickness, cv2.LINE_AA)


def _caption(picture: Image, text: str, top: NDArray[np.int32], colour: tuple[int, int, int], thickness: int) -> None:
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.4 * thickness
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    # Inside the picture, also for boxes at its border.
    x = int(np.clip(top[0], 0, max(picture.shape[1] - width, 0)))
    y = int(np.clip(top[1] - below, height, picture.shape[0]))
    cv2.putText(picture, text, (x, y), font, scale, (0, 0, 0), thickness + 2, cv2.LINE_AA)
    cv2.putText(picture, text, (x, y), font, scale, colour, thickness, cv2.LINE_AA)
