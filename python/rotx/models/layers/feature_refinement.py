"""R3Det's feature refinement.

Yang et al., "R3Det: Refined Single-Stage Detector with Feature Refinement for Rotating Object", AAAI 2021, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rotx.ops.feature_align import feature_align


class FRM(nn.Module):
    """Adds to the features of each place those at the centre of its box, so that a head sees what it refines.

    Args:
        feat_channels: Number of channels.
        strides: Stride of each level in pixels.
        center_order: ``"xy"``: the features come from the centre of the box. ``"yx"``: they come from the centre
            mirrored at the diagonal, x and y exchanged: mmcv's ``rotated_feature_align`` does so, and MMRotate's
            published weights were trained with it.

    Raises:
        ValueError: For another order.
    """

    def __init__(self, *, feat_channels: int, strides: Sequence[int], center_order: Literal["yx", "xy"] = "yx") -> None:
        super().__init__()
        if center_order not in ("yx", "xy"):
            raise ValueError(f"center_order: need 'yx' or 'xy', got {center_order!r}")
        self.strides = list(strides)
        self.center_order = center_order
        self.conv_5_1 = nn.Conv2d(feat_channels, feat_channels, (5, 1), padding=(2, 0))
        self.conv_1_5 = nn.Conv2d(feat_channels, feat_channels, (1, 5), padding=(0, 2))
        self.conv_1_1 = nn.Conv2d(feat_channels, feat_channels, 1)

    def forward(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> list[Tensor]:
        """Refined features of each level.

        Args:
            features: Maps (B, C, H, W) of each level.
            boxes: The rbox of each place of each level, (B, H · W, 5), in pixels of the image.

        Returns:
            Maps of the same shapes.
        """
        refined = []
        for x, level, stride in zip(features, boxes, self.strides, strict=True):
            mixed = self.conv_5_1(self.conv_1_5(x)) + self.conv_1_1(x)
            if self.center_order == "yx":
                level = torch.cat([level[..., :2].flip(-1), level[..., 2:]], dim=-1)
            refined.append(x + feature_align(mixed, level, 1 / stride))
        return refined
