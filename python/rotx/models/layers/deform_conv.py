"""Deformable convolution (Dai et al., "Deformable Convolutional Networks", ICCV 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

#: Farther than any image reaches, in pixels.
_OUTSIDE = 1e7


class DeformConv2d(nn.Module):
    """A square convolution without bias whose kernel takes its values at places of the caller's choice.

    Half precision is computed in float32: it cannot say where between two pixels a place is. The parameter is named
    ``weight``, as in mmcv.

    Args:
        in_channels: Number of channels of the input.
        out_channels: Number of channels of the output.
        kernel_size: Size of the kernel, an odd number of pixels; the input is padded so that its size stays.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.padding = kernel_size // 2
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """The output (B, out_channels, H, W), of the dtype of the input.

        Args:
            x: Input (B, in_channels, H, W).
            offsets: How far from its usual place each entry of the kernel is, in pixels, (B, 2 · size², H, W): y and
                x of each entry, row by row.
        """
        dtype = torch.promote_types(x.dtype, torch.float32)
        # torchvision would read memory that is not its own, and crash: values out of the image are 0.
        offsets = offsets.nan_to_num(nan=_OUTSIDE, posinf=_OUTSIDE, neginf=-_OUTSIDE)
        out: Tensor = deform_conv2d(x.to(dtype), offsets.to(dtype), self.weight.to(dtype), padding=self.padding)
        return out.to(x.dtype)
