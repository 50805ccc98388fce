"""Coders of angles, for heads that predict the angle apart from the box.

``encode`` takes angles (N, 1) in radians and gives (N, encode_size); ``decode`` takes predictions
(..., encode_size) and gives angles (...), or (..., 1) with ``keepdim``.
"""

from __future__ import annotations

from math import degrees, pi, radians
from typing import Literal, Protocol

import torch
from torch import Tensor

from rotx.boxes import AngleVersion

Window = Literal["gaussian", "triangle", "rect", "pulse"]


class AngleCoder(Protocol):
    """What every coder here is."""

    encode_size: int

    def encode(self, angles: Tensor) -> Tensor:
        """Targets (N, encode_size) for angles (N, 1)."""

    def decode(self, predictions: Tensor, keepdim: bool = False) -> Tensor:
        """Angles from predictions (..., encode_size)."""


class PseudoAngleCoder:
    """The angle as it is."""

    encode_size = 1

    def encode(self, angles: Tensor) -> Tensor:
        """The angles (N, 1) themselves."""
        return angles

    def decode(self, predictions: Tensor, keepdim: bool = False) -> Tensor:
        """Angles from predictions (..., 1)."""
        return predictions if keepdim else predictions.squeeze(-1)


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


class PSCCoder:
    """Phase-Shifting Coder: the cosines of the doubled angle, shifted by equal phases.

    Paper: Yu and Da, Phase-Shifting Coder: Predicting Accurate Orientation in Oriented Object Detection,
    CVPR 2023.

    Args:
        angle_version: must be ``le90``, the range that a phase decodes to.
        dual_freq: encode the quadrupled angle too, with which a square looks the same after a quarter turn.
        num_step: number of phases, 3 at least.
        thr_mod: a prediction whose squared amplitude is below this decodes to 0: the object has no direction.

    Raises:
        ValueError: for another version or fewer phases.
    """

    def __init__(
        self, angle_version: AngleVersion, dual_freq: bool = True, num_step: int = 3, thr_mod: float = 0.47
    ) -> None:
        if angle_version != "le90":
            raise ValueError(f"angle_version: PSC needs 'le90', got {angle_version!r}")
        if num_step < 3:
            raise ValueError(f"num_step: need at least 3, got {num_step}")
        self.dual_freq = dual_freq
        self.num_step = num_step
        self.thr_mod = thr_mod
        self.encode_size = 2 * num_step if dual_freq else num_step

    def encode(self, angles: Tensor) -> Tensor:
        """Cosines (N, encode_size) for angles (N, 1)."""
        shifts = self._shifts(angles)
        single = torch.cos(angles * 2 + shifts)
        return torch.cat([single, torch.cos(angles * 4 + shifts)], dim=-1) if self.dual_freq else single

    def decode(self, predictions: Tensor, keepdim: bool = False) -> Tensor:
        """Angles in [−π/2, π/2] from predictions (..., encode_size)."""
        phase, strength = self._phase(predictions[..., : self.num_step])
        if self.dual_freq:
            double, strength = self._phase(predictions[..., self.num_step :])
            # Half of the doubled phase is known up to half a turn; the single phase says which.
            half = double / 2
            phase = torch.where(torch.cos(phase - half) < 0, half % (2 * pi) - pi, half)
        angle = torch.where(strength < self.thr_mod, torch.zeros_like(phase), phase) / 2
        return angle[..., None] if keepdim else angle

    def _phase(self, cosines: Tensor) -> tuple[Tensor, Tensor]:
        """The phase in [−π, π] and the squared amplitude, times (num_step / 2)², of shifted cosines (..., S)."""
        shifts = self._shifts(cosines)
        sine, cosine = (cosines * shifts.sin()).sum(dim=-1), (cosines * shifts.cos()).sum(dim=-1)
        # No phase at all counts as 0; atan2 of two zeros has no gradient.
        known = torch.where((sine == 0) & (cosine == 0), torch.ones_like(cosine), cosine)
        return -torch.atan2(sine, known), sine**2 + cosine**2

    def _shifts(self, like: Tensor) -> Tensor:
        return torch.arange(self.num_step, device=like.device, dtype=like.dtype) * (2 * pi / self.num_step)


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
