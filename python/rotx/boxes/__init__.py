"""Boxes as plain arrays: their kinds, conversions, angle versions, moves, areas and overlaps.

Every function takes numpy arrays or torch tensors and returns the same type; torch is imported only if a tensor is
passed. Boxes lie in the last dimension, with any floating dtype, on any device; inputs are never modified.

The *kind* of boxes is passed along with the array, never guessed from its shape:

- ``"hbox"`` (..., 4): ``x1, y1, x2, y2``, an upright box;
- ``"rbox"`` (..., 5): ``cx, cy, w, h, angle``, pixels and radians, clockwise positive on the screen (y down);
- ``"quad"`` (..., 8): ``x1, y1, ..., x4, y4``, four corners, clockwise or counter-clockwise;
- ``"points"`` (..., 2k): ``x1, y1, ..., xk, yk``, a set of points.

One rectangle has many representations; an *angle version* selects one:

- ``le90``: w ≥ h, angle in [−π/2, π/2);
- ``le135``: w ≥ h, angle in [−π/4, 3π/4);
- ``oc``: either side may be longer, angle in [−π/2, 0). MMRotate's anchors, coders and released weights for ``oc``
  depend on this range. OpenCV from 4.5.1 on uses (0, π/2] instead: the same rectangle with w and h swapped and the
  angle a quarter turn larger.
"""

from rotx.boxes.angles import AngleVersion, norm_angle, regularize
from rotx.boxes.convert import (
    convert,
    corners,
    hbox2qbox,
    hbox2rbox,
    points2hbox,
    qbox2hbox,
    qbox2rbox,
    rbox2hbox,
    rbox2qbox,
    rectangle2rbox,
)
from rotx.boxes.kinds import KINDS, BoxKind, check_boxes, width
from rotx.boxes.measure import area, iou, nms, sides
from rotx.boxes.move import (
    Direction,
    flip,
    flip_matrix,
    move,
    rescale,
    rotate,
    rotation_matrix,
    scale_matrix,
    translate,
    translation_matrix,
)

__all__ = [
    "KINDS",
    "AngleVersion",
    "BoxKind",
    "Direction",
    "area",
    "check_boxes",
    "convert",
    "corners",
    "flip",
    "flip_matrix",
    "hbox2qbox",
    "hbox2rbox",
    "iou",
    "move",
    "nms",
    "norm_angle",
    "points2hbox",
    "qbox2hbox",
    "qbox2rbox",
    "rbox2hbox",
    "rbox2qbox",
    "rectangle2rbox",
    "regularize",
    "rescale",
    "rotate",
    "rotation_matrix",
    "scale_matrix",
    "sides",
    "translate",
    "translation_matrix",
    "width",
]
