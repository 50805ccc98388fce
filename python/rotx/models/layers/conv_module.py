"""Convolution, normalisation and activation as one layer."""

from __future__ import annotations

from torch import Tensor, nn

from rotx.models.layers.norms import Norm


class ConvModule(nn.Module):
    """Convolution, then normalisation, then ReLU; the last two may be left out.

    The parameters are named ``conv.*`` and ``bn.*`` or ``gn.*``, as in mmcv.

    Args:
        in_channels: of the input (B, in_channels, H, W).
        out_channels: of the output (B, out_channels, H', W').
        kernel_size: in pixels.
        stride: in pixels.
        padding: in pixels, of zeros.
        norm: makes the normalisation; None for none.
        relu: whether a ReLU follows.
        bias: whether the convolution has a bias; None: where no normalisation follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        norm: Norm | None = None,
        relu: bool = True,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        bias = norm is None if bias is None else bias
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm_name = None if norm is None else norm.name
        if norm is not None:
            self.add_module(norm.name, norm(out_channels))
        self.relu = nn.ReLU(inplace=True) if relu else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, out_channels, H', W')."""
        x = self.conv(x)
        if self.norm_name is not None:
            x = self.get_submodule(self.norm_name)(x)
        return x if self.relu is None else self.relu(x)
