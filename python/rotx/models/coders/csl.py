"""Circular Smooth Label: the angle as a class."""

from __future__ import annotations

from math import degrees, radians
from typing import Literal

import torch
from torch import Tensor

from rotx.boxes import AngleVersion

Window = Literal["gaussian", "triangle", "rect", "pulse"]


class CSLCoder:
    """Circular Smooth Label: one class per ``omega`` degrees, smoothed over its neighbours.

    Yang and Yan, "Arbitrary-Oriented Object Detection with Circular Smooth Label", ECCV 2020.

    For ``oc`` two things differ from MMRotate. MMRotate decodes to [0, π/2), although its boxes, like ours, have angles
    in [−π/2, 0), so every decoded box is perpendicular to its object; here angles are decoded to the range of the
    boxes. And negative angles get the class that contains them, not the next higher one.

    Args:
        angle_version: Angle version of the boxes.
        omega: Degrees per class; should divide 90 for ``oc`` and 180 for the other versions.
        window: Shape of the smoothing window: ``gaussian``; ``triangle``, linear; ``rect``, 1 within the radius;
            ``pulse``, 1 for the class only.
        radius: Radius of the window, in classes.
        window_form: Formula of the gaussian window. ``"mmrotate"``, the default, is the one that MMRotate's published
            models were trained with: exp(−x²) / (2 r²), which is exp(−x² / (2 r²)) with a misplaced bracket. The
            peak of a label is therefore 1 / (2 r²), 0.014 for r = 6, and its width does not depend on r. With
            ``omega`` > 1, MMRotate also indexes a window in degrees by classes, and its far end, where the value
            is 0, overwrites the peak: **all labels are 0**. ``"gaussian"`` is the window of the paper.

    Raises:
        ValueError: If the angle version, window or window form is unknown, or a size is not positive.
    """

    def __init__(
        self,
        angle_version: AngleVersion,
        omega: float = 1,
        window: Window = "gaussian",
        radius: float = 6,
        window_form: Literal["mmrotate", "gaussian"] = "mmrotate",
    ) -> None:
        offsets = {"oc": 90, "le90": 90, "le135": 45}
        if angle_version not in offsets:
            raise ValueError(f"angle_version: need 'oc', 'le90' or 'le135', got {angle_version!r}")
        if window_form not in ("mmrotate", "gaussian"):
            raise ValueError(f"window_form: need 'mmrotate' or 'gaussian', got {window_form!r}")
        self.angle_range = 90 if angle_version == "oc" else 180
        if not 0 < omega <= self.angle_range or radius <= 0:
            raise ValueError(f"omega, radius: need positive sizes below the range, got {omega} and {radius}")
        self.angle_offset = offsets[angle_version]
        self.omega = omega
        self.encode_size = int(self.angle_range // omega)
        if window == "gaussian" and window_form == "mmrotate":
            self._window = self._mmrotate_gaussian(radius)
        else:
            self._window = _window(window, self.encode_size, radius)

    def encode(self, angles: Tensor) -> Tensor:
        """Returns labels (N, encode_size) in [0, 1] for angles (N, 1) in radians."""
        turned = (angles * degrees(1) + self.angle_offset) % self.angle_range
        index = (turned / self.omega).long()
        classes = torch.arange(self.encode_size, device=angles.device)
        return self._window.to(angles)[(classes - index) % self.encode_size]

    def decode(self, predictions: Tensor, keepdim: bool = False) -> Tensor:
        """Returns the central angles of the classes with the highest scores, from scores (..., encode_size)."""
        index = predictions.argmax(dim=-1, keepdim=keepdim)
        middle = (index.to(predictions.dtype) + 0.5) * self.omega
        return (middle % self.angle_range - self.angle_offset) * radians(1)

    def _mmrotate_gaussian(self, radius: float) -> Tensor:
        # MMRotate writes the degrees −range/2 .. range/2 − 1 to their classes, modulo the number of classes, in this
        # order, so the last one written to each class remains.
        last = self.angle_range // 2 - 1
        degree = last - (last - torch.arange(self.encode_size)) % self.encode_size
        return torch.exp(-degree.float().square()) / (2 * radius**2)


def _window(window: Window, size: int, radius: float) -> Tensor:
    """Returns the label (size,) of class 0, starting with class 0 itself."""
    x = (torch.arange(size) + size // 2) % size - size // 2  # signed distance, in classes
    if window == "gaussian":
        return torch.exp(-x.float().square() / (2 * radius**2))
    if window == "triangle":
        return (1 - x.float().abs() / radius).clamp(min=0)
    if window == "rect":
        return ((-radius <= x) & (x < radius)).float()
    if window == "pulse":
        return (x == 0).float()
    raise ValueError(f"window: need 'gaussian', 'triangle', 'rect' or 'pulse', got {window!r}")
