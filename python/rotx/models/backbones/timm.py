"""Backbones of timm, selected by name."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from rotx.models.checkpoints import Pretrained
from rotx.models.layers import norms_to_eval

try:
    import timm
except ModuleNotFoundError as error:
    if error.name != "timm":
        raise
    raise ImportError("TIMMBackbone needs timm: pip install 'rotx[timm]'") from None


class TIMMBackbone(nn.Module):
    """timm model without its classifier: images → feature maps.

    The keys of the state dict are timm's with the prefix ``timm_model.``, as in MMPretrain.

    Args:
        model_name: Name from ``timm.list_models()``, with or without the tag of the weights.
        features_only: Must be True; accepted so that MMPretrain's configs can be read.
        pretrained: Whether :meth:`init_weights` loads timm's weights, downloading them unless cached.
        in_channels: Number of channels of the images.
        out_indices: Indices of the feature maps to return, from 0; None: all.
        norm_eval: Whether all batch normalisations stay in eval mode during training.
        init_cfg: Initial weights used instead of timm's, from a file with timm's keys; :meth:`init_weights` loads them.
        options: Further keyword arguments of ``timm.create_model``.

    Attributes:
        out_channels: Number of channels of each returned feature map.
        strides: Stride of each returned feature map, in pixels of the image.

    Raises:
        ValueError: If timm does not know the name, or the model lacks a requested feature map.
    """

    def __init__(
        self,
        *,
        model_name: str,
        features_only: bool = True,
        pretrained: bool = False,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        norm_eval: bool = False,
        init_cfg: Pretrained | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if not features_only:
            raise ValueError("features_only: a detector needs feature maps: set it to True")
        if not timm.is_model(model_name):
            near = get_close_matches(model_name, timm.list_models(), n=1)
            raise ValueError(
                f"model_name: timm has no model {model_name!r}" + (f": did you mean {near[0]!r}?" * len(near))
            )
        self.pretrained = pretrained
        self.norm_eval = norm_eval
        self.init_cfg = init_cfg
        self._arguments = {"in_chans": in_channels, **options}
        if out_indices is not None:
            self._arguments["out_indices"] = tuple(out_indices)
        self._name = model_name
        try:
            self.timm_model = self._create(pretrained=False)
        except (AssertionError, IndexError, RuntimeError, TypeError) as error:
            raise ValueError(f"timm cannot create {model_name} with {self._arguments}: {error}") from None
        self.out_channels = tuple(self.timm_model.feature_info.channels())
        self.strides = tuple(self.timm_model.feature_info.reduction())
        # Swin and some other models return channels-last maps.
        self._channels_last = str(getattr(self.timm_model, "output_fmt", "")).endswith("NHWC")

    def _create(self, pretrained: bool) -> Any:
        return timm.create_model(self._name, features_only=True, pretrained=pretrained, **self._arguments)

    def init_weights(self) -> None:
        """Loads the weights of ``init_cfg``, or else timm's if ``pretrained``.

        Raises:
            OSError: If timm's weights cannot be downloaded; the message says how to continue without them.
        """
        if self.init_cfg is not None:
            self.init_cfg.load_into(self.timm_model)
        elif self.pretrained:
            try:
                # timm loads weights only while it creates a model.
                self.timm_model.load_state_dict(self._create(pretrained=True).state_dict())
            except (OSError, RuntimeError) as error:
                raise OSError(
                    f"cannot get timm's weights of {self._name} ({str(error).splitlines()[0]}): fill timm's cache, "
                    "set init_cfg to a local file, or start from random weights with pretrained=False"
                ) from None

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, in_channels, H, W) → one (B, out_channels[i], H / strides[i], W / strides[i]) for each feature map."""
        return tuple(y.permute(0, 3, 1, 2) if self._channels_last else y for y in self.timm_model(x))

    def train(self, mode: bool = True) -> TIMMBackbone:
        """Sets the mode like ``nn.Module.train``; frozen layers stay in eval mode."""
        super().train(mode)
        if self.norm_eval:
            norms_to_eval(self)
        return self
