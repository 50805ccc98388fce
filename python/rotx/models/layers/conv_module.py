"""Convolution, normalisation and activation as one layer."""

from __future__ import annotations

from torch import Tensor, nn

from rotx.models.layers.activations import Activation, relu
from rotx.models.layers.convolutions import Conv, conv2d
from rotx.models.layers.norms import Norm


class ConvModule(nn.Module):
    """Convolution, then normalisation, then activation; the last two may be left out.

    The parameters are named ``conv.*`` and ``bn.*`` or ``gn.*``, as in mmcv.

    Args:
        in_channels: Number of channels of the input (B, in_channels, H, W).
        out_channels: Number of channels of the output (B, out_channels, H', W').
        kernel_size: Size of the kernel, in pixels.
        stride: Stride, in pixels.
        padding: Padding with zeros, in pixels.
        dilation: Distance of the kernel's entries, in pixels.
        groups: Number of groups of channels that are convolved apart.
        norm: Maker of the normalisation; None for none.
        act: Maker of the activation; None for none.
        conv: Maker of the convolution; None for the plain one.
        bias: Whether the convolution has a bias; None: where no normalisation follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        norm: Norm | None = None,
        act: Activation | None = relu(),  # noqa: B008
        conv: Conv | None = None,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        self.conv = (conv or conv2d())(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=norm is None if bias is None else bias,
        )
        self.act = None if act is None else act()
        leaky = isinstance(self.act, nn.LeakyReLU)
        slope = self.act.negative_slope if isinstance(self.act, nn.LeakyReLU) else 0.0
        weight, own_bias = self.conv.weight, getattr(self.conv, "bias", None)
        assert isinstance(weight, Tensor)
        nn.init.kaiming_normal_(weight, a=slope, mode="fan_out", nonlinearity="leaky_relu" if leaky else "relu")
        if isinstance(own_bias, Tensor):
            nn.init.zeros_(own_bias)
        self.norm_name = None if norm is None else norm.name
        if norm is not None:
            self.add_module(norm.name, norm(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, out_channels, H', W')."""
        x = self.conv(x)
        if self.norm_name is not None:
            x = self.get_submodule(self.norm_name)(x)
        return x if self.act is None else self.act(x)
