"""FCOS's coder of rotated boxes relative to points."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.boxes import AngleVersion, BoxKind, norm_angle
from rotx.models.coders.deltas import turned


class DistanceAnglePointCoder:
    """Encodes rboxes by the distances from a point to the left, top, right and bottom side, and the angle.

    Args:
        angle_version: Angle version of the decoded boxes; encoded angles are not changed.
    """

    encode_size = 5
    box_kind: BoxKind = "rbox"

    def __init__(self, angle_version: AngleVersion = "oc") -> None:
        norm_angle(torch.zeros(0), angle_version)  # an unknown version fails here, not in the first training step
        self.angle_version = angle_version

    def encode(self, priors: Tensor, gts: Tensor, max_dis: float | None = None, eps: float = 0.1) -> Tensor:
        """Returns targets (..., 5) for points (..., 2) and rbox gts (..., 5).

        The distance to a side is negative if the point lies beyond it.

        Args:
            priors: Points ``x, y`` (..., 2).
            gts: Ground-truth rboxes (..., 5).
            max_dis: Distances are clamped to [0, max_dis − eps]; None: they are not clamped.
            eps: Margin below ``max_dis``, in pixels.
        """
        offset = turned(priors - gts[..., :2], -gts[..., 4])
        half = gts[..., 2:4] / 2
        distances = torch.cat([half + offset, half - offset], dim=-1)
        if max_dis is not None:
            distances = distances.clamp(0, max_dis - eps)
        return torch.cat([distances, gts[..., 4:5]], dim=-1)

    def decode(self, priors: Tensor, deltas: Tensor, max_shape: tuple[int, ...] | None = None) -> Tensor:
        """Returns rboxes (..., 5) from points (..., 2) and deltas (..., 5); ``max_shape`` has no effect."""
        before, after, angle = deltas.split_with_sizes((2, 2, 1), dim=-1)
        center = priors[..., :2] + turned((after - before) / 2, angle[..., 0])
        return torch.cat([center, before + after, norm_angle(angle, self.angle_version)], dim=-1)
