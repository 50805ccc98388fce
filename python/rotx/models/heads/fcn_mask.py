"""The mask head of Mask R-CNN: a small fully convolutional network on the features of each RoI.

He et al., "Mask R-CNN", ICCV 2017.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn

from rotx.models.coders.deltas import clipped
from rotx.models.layers import ConvModule
from rotx.models.losses.reduce import Loss
from rotx.models.structures import Size


class FCNMaskHead(nn.Module):
    """Predicts a mask for each class within each RoI.

    Args:
        num_classes: Number of classes, K.
        num_convs: Number of convolutions before the upsampling.
        in_channels: Number of input channels.
        conv_out_channels: Number of channels of the convolutions and of the upsampling.
        class_agnostic: Whether a RoI has one mask for all classes instead of one for each.
        loss_mask: Loss of the mask of each RoI's class: `CrossEntropyLoss` with ``use_mask``.
    """

    #: Ratio of mask size to feature size.
    scale_factor = 2

    def __init__(
        self,
        *,
        num_classes: int = 80,
        num_convs: int = 4,
        in_channels: int = 256,
        conv_out_channels: int = 256,
        class_agnostic: bool = False,
        # Training
        loss_mask: Loss,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.class_agnostic = class_agnostic
        self.loss_mask = loss_mask
        widths = [in_channels] + [conv_out_channels] * num_convs
        self.convs = nn.ModuleList(ConvModule(widths[i], conv_out_channels, 3, padding=1) for i in range(num_convs))
        self.upsample = nn.ConvTranspose2d(widths[-1], conv_out_channels, self.scale_factor, self.scale_factor)
        self.conv_logits = nn.Conv2d(conv_out_channels, 1 if class_agnostic else num_classes, 1)

    def init_weights(self) -> None:
        """Initialises the last two layers with Kaiming's normal distribution."""
        for layer in (self.upsample, self.conv_logits):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Mask logits (R, K or 1, 2h, 2w) of features (R, C, h, w)."""
        for layer in self.convs:
            x = layer(x)
        logits: Tensor = self.conv_logits(self.upsample(x).relu())
        return logits

    @torch.no_grad()
    def targets(self, rois: Tensor, gt_inds: Tensor, bitmaps: Tensor, mask_size: Size) -> Tensor:
        """The part of each RoI's object inside the RoI, as a grid of h × w cells, 0 or 1: (P, h, w).

        A cell is 1 if the object covers at least half of it.

        Args:
            rois: Positive RoIs of all images, hboxes (P, 4).
            gt_inds: Index of each RoI's object, (P,).
            bitmaps: Masks of the objects of all images, (G, H, W), 0 or 1; H and W as in the batch.
            mask_size: Height and width of the grid.
        """
        if not len(rois):
            return rois.new_zeros((0, *mask_size))
        height, width = bitmaps.shape[1:]
        corners = rois[:, :2].float(), rois[:, 2:].float()
        boxes = torch.cat([clipped(corner, width, height) for corner in corners], dim=1)
        # Each mask plays an image of the batch: RoIs of one object share it.
        indexed = torch.cat([gt_inds[:, None].to(boxes), boxes], dim=1)
        shares: Tensor = torchvision.ops.roi_align(bitmaps[:, None].to(boxes), indexed, mask_size, 1.0, 0, aligned=True)
        return (shares[:, 0] >= 0.5).to(boxes)

    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
        """The mask loss of P positive RoIs; 0 without any.

        Args:
            logits: Outputs of the head, (P, K or 1, h, w).
            targets: Result of `targets`, (P, h, w).
            labels: Class of each RoI's object, (P,).
        """
        if not len(logits):
            return logits.float().sum()
        loss: Tensor = self.loss_mask(self._own_class(logits.float(), labels), targets)
        return loss

    def decode(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Probabilities (N, h, w) of the masks of N detections.

        Args:
            logits: Outputs of the head, (N, K or 1, h, w).
            labels: Class of each detection, (N,).
        """
        return self._own_class(logits.float(), labels).sigmoid()

    def _own_class(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The logits (N, h, w) of the class of each row."""
        if self.class_agnostic:
            return logits[:, 0]
        return logits[torch.arange(len(logits), device=logits.device), labels]
