"""Coder of horizontal boxes relative to horizontal priors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotx.boxes import BoxKind
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
)


class DeltaXYWHHBBoxCoder:
    """Encodes hboxes by the centre's shift, in units of the prior's size, and the logarithms of the size ratios.

    The priors are hboxes, too.

    Args:
        target_means: Means subtracted from the targets.
        target_stds: Standard deviations that the targets are divided by.
        clip_border: Whether to clip decoded boxes to the image, if its shape is given.
        add_ctr_clamp: Whether decoded centres stay within ``ctr_clamp`` of the prior's; sizes may then shrink freely.
        ctr_clamp: Greatest distance of a decoded centre from the prior's along x and y, in pixels.
    """

    encode_size = 4
    box_kind: BoxKind = "hbox"

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
        """Returns targets (N, 4) for hbox priors (N, 4) and hbox gts (N, 4)."""
        prior, gt = centered(at_least_float32(priors)), centered(at_least_float32(gts))
        shift = (gt[..., :2] - prior[..., :2]) / positive_size(prior)
        return normalize(torch.cat([shift, log_ratio(positive_size(gt), prior)], dim=-1), self.means, self.stds)

    def decode(
        self,
        priors: Tensor,
        deltas: Tensor,
        max_shape: tuple[int, ...] | None = None,
        wh_ratio_clip: float = WH_RATIO_CLIP,
    ) -> Tensor:
        """Returns the boxes of deltas.

        Args:
            priors: Prior hboxes (..., 4).
            deltas: Encoded boxes (..., 4), or (..., 4 · K) for K classes.
            max_shape: Height and width of the image that boxes are clipped to; None: boxes are not clipped.
            wh_ratio_clip: Greatest change of a size: by this factor or its inverse.

        Returns:
            Hboxes in the shape of ``deltas``.
        """
        values = denormalize(deltas, self.means, self.stds)
        prior = centered(priors)[..., None, :]
        center = prior[..., :2] + decoded_shift(prior, values, self.ctr_clamp)
        half = decoded_size(prior, values, self.ctr_clamp, wh_ratio_clip) * 0.5
        corners = [center - half, center + half]
        if self.clip_border and max_shape is not None:
            corners = [clipped(corner, max_shape[1], max_shape[0]) for corner in corners]
        return torch.cat(corners, dim=-1).reshape(deltas.shape)
