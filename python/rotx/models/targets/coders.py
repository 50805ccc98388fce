"""Coders of boxes: what a head regresses for a box seen from its prior, and back.

``encode(priors, gts)`` gives the targets, ``decode(priors, deltas)`` the boxes, both row by row;
``encode_size`` is the number of values a box. gts may be written in any way, in any angle version. Boxes
without area give finite values: see `deltas`. The arithmetic is that of MMDetection's and MMRotate's coders of
the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Protocol

import torch
from torch import Tensor

from rotx.boxes import AngleVersion, norm_angle, rbox2hbox, rbox2qbox, regularize
from rotx.models.targets.deltas import (
    MIN_SIZE,
    WH_RATIO_CLIP,
    at_least_float32,
    centered,
    decoded_shift,
    decoded_size,
    denormalize,
    log_ratio,
    normalize,
    positive_size,
    statistics,
    turned,
)


class BoxCoder(Protocol):
    """What every coder here is."""

    encode_size: int

    def encode(self, priors: Tensor, gts: Tensor) -> Tensor:
        """Targets (N, encode_size) for priors (N, ·) and gts (N, ·)."""

    def decode(self, priors: Tensor, deltas: Tensor, max_shape: tuple[int, ...] | None = None) -> Tensor:
        """Boxes (N, ·) from priors (N, ·) and deltas (N, encode_size); ``max_shape``: height, width of the image."""


class DeltaXYWHHBBoxCoder:
    """hbox priors, hboxes: shift of the centre in prior sizes, logarithms of the ratios of the sizes.

    Args:
        target_means: subtracted from the targets.
        target_stds: what they are divided by then.
        clip_border: decoded boxes are cut at the image, if its shape is given.
        add_ctr_clamp: decoded centres stay within ``ctr_clamp`` of the prior's, and sizes may shrink freely.
        ctr_clamp: in pixels.
    """

    encode_size = 4

    def __init__(
        self,
        target_means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        target_stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        clip_border: bool = True,
        add_ctr_clamp: bool = False,
        ctr_clamp: int = 32,
    ) -> None:
        self.means, self.stds = statistics(target_means, target_stds, self.encode_size)
        self.clip_border = clip_border
        self.ctr_clamp = ctr_clamp if add_ctr_clamp else None

    def encode(self, priors: Tensor, gts: Tensor) -> Tensor:
        """Targets (N, 4) for hbox priors (N, 4) and gts that are hboxes (N, 4) or rboxes (N, 5)."""
        gts = rbox2hbox(at_least_float32(gts)) if gts.shape[-1] == 5 else at_least_float32(gts)
        prior, gt = centered(at_least_float32(priors)), centered(gts)
        shift = (gt[..., :2] - prior[..., :2]) / positive_size(prior)
        return normalize(torch.cat([shift, log_ratio(positive_size(gt), prior)], dim=-1), self.means, self.stds)

    def decode(
        self,
        priors: Tensor,
        deltas: Tensor,
        max_shape: tuple[int, ...] | None = None,
        wh_ratio_clip: float = WH_RATIO_CLIP,
    ) -> Tensor:
        """Boxes from deltas.

        Args:
            priors: hboxes (..., 4).
            deltas: (..., 4), or (..., 4 · K) for K classes.
            max_shape: height and width of the image, to cut the boxes at.
            wh_ratio_clip: a size changes at most by this factor and its inverse.

        Returns:
            hboxes of the shape of ``deltas``.
        """
        values = denormalize(deltas, self.means, self.stds)
        prior = centered(priors)[..., None, :]
        center = prior[..., :2] + decoded_shift(prior, values, self.ctr_clamp)
        half = decoded_size(prior, values, self.ctr_clamp, wh_ratio_clip) * 0.5
        boxes = torch.cat([center - half, center + half], dim=-1)
        if self.clip_border and max_shape is not None:
            boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([max_shape[1], max_shape[0]]).repeat(2))
        return boxes.reshape(deltas.shape)


class DeltaXYWHTRBBoxCoder:
    """rbox priors, rboxes: as DeltaXYWHHBBoxCoder, with the difference of the angles as fifth value.

    Args:
        target_means: subtracted from the targets.
        target_stds: what they are divided by then.
        angle_version: how boxes are written; ``r360``, boxes with a heading, can be decoded only.
        norm_factor: angles are divided by this times π.
        edge_swap: a gt's w and h change places where its angle is then nearer to the prior's. Decoded boxes
            have w ≥ h.
        proj_xy: shifts are along the prior's sides, not along x and y.
        add_ctr_clamp: decoded centres stay within ``ctr_clamp`` of the prior's, and sizes may shrink freely.
        ctr_clamp: in pixels; along the prior's sides with ``proj_xy``, where MMRotate leaves it out.
    """

    encode_size = 5

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
        norm_angle(torch.zeros(0), angle_version)  # an unknown version fails here, not in the first step
        self.angle_version = angle_version
        self.angle_unit = norm_factor * pi if norm_factor else 1.0
        self.edge_swap = edge_swap
        self.proj_xy = proj_xy
        self.ctr_clamp = ctr_clamp if add_ctr_clamp else None

    def encode(self, priors: Tensor, gts: Tensor) -> Tensor:
        """Targets (N, 5) for rbox priors (N, 5) and rbox gts (N, 5)."""
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
        """The lesser turn of the two by which a gt can be reached, and w and h (..., 2) for it."""
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
        """Boxes from deltas.

        Args:
            priors: rboxes (..., 5).
            deltas: (..., 5), or (..., 5 · K) for K classes.
            max_shape: height and width of the image, whose pixels the centres are kept on.
            wh_ratio_clip: a size changes at most by this factor and its inverse.

        Returns:
            rboxes of the shape of ``deltas``.
        """
        values = denormalize(deltas, self.means, self.stds)
        prior = priors[..., None, :]
        shift = decoded_shift(prior, values, self.ctr_clamp)
        if self.proj_xy:
            shift = turned(shift, prior[..., 4])
        center = prior[..., :2] + shift
        if max_shape is not None:
            center = center.clamp(min=0).minimum(center.new_tensor([max_shape[1] - 1, max_shape[0] - 1]))
        w, h = decoded_size(prior, values, self.ctr_clamp, wh_ratio_clip).unbind(dim=-1)
        angle = norm_angle(prior[..., 4] + values[..., 4] * self.angle_unit, self.angle_version)
        if self.edge_swap:
            keep = w > h
            angle = norm_angle(torch.where(keep, angle, angle + pi / 2), self.angle_version)
            w, h = torch.where(keep, w, h), torch.where(keep, h, w)
        return torch.stack([*center.unbind(dim=-1), w, h, angle], dim=-1).reshape(deltas.shape)


class DeltaXYWHTHBBoxCoder:
    """hbox priors, rboxes: as DeltaXYWHTRBBoxCoder with the priors taken as rboxes of angle 0.

    The arguments are the same, but for ``proj_xy``, which would change nothing.
    """

    encode_size = 5

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
        """Targets (N, 5) for hbox priors (N, 4) and rbox gts (N, 5)."""
        return self._rotated.encode(centered(at_least_float32(priors)), gts)

    def decode(
        self,
        priors: Tensor,
        deltas: Tensor,
        max_shape: tuple[int, ...] | None = None,
        wh_ratio_clip: float = WH_RATIO_CLIP,
    ) -> Tensor:
        """rboxes of the shape of ``deltas``, (..., 5) or (..., 5 · K), from hbox priors (..., 4).

        ``max_shape`` changes nothing: as in MMRotate, centres may leave the image.
        """
        return self._rotated.decode(centered(priors), deltas, wh_ratio_clip=wh_ratio_clip)


class MidpointOffsetCoder:
    """hbox priors, rboxes: the box's circumscribed hbox, and where two of its corners lie on it.

    Oriented R-CNN's. The first four values are those of DeltaXYWHHBBoxCoder for the hbox; then come how far
    right of the middle of the top side the top corner lies, in widths, and how far below the middle of the
    right side the rightmost one, in heights.

    MMRotate looks for two top corners and for two right ones apart from each other. In a long box at a slight
    angle it finds two of one kind alone and encodes the two ends of a diagonal, a box without area; this does not.

    Args:
        target_means: subtracted from the targets.
        target_stds: what they are divided by then.
        angle_version: how decoded boxes are written.
    """

    encode_size = 6

    def __init__(
        self,
        target_means: Sequence[float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        target_stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
        angle_version: AngleVersion = "oc",
    ) -> None:
        self.means, self.stds = statistics(target_means, target_stds, self.encode_size)
        regularize(torch.zeros(0, 5), angle_version)  # an unknown version fails here, not in the first step
        self.angle_version = angle_version

    def encode(self, priors: Tensor, gts: Tensor) -> Tensor:
        """Targets (N, 6) for hbox priors (N, 4) and rbox gts (N, 5)."""
        prior, gts = centered(at_least_float32(priors)), regularize(at_least_float32(gts), self.angle_version)
        gt = centered(rbox2hbox(gts))
        corners = rbox2qbox(gts)
        x, y = corners[..., 0::2], corners[..., 1::2]
        up, left = y - y.amin(dim=-1, keepdim=True), x.amax(dim=-1, keepdim=True) - x
        # A box that lies straight, to a tenth of a pixel, has two top corners and two right ones: the right of
        # those and the lower of these count.
        straight = ((up <= 0.1).sum(dim=-1) > 1) & ((left <= 0.1).sum(dim=-1) > 1)
        slack = straight[..., None] * 0.1
        top = x.masked_fill(up > slack, -torch.inf).amax(dim=-1)
        right = y.masked_fill(left > slack, -torch.inf).amax(dim=-1)
        offset = (torch.stack([top, right], dim=-1) - gt[..., :2]) / positive_size(gt)
        shift = (gt[..., :2] - prior[..., :2]) / positive_size(prior)
        return normalize(torch.cat([shift, log_ratio(positive_size(gt), prior), offset], dim=-1), self.means, self.stds)

    def decode(
        self,
        priors: Tensor,
        deltas: Tensor,
        max_shape: tuple[int, ...] | None = None,
        wh_ratio_clip: float = WH_RATIO_CLIP,
    ) -> Tensor:
        """rboxes (..., 5) from hbox priors (..., 4) and deltas (..., 6).

        The values describe a parallelogram; the shorter diagonal is drawn out to the length of the longer,
        which makes it a rectangle. ``max_shape`` changes nothing, as in MMRotate.
        """
        values = denormalize(deltas, self.means, self.stds)[..., 0, :]
        prior = centered(priors)
        center = prior[..., :2] + decoded_shift(prior, values, None)
        size = decoded_size(prior, values, None, wh_ratio_clip)
        # From the centre to the top corner (da, −gh) and to the right one (gw, db): half of each diagonal.
        gw, gh = (size.clamp(min=MIN_SIZE) * 0.5).unbind(dim=-1)
        da, db = (values[..., 4:].clamp(-0.5, 0.5) * size).unbind(dim=-1)
        top, right = torch.stack([da, -gh], dim=-1), torch.stack([gw, db], dim=-1)
        angle = (torch.atan2(-gh, da) + torch.atan2(db, gw)) / 2
        # Both diagonals as long as the longer one. The sides are their sum and difference, which are exactly 0
        # where the two corners coincide or face each other: such a box is none.
        lengths = [torch.linalg.vector_norm(half, dim=-1, keepdim=True) for half in (top, right)]
        top, right = top / lengths[0], right / lengths[1]
        sides = [torch.linalg.vector_norm(side, dim=-1, keepdim=True) for side in (right + top, right - top)]
        longest = torch.maximum(*lengths)
        rboxes = torch.cat([center, sides[0] * longest, sides[1] * longest, angle[..., None]], dim=-1)
        return regularize(rboxes, self.angle_version)


class DistanceAnglePointCoder:
    """Points, rboxes: distances from the point to the left, top, right and bottom side, and the angle.

    Args:
        angle_version: how decoded angles are written; encoded ones stay as they are.
    """

    encode_size = 5

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
