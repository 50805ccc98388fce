"""Oriented R-CNN's coder of rotated boxes relative to horizontal priors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotx.boxes import AngleVersion, BoxKind, rbox2hbox, rbox2qbox, regularize
from rotx.models.coders.deltas import (
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
)


class MidpointOffsetCoder:
    """Encodes rboxes by their circumscribed hbox and the positions of two corners on it.

    Xie et al., "Oriented R-CNN for Object Detection", ICCV 2021. The first four values are those of
    DeltaXYWHHBBoxCoder for the hbox. The fifth is the offset of the top corner from the middle of the top side, in
    widths, to the right; the sixth that of the rightmost corner from the middle of the right side, in heights,
    downwards.

    MMRotate checks for two top corners and for two right corners independently. For a long box at a small angle only
    one check succeeds; it then encodes both ends of a diagonal, a box without area. This coder requires both.

    Args:
        target_means: Means subtracted from the targets.
        target_stds: Standard deviations that the targets are divided by.
        angle_version: Angle version of the decoded boxes.
    """

    encode_size = 6
    box_kind: BoxKind = "rbox"

    def __init__(
        self,
        target_means: Sequence[float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        target_stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
        angle_version: AngleVersion = "oc",
    ) -> None:
        self.means, self.stds = statistics(target_means, target_stds, self.encode_size)
        regularize(torch.zeros(0, 5), angle_version)  # an unknown version fails here, not in the first training step
        self.angle_version = angle_version

    def encode(self, priors: Tensor, gts: Tensor) -> Tensor:
        """Returns targets (N, 6) for hbox priors (N, 4) and rbox gts (N, 5)."""
        prior, gts = centered(at_least_float32(priors)), regularize(at_least_float32(gts), self.angle_version)
        gt = centered(rbox2hbox(gts))
        corners = rbox2qbox(gts)
        x, y = corners[..., 0::2], corners[..., 1::2]
        up, left = y - y.amin(dim=-1, keepdim=True), x.amax(dim=-1, keepdim=True) - x
        # An axis-parallel box, to 0.1 px, has two top and two right corners: use the right one of the former and the
        # lower one of the latter.
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
        """Returns rboxes (..., 5) from hbox priors (..., 4) and deltas (..., 6).

        The values describe a parallelogram; extending its shorter diagonal to the length of the longer one makes it a
        rectangle. ``max_shape`` has no effect, as in MMRotate.
        """
        values = denormalize(deltas, self.means, self.stds)[..., 0, :]
        prior = centered(priors)
        center = prior[..., :2] + decoded_shift(prior, values, None)
        size = decoded_size(prior, values, None, wh_ratio_clip)
        # Half diagonals, from the centre to the top corner (da, −gh) and to the right corner (gw, db).
        gw, gh = (size.clamp(min=MIN_SIZE) * 0.5).unbind(dim=-1)
        da, db = (values[..., 4:].clamp(-0.5, 0.5) * size).unbind(dim=-1)
        top, right = torch.stack([da, -gh], dim=-1), torch.stack([gw, db], dim=-1)
        angle = (torch.atan2(-gh, da) + torch.atan2(db, gw)) / 2
        # Extend both diagonals to the length of the longer one. The sides are their sum and difference, which are
        # exactly 0 where the two corners coincide or are opposite: such a box has no area.
        lengths = [torch.linalg.vector_norm(half, dim=-1, keepdim=True) for half in (top, right)]
        top, right = top / lengths[0], right / lengths[1]
        sides = [torch.linalg.vector_norm(side, dim=-1, keepdim=True) for side in (right + top, right - top)]
        longest = torch.maximum(*lengths)
        rboxes = torch.cat([center, sides[0] * longest, sides[1] * longest, angle[..., None]], dim=-1)
        return regularize(rboxes, self.angle_version)
