"""Feature pyramid network (Lin et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from rotx.models.layers import ConvModule, Norm, xavier_init


class FPN(nn.Module):
    """Feature pyramid: maps of several strides → maps with equal numbers of channels, enriched by the coarser ones.

    Each input passes a 1×1 *lateral* convolution. From coarse to fine, each result is upsampled (nearest neighbour) and
    added to the next finer one. Each sum passes a 3×3 convolution. Extra, coarser outputs come from convolutions of
    stride 2, or from every second pixel of the output before. The keys of the state dict are MMDetection's.

    Args:
        in_channels: Number of channels of each input.
        out_channels: Number of channels of every output.
        num_outs: Number of output maps.
        start_level: Index of the first input used.
        end_level: Index of the last input used; -1 for the last one. Extra outputs need the last one.
        add_extra_convs: Source of the first extra convolution: ``on_input``, the last input; ``on_lateral``, its sum
            before the 3×3 convolution; ``on_output``, the last output. True means ``on_input``. False: extra outputs
            take every second pixel of the one before, without a convolution.
        relu_before_extra_convs: Whether a ReLU precedes each extra convolution except the first.
        no_norm_on_lateral: Whether the lateral convolutions have no normalisation.
        norm_cfg: Factory of the normalisation layers; None: no normalisation.

    Raises:
        ValueError: If the levels or the number of outputs do not fit the inputs.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        start_level: int = 0,
        end_level: int = -1,
        add_extra_convs: bool | str = False,
        relu_before_extra_convs: bool = False,
        no_norm_on_lateral: bool = False,
        norm_cfg: Norm | None = None,
    ) -> None:
        super().__init__()
        last = len(in_channels) - 1 if end_level == -1 else end_level
        if not 0 <= start_level <= last < len(in_channels):
            raise ValueError(
                f"start_level, end_level: need levels of the {len(in_channels)} inputs, got {start_level}, {end_level}"
            )
        extra = num_outs - (last - start_level + 1)
        if extra < 0 or (extra > 0 and last < len(in_channels) - 1):
            raise ValueError(
                f"num_outs: got {num_outs}, but levels {start_level} to {last} give {last - start_level + 1}"
                + (", and extra outputs need the last input" if extra > 0 else "")
            )
        self.in_channels, self.out_channels = tuple(in_channels), out_channels
        self.num_outs, self.start_level, self.last_level = num_outs, start_level, last
        self.add_extra_convs = "on_input" if add_extra_convs is True else add_extra_convs
        if self.add_extra_convs not in (False, "on_input", "on_lateral", "on_output"):
            raise ValueError(
                f"add_extra_convs: need 'on_input', 'on_lateral', 'on_output' or False, got {add_extra_convs!r}"
            )
        self.relu_before_extra_convs = relu_before_extra_convs

        lateral_norm = None if no_norm_on_lateral else norm_cfg
        self.lateral_convs = nn.ModuleList(
            ConvModule(channels, out_channels, 1, norm=lateral_norm, act=None)
            for channels in in_channels[start_level : last + 1]
        )
        self.fpn_convs = nn.ModuleList(
            ConvModule(out_channels, out_channels, 3, padding=1, norm=norm_cfg, act=None) for _ in self.lateral_convs
        )
        if self.add_extra_convs:
            for i in range(extra):
                channels = in_channels[last] if i == 0 and self.add_extra_convs == "on_input" else out_channels
                self.fpn_convs.append(
                    ConvModule(channels, out_channels, 3, stride=2, padding=1, norm=norm_cfg, act=None)
                )
        xavier_init(self)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Inputs (B, in_channels[i], H_i, W_i) → ``num_outs`` maps (B, out_channels, H_j, W_j).

        Raises:
            ValueError: If the number of inputs is not that of ``in_channels``.
        """
        if len(inputs) != len(self.in_channels):
            raise ValueError(
                f"neck.in_channels: need one number for each of the {len(inputs)} maps of the backbone, got "
                f"{list(self.in_channels)}"
            )
        sums = [conv(inputs[self.start_level + i]) for i, conv in enumerate(self.lateral_convs)]
        for i in range(len(sums) - 1, 0, -1):
            sums[i - 1] = sums[i - 1] + F.interpolate(sums[i], size=sums[i - 1].shape[-2:], mode="nearest")
        outputs = [self.fpn_convs[i](x) for i, x in enumerate(sums)]
        if not self.add_extra_convs:
            while len(outputs) < self.num_outs:
                outputs.append(outputs[-1][..., ::2, ::2])
            return tuple(outputs)
        sources = {"on_input": inputs[self.last_level], "on_lateral": sums[-1], "on_output": outputs[-1]}
        source = sources[str(self.add_extra_convs)]
        for conv in self.fpn_convs[len(sums) :]:
            outputs.append(conv(source))
            source = F.relu(outputs[-1]) if self.relu_before_extra_convs else outputs[-1]
        return tuple(outputs)
