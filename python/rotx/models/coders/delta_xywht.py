"""Coders of rotated boxes relative to rotated or horizontal priors."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor

from rotx.boxes import AngleVersion, BoxKind, norm_angle, regularize
from rotx.models.coders.deltas import (
    WH_RATIO_CLIP,
    at_least_float32,
    centered,
    clipped,
    decoded_shift,
    decoded_size,
    denormalize,
    log_ratio,
    normalize,
    positive_size,
    statistics,
    turned,
)


class DeltaXYWHTRBBoxCoder:
    """Encodes rboxes relative to rbox priors like DeltaXYWHHBBoxCoder, with the angle difference as fifth value.

    Args:
        target_means: Means subtracted from the targets.
        target_stds: Standard deviations that the targets are divided by.
        angle_version: Angle version of the boxes; ``r360``, boxes with a heading, supports decoding only.
        norm_factor: Angle differences are divided by ``norm_factor`` · π; None: they stay in radians.
        edge_swap: Whether to exchange w and h of a gt where that brings its angle closer to the prior's. Decoded boxes
            then have w ≥ h.
        proj_xy: Whether shifts are along the prior's sides instead of along x and y.
        add_ctr_clamp: Whether decoded centres stay within ``ctr_clamp`` of the prior's; sizes may then shrink freely.
        ctr_clamp: Greatest distance of a decoded centre from the prior's along each axis, in pixels. With ``proj_xy``
            the axes are the prior's sides; MMRotate does not clamp there.
    """

    encode_size = 5
    box_kind: BoxKind = "rbox"

    def __init__(
        self,
        target_means: Sequence[float] = (0.0, 0.0, 0.0, 0.0, 0.0),
        target_stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0, 1.0),
        angle_version: AngleVersion = "oc",
        norm_factor: float | None = None,
        edge_swap: bool = False,
        proj_xy: bool = False,
        add_ctr_clamp: bool = False,
        ctr_clamp: int = 32,
    ) -> None:
        self.means, self.stds = statistics(target_means, target_stds, self.encode_size)
        norm_angle(torch.zeros(0), angle_version)  # an unknown version fails here, not in the first training step
        self.angle_version = angle_version
        self.angle_unit = norm_factor * pi if norm_factor else 1.0
        self.edge_swap = edge_swap
        self.proj_xy = proj_xy
        self.ctr_clamp = ctr_clamp if add_ctr_clamp else None

    def encode(self, priors: Tensor, gts: Tensor) -> Tensor:
        """Returns targets (N, 5) for rbox priors (N, 5) and rbox gts (N, 5)."""
        prior, gt = at_least_float32(priors), regularize(at_least_float32(gts), self.angle_version)
        shift = gt[..., :2] - prior[..., :2]
        if self.proj_xy:
            shift = turned(shift, -prior[..., 4])
        turn, size = gt[..., 4] - prior[..., 4], positive_size(gt)
        if self.edge_swap:
            turn, size = self._nearer(turn, size)
        else:
            turn = norm_angle(turn, self.angle_version)
        turn = turn[..., None] / self.angle_unit
        deltas = torch.cat([shift / positive_size(prior), log_ratio(size, prior), turn], dim=-1)
        return normalize(deltas, self.means, self.stds)

    def _nearer(self, turn: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the smaller of the two rotations to a gt, and its w and h (..., 2) in that representation."""
        straight = norm_angle(turn, self.angle_version)
        swapped = norm_angle(turn + pi / 2, self.angle_version)
        keep = straight.abs() < swapped.abs()
        return torch.where(keep, straight, swapped), torch.where(keep[..., None], size, size.flip(-1))

    def decode(
        self,
        priors: Tensor,
        deltas: Tensor,
        max_shape: tuple[int, ...] | None = None,
        wh_ratio_clip: float = WH_RATIO_CLIP,
    ) -> Tensor:
        """Returns the boxes of deltas.

        Args:
            priors: Prior rboxes (..., 5).
            deltas: Encoded boxes (..., 5), or (..., 5 · K) for K classes.
            max_shape: Height and width of the image that centres are clamped to; None: they are not clamped.
            wh_ratio_clip: Greatest change of a size: by this factor or its inverse.

        Returns:
            Rboxes in the shape of ``deltas``.
        """
        values = denormalize(deltas, self.means, self.stds)
        prior = priors[..., None, :]
        shift = decoded_shift(prior, values, self.ctr_clamp)
        if self.proj_xy:
            shift = turned(shift, prior[..., 4])
        center = prior[..., :2] + shift
        if max_shape is not None:
            center = clipped(center, max_shape[1] - 1, max_shape[0] - 1)
        w, h = decoded_size(prior, values, self.ctr_clamp, wh_ratio_clip).unbind(dim=-1)
        angle = norm_angle(prior[..., 4] + values[..., 4] * self.angle_unit, self.angle_version)
        if self.edge_swap:
            keep = w > h
            angle = norm_angle(torch.where(keep, angle, angle + pi / 2), self.angle_version)
            w, h = torch.where(keep, w, h), torch.where(keep, h, w)
        return torch.stack([*center.unbind(dim=-1), w, h, angle], dim=-1).reshape(deltas.shape)


class DeltaXYWHTHBBoxCoder:
    """Encodes rboxes relative to hbox priors: DeltaXYWHTRBBoxCoder with the priors as rboxes of angle 0.

    The arguments are the same except for ``proj_xy``, which would have no effect.
    """

    encode_size = 5
    box_kind: BoxKind = "rbox"

    def __init__(
        self,
        target_means: Sequence[float] = (0.0, 0.0, 0.0, 0.0, 0.0),
        target_stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0, 1.0),
        angle_version: AngleVersion = "oc",
        norm_factor: float | None = None,
        edge_swap: bool = False,
        add_ctr_clamp: bool = False,
        ctr_clamp: int = 32,
    ) -> None:
        self.angle_version = angle_version
        self._rotated = DeltaXYWHTRBBoxCoder(
            target_means=target_means,
            target_stds=target_stds,
            angle_version=angle_version,
            norm_factor=norm_factor,
            edge_swap=edge_swap,
            add_ctr_clamp=add_ctr_clamp,
            ctr_clamp=ctr_clamp,
        )

    def encode(self, priors: Tensor, gts: Tensor) -> Tensor:
        """Returns targets (N, 5) for hbox priors (N, 4) and rbox gts (N, 5)."""
        return self._rotated.encode(centered(at_least_float32(priors)), gts)

    def decode(
        self,
        priors: Tensor,
        deltas: Tensor,
        max_shape: tuple[int, ...] | None = None,
        wh_ratio_clip: float = WH_RATIO_CLIP,
    ) -> Tensor:
        """Returns rboxes in the shape of ``deltas``, (..., 5) or (..., 5 · K), from hbox priors (..., 4).

        ``max_shape`` has no effect: as in MMRotate, centres may lie outside the image.
        """
        return self._rotated.decode(centered(priors), deltas, wh_ratio_clip=wh_ratio_clip)
