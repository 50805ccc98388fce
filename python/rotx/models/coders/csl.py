"""Circular Smooth Label: the angle as a class."""

from __future__ import annotations

from math import degrees, radians
from typing import Literal

import torch
from torch import Tensor

from rotx.boxes import AngleVersion

Window = Literal["gaussian", "triangle", "rect", "pulse"]


class CSLCoder:
    """Circular Smooth Label: a class for every ``omega`` degrees, smoothed over its neighbours.

    Paper: Yang and Yan, Arbitrary-Oriented Object Detection with Circular Smooth Label, ECCV 2020.

    Two things differ from MMRotate for ``oc`` alone. MMRotate decodes to [0, π/2), while its boxes, as ours,
    have angles in [−π/2, 0), so that every decoded box lies across its object; here angles are decoded to
    the range that boxes have. And angles below 0 get the class they lie in, not the one above it.

    Args:
        angle_version: of the boxes.
        omega: degrees a class; should divide 90, for ``oc``, or 180.
        window: how a label falls off: ``gaussian``; ``triangle``, linearly; ``rect``, 1 within the radius;
            ``pulse``, 1 for the class alone.
        radius: of the window, in classes.
        window_form: of the gaussian window. ``"mmrotate"``, the default, is what MMRotate's published configs
            trained with: exp(−x²) / (2 r²), which is exp(−x² / (2 r²)) with a bracket misplaced, so that a
            label's peak is 1 / (2 r²), 0.014 for r = 6, and its width is always the same. With ``omega`` > 1
            it moreover steps by classes through a window that is measured in degrees, and the far end, where
            the value is 0, overwrites the peak: **all labels are 0**. ``"gaussian"`` is the window of the paper.

    Raises:
        ValueError: for an unknown version, window or form, or sizes that are not positive.
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
        """Labels (N, encode_size) in [0, 1] for angles (N, 1)."""
        turned = (angles * degrees(1) + self.angle_offset) % self.angle_range
        index = (turned / self.omega).long()
        classes = torch.arange(self.encode_size, device=angles.device)
        return self._window.to(angles)[(classes - index) % self.encode_size]

    def decode(self, predictions: Tensor, keepdim: bool = False) -> Tensor:
        """Angles in the middle of the classes with the highest scores, from scores (..., encode_size)."""
        index = predictions.argmax(dim=-1, keepdim=keepdim)
        middle = (index.to(predictions.dtype) + 0.5) * self.omega
        return (middle % self.angle_range - self.angle_offset) * radians(1)

    def _mmrotate_gaussian(self, radius: float) -> Tensor:
        # For each class the last of the degrees −range/2 .. range/2 − 1 that are a multiple of the number of
        # classes away from it: MMRotate writes them all, in this order, on the CPU.
        last = self.angle_range // 2 - 1
        degree = last - (last - torch.arange(self.encode_size)) % self.encode_size
        return torch.exp(-degree.float().square()) / (2 * radius**2)


def _window(window: Window, size: int, radius: float) -> Tensor:
    """The label of class 0: (size,), its neighbours above first."""
    x = (torch.arange(size) + size // 2) % size - size // 2  # the signed number of classes away
    if window == "gaussian":
        return torch.exp(-x.float().square() / (2 * radius**2))
    if window == "triangle":
        return (1 - x.float().abs() / radius).clamp(min=0)
    if window == "rect":
        return ((-radius <= x) & (x < radius)).float()
    if window == "pulse":
        return (x == 0).float()
    raise ValueError(f"window: need 'gaussian', 'triangle', 'rect' or 'pulse', got {window!r}")
