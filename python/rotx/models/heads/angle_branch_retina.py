"""RetinaNet's head with an output for the angle alone.

Yang & Yan, "Arbitrary-Oriented Object Detection with Circular Smooth Label", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rotx.models.coders.angle_coder import AngleCoder
from rotx.models.heads.anchor_targets import AnchorTargets
from rotx.models.heads.retina import RetinaHead
from rotx.models.layers import bias_for_probability, normal_init
from rotx.models.losses.reduce import Loss
from rotx.models.structures import Size


class AngleBranchRetinaHead(RetinaHead):
    """A :class:`RetinaHead` with a separate output for the encoded angle.

    Args:
        angle_coder: Coder of angles, such as :class:`CSLCoder`.
        loss_angle: Loss of the encoded angles of positive anchors.
        use_encoded_angle: Whether the output encodes the angle of the encoded box, relative to the anchor, instead of
            the angle of the object.
        shield_reg_angle: Whether the regression loss leaves the angle out.
        use_normalized_angle_feat: Whether a sigmoid maps the output to (−1, 1).
        **kwargs: Arguments of :class:`RetinaHead`.
    """

    def __init__(
        self,
        *,
        angle_coder: AngleCoder,
        loss_angle: Loss,
        use_encoded_angle: bool = True,
        shield_reg_angle: bool = False,
        use_normalized_angle_feat: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if shield_reg_angle and self.reg_decoded_bbox:
            raise ValueError("shield_reg_angle: the angle of a decoded box cannot be left out: drop reg_decoded_bbox")
        self.angle_coder = angle_coder
        self.loss_angle = loss_angle
        self.use_encoded_angle = use_encoded_angle
        self.shield_reg_angle = shield_reg_angle
        self.use_normalized_angle_feat = use_normalized_angle_feat
        channels = self.retina_reg.in_channels
        self.retina_angle_cls = nn.Conv2d(channels, self.num_anchors * angle_coder.encode_size, 3, padding=1)

    def init_weights(self) -> None:
        """Initialises as RetinaNet does; every entry of the angle code starts with probability 0.01."""
        super().init_weights()
        normal_init(self.retina_angle_cls, std=0.01, bias=bias_for_probability(0.01))

    def forward_level(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits, encoded boxes and encoded angles of one level."""
        cls, reg = self.towers(x)
        angle = self.retina_angle_cls(reg)
        if self.use_normalized_angle_feat:
            angle = angle.sigmoid() * 2 - 1
        return self.retina_cls(cls), self.retina_reg(reg), angle

    def level_loss(self, rows: tuple[Tensor, ...], goal: AnchorTargets) -> dict[str, Tensor]:
        """The loss terms of one level, including that of the angle."""
        boxes = goal.bbox_targets if self.use_encoded_angle else goal.gt_boxes
        wanted = self.angle_coder.encode(boxes[:, 4:5])
        loss_angle = self.loss_angle(rows[2].index_select(0, goal.rows), wanted, avg_factor=goal.avg_factor)
        if self.shield_reg_angle:
            # The target takes the place of the prediction: no loss and no gradient.
            logits, deltas = rows[:2]
            angles = deltas[:, 4:5].detach().index_copy(0, goal.rows, goal.bbox_targets[:, 4:5])
            rows = (logits, torch.cat([deltas[:, :4], angles], dim=1))
        return super().level_loss(rows, goal) | {"loss_angle": loss_angle}

    def to_boxes(self, outputs: Sequence[Tensor], anchors: Tensor, size: Size) -> Tensor:
        """Boxes (N, 5) of one image from encoded boxes and encoded angles."""
        deltas, codes = outputs
        angle = self.angle_coder.decode(codes, keepdim=True)
        if self.use_encoded_angle:
            return self.bbox_coder.decode(anchors, torch.cat([deltas[:, :4], angle], dim=1), max_shape=size)
        boxes = self.bbox_coder.decode(anchors, deltas, max_shape=size)
        return torch.cat([boxes[:, :4], angle], dim=1)
