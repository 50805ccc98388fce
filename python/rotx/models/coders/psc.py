"""Phase-Shifting Coder: the angle as cosines."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from rotx.boxes import AngleVersion


class PSCCoder:
    """Phase-Shifting Coder: cosines of the doubled angle at equally spaced phase shifts.

    Yu and Da, "Phase-Shifting Coder: Predicting Accurate Orientation in Oriented Object Detection", CVPR 2023.

    Args:
        angle_version: Angle version; must be ``le90``, the range that phases decode to.
        dual_freq: Whether to encode the quadrupled angle too, so that a square turned by 90° has the same code.
        num_step: Number of phases, at least 3.
        thr_mod: Threshold of the squared amplitude; predictions below it have no direction and decode to 0.

    Raises:
        ValueError: If the angle version is not ``le90``, or there are too few phases.
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
        """Returns cosines (N, encode_size) for angles (N, 1) in radians."""
        shifts = self._shifts(angles)
        single = torch.cos(angles * 2 + shifts)
        return torch.cat([single, torch.cos(angles * 4 + shifts)], dim=-1) if self.dual_freq else single

    def decode(self, predictions: Tensor, keepdim: bool = False) -> Tensor:
        """Returns angles in [−π/2, π/2] from predictions (..., encode_size)."""
        phase, strength = self._phase(predictions[..., : self.num_step])
        if self.dual_freq:
            double, strength = self._phase(predictions[..., self.num_step :])
            # Half of the doubled phase is ambiguous by π; the single phase resolves this.
            half = double / 2
            phase = torch.where(torch.cos(phase - half) < 0, half % (2 * pi) - pi, half)
        angle = torch.where(strength < self.thr_mod, torch.zeros_like(phase), phase) / 2
        return angle[..., None] if keepdim else angle

    def _phase(self, cosines: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the phase in [−π, π] and the squared amplitude, times (num_step / 2)², of cosines (..., S)."""
        shifts = self._shifts(cosines)
        sine, cosine = (cosines * shifts.sin()).sum(dim=-1), (cosines * shifts.cos()).sum(dim=-1)
        # atan2(0, 0) has no gradient, so an undefined phase is replaced by 0.
        known = torch.where((sine == 0) & (cosine == 0), torch.ones_like(cosine), cosine)
        return -torch.atan2(sine, known), sine**2 + cosine**2

    def _shifts(self, like: Tensor) -> Tensor:
        return torch.arange(self.num_step, device=like.device, dtype=like.dtype) * (2 * pi / self.num_step)
