"""Convolution, normalisation and activation as one layer."""

from __future__ import annotations

from torch import Tensor, nn

from rotx.models.layers.activations import Activation, relu
from rotx.models.layers.convolutions import Conv, conv2d
from rotx.models.layers.norms import Norm


class ConvModule(nn.Module):
    """Convolution, then normalisation, then activation; the last two are optional.

    The parameters are named ``conv.*`` and ``bn.*`` or ``gn.*``, as in mmcv.

    Args:
        in_channels: Number of channels of the input (B, in_channels, H, W).
        out_channels: Number of channels of the output (B, out_channels, H', W').
        kernel_size: Width and height of the kernel, in pixels.
        stride: Stride, in pixels.
        padding: Zero padding on each side, in pixels.
        dilation: Spacing of the kernel's entries, in pixels.
        groups: Number of channel groups that are convolved separately.
        norm: Factory of the normalisation; None: no normalisation.
        act: Factory of the activation; None: no activation.
        conv: Factory of the convolution; None: ``nn.Conv2d``.
        bias: Whether the convolution has a bias; None: only if there is no normalisation.
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
