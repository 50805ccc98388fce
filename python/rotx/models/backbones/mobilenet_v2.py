"""MobileNetV2 (Sandler et al., 2018), built from torchvision's layers, with torchvision's key names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from rotx.models.checkpoints import Pretrained
from rotx.models.layers import BN, Norm, freeze, norms_to_eval

#: Index in torchvision's ``features`` of the last layer of each stage: the stem (0) and the seven groups of inverted
#: residuals. The strides of the stages are 2, 2, 4, 8, 16, 16, 32 and 32.
LAST = (0, 1, 3, 6, 10, 13, 16, 17)


class MobileNetV2(nn.Module):
    """MobileNetV2 without its classifier: images → feature maps.

    The keys of the state dict are torchvision's (``features.0.0.weight``, …). Stages after the last of
    ``out_indices`` are not built.

    Args:
        widen_factor: Factor of the number of channels of every layer.
        out_indices: Numbers of the stages whose outputs are returned, from 1 to 7, as in MMDetection. The default
            stages have strides 4, 8, 16 and 32.
        frozen_stages: Stages that are not trained: -1 for none, 0 for the stem, k for the stem and stages 1 to k.
        norm_cfg: Factory of the normalisation layers.
        norm_eval: Whether all batch normalisations stay in eval mode during training.
        init_cfg: Initial weights, loaded by :meth:`init_weights`; None: random weights.

    Attributes:
        out_channels: Number of channels of each returned feature map.

    Raises:
        ValueError: If a stage does not exist.
    """

    def __init__(
        self,
        *,
        widen_factor: float = 1.0,
        out_indices: Sequence[int] = (2, 3, 5, 7),
        frozen_stages: int = -1,
        norm_cfg: Norm | None = None,
        norm_eval: bool = False,
        init_cfg: Pretrained | None = None,
    ) -> None:
        super().__init__()
        if not out_indices or list(out_indices) != sorted(set(out_indices) & set(range(1, 8))):
            raise ValueError(f"out_indices: need increasing stages from 1 to 7, got {tuple(out_indices)!r}")
        if not -1 <= frozen_stages <= out_indices[-1]:
            raise ValueError(f"frozen_stages: need -1 to {out_indices[-1]}, got {frozen_stages!r}")
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.init_cfg = init_cfg
        norm = norm_cfg or BN()
        layers = mobilenet_v2(width_mult=widen_factor, norm_layer=norm).features
        self.features = layers[: LAST[out_indices[-1]] + 1]
        self.out_channels = tuple(layers[LAST[i]].out_channels for i in self.out_indices)
        self.train()

    def init_weights(self) -> None:
        """Loads the weights of ``init_cfg``, if there are any."""
        if self.init_cfg is not None:
            self.init_cfg.load_into(self)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) → one (B, out_channels[i], H / stride, W / stride), rounded up, for each of ``out_indices``."""
        taps = [LAST[i] for i in self.out_indices]
        outputs = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in taps:
                outputs.append(x)
        return tuple(outputs)

    def train(self, mode: bool = True) -> MobileNetV2:
        """As ``nn.Module.train``; what is frozen stays in eval mode."""
        super().train(mode)
        if self.frozen_stages >= 0:
            freeze(list(self.features[: LAST[self.frozen_stages] + 1]))
        if self.norm_eval:
            norms_to_eval(self)
        return self
