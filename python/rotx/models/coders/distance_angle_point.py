"""Rotated boxes relative to points: FCOS's coder."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.boxes import AngleVersion, BoxKind, norm_angle
from rotx.models.coders.deltas import turned


class DistanceAnglePointCoder:
    """Points, rboxes: distances from the point to the left, top, right and bottom side, and the angle.

    Args:
        angle_version: how decoded angles are written; encoded ones stay as they are.
    """

    encode_size = 5
    box_kind: BoxKind = "rbox"

    def __init__(self, angle_version: AngleVersion = "oc") -> None:
        norm_angle(torch.zeros(0), angle_version)  # an unknown version fails here, not in the first step
        self.angle_version = angle_version

    def encode(self, priors: Tensor, gts: Tensor, max_dis: float | None = None, eps: float = 0.1) -> Tensor:
        """Targets (..., 5) for points (..., 2) and rbox gts (..., 5); a distance is negative outside.

        Args:
            priors: x, y.
            gts: rboxes.
            max_dis: distances are limited to [0, max_dis − eps]; None: not at all.
            eps: in pixels.
        """
        offset = turned(priors - gts[..., :2], -gts[..., 4])
        half = gts[..., 2:4] / 2
        distances = torch.cat([half + offset, half - offset], dim=-1)
        if max_dis is not None:
            distances = distances.clamp(0, max_dis - eps)
        return torch.cat([distances, gts[..., 4:5]], dim=-1)

    def decode(self, priors: Tensor, deltas: Tensor, max_shape: tuple[int, ...] | None = None) -> Tensor:
        """rboxes (..., 5) from points (..., 2) and deltas (..., 5). ``max_shape`` changes nothing."""
        before, after, angle = deltas.split_with_sizes((2, 2, 1), dim=-1)
        center = priors[..., :2] + turned((after - before) / 2, angle[..., 0])
        return torch.cat([center, before + after, norm_angle(angle, self.angle_version)], dim=-1)
