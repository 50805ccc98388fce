"""ResNet (He et al., 2016) with the blocks and key names of torchvision."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from rotx.models.checkpoints import Pretrained
from rotx.models.layers import BN, Norm, freeze, norms_to_eval

#: Depth → type of block, and number of blocks in each of the four stages.
DEPTHS: dict[int, tuple[type[BasicBlock | Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """ResNet without its classifier: images → feature maps of strides 4, 8, 16 and 32.

    The keys of the state dict are torchvision's (``conv1``, ``bn1``, ``layer1.0.conv1``, …), so ImageNet weights load.

    Args:
        depth: Number of layers: 18, 34, 50, 101 or 152.
        num_stages: Number of stages to build, 1 to 4.
        out_indices: Indices of the stages whose outputs are returned, from 0.
        base_channels: Number of channels of the stem and first stage, doubled by each later stage; ImageNet weights
            need 64.
        frozen_stages: Stages that are not trained: -1 for none, 0 for the stem, k for the stem and the first k stages.
            Their parameters get no gradient and their normalisations stay in eval mode.
        norm_cfg: Factory of the normalisation layers.
        norm_eval: Whether all batch normalisations stay in eval mode during training.
        style: Layer of a bottleneck that has the stride: the 3×3 convolution for ``pytorch``, the first 1×1
            convolution for ``caffe``.
        zero_init_residual: Whether blocks start as the identity, if no initial weights are loaded.
        init_cfg: Initial weights, loaded by :meth:`init_weights`; None: random weights.

    Attributes:
        out_channels: Number of channels of each returned feature map.

    Raises:
        ValueError: If the depth, a stage or the style is not supported.
    """

    def __init__(
        self,
        *,
        depth: int,
        num_stages: int = 4,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        base_channels: int = 64,
        frozen_stages: int = -1,
        norm_cfg: Norm | None = None,
        norm_eval: bool = True,
        style: str = "pytorch",
        zero_init_residual: bool = True,
        init_cfg: Pretrained | None = None,
    ) -> None:
        super().__init__()
        _check(depth, num_stages, out_indices, base_channels, frozen_stages, style)
        norm = norm_cfg or BN()
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.init_cfg = init_cfg

        self.conv1 = nn.Conv2d(3, base_channels, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = norm(base_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        block, counts = DEPTHS[depth]
        channels = base_channels
        self.stages: list[str] = []
        for i, count in enumerate(counts[:num_stages]):
            width = base_channels * 2**i
            self.stages.append(f"layer{i + 1}")
            self.add_module(self.stages[i], _stage(block, channels, width, count, 1 if i == 0 else 2, norm, style))
            channels = width * block.expansion
        self.out_channels = tuple(base_channels * 2**i * block.expansion for i in self.out_indices)
        self._random_weights(zero_init_residual)
        self.train()

    def _random_weights(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            # A block whose last normalisation has scale 0 starts as the identity.
            elif isinstance(module, BasicBlock) and zero_init_residual:
                nn.init.zeros_(module.bn2.weight)
            elif isinstance(module, Bottleneck) and zero_init_residual:
                nn.init.zeros_(module.bn3.weight)

    def init_weights(self) -> None:
        """Loads the weights of ``init_cfg``, if there are any."""
        if self.init_cfg is not None:
            self.init_cfg.load_into(self)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) → one (B, out_channels[i], H / stride, W / stride), rounded up, for each of ``out_indices``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        outputs = []
        for i, stage in enumerate(self.stages):
            x = self.get_submodule(stage)(x)
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)

    def train(self, mode: bool = True) -> ResNet:
        """Sets the mode like ``nn.Module.train``; frozen layers stay in eval mode."""
        super().train(mode)
        if self.frozen_stages >= 0:
            freeze([self.conv1, self.bn1, *(self.get_submodule(stage) for stage in self.stages[: self.frozen_stages])])
        if self.norm_eval:
            norms_to_eval(self)
        return self


def _stage(
    block: type[BasicBlock | Bottleneck], channels: int, width: int, count: int, stride: int, norm: Norm, style: str
) -> nn.Sequential:
    out = width * block.expansion
    downsample = None
    if stride != 1 or channels != out:
        downsample = nn.Sequential(nn.Conv2d(channels, out, kernel_size=1, stride=stride, bias=False), norm(out))
    first = block(channels, width, stride, downsample, norm_layer=norm)
    if style == "caffe" and isinstance(first, Bottleneck):
        first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride
    return nn.Sequential(first, *(block(out, width, norm_layer=norm) for _ in range(count - 1)))


def _check(
    depth: int, num_stages: int, out_indices: Sequence[int], base_channels: int, frozen_stages: int, style: str
) -> None:
    if depth not in DEPTHS:
        raise ValueError(f"depth: need one of {', '.join(map(str, DEPTHS))}, got {depth!r}")
    if not 1 <= num_stages <= 4:
        raise ValueError(f"num_stages: need 1 to 4, got {num_stages!r}")
    if not out_indices or list(out_indices) != sorted(set(out_indices) & set(range(num_stages))):
        raise ValueError(f"out_indices: need increasing stages from 0 to {num_stages - 1}, got {tuple(out_indices)!r}")
    if base_channels < 1:
        raise ValueError(f"base_channels: need at least 1, got {base_channels!r}")
    if not -1 <= frozen_stages <= num_stages:
        raise ValueError(f"frozen_stages: need -1 to {num_stages}, got {frozen_stages!r}")
    if style not in ("pytorch", "caffe"):
        raise ValueError(f"style: need 'pytorch' or 'caffe', got {style!r}")
