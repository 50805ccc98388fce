"""Any feature backbone of timm, by its name there."""

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
    """A model of timm without its classifier: images → feature maps.

    Keys of the state dict are timm's after ``timm_model.``, as in MMPretrain.

    Args:
        model_name: as in ``timm.list_models()``, with or without the tag of its weights.
        features_only: must be True; so that MMPretrain's configs can be read.
        pretrained: whether :meth:`init_weights` loads timm's weights, downloaded unless cached.
        in_channels: of the images.
        out_indices: which of the model's feature maps are returned, from 0; None: all.
        norm_eval: keeps all batch normalisations in eval mode while training.
        init_cfg: the weights to start from instead, loaded by :meth:`init_weights`; a file with timm's keys.
        options: further keywords of the model's own, for ``timm.create_model``.

    Attributes:
        out_channels: channels of each feature map returned.
        strides: pixels of the image per pixel of each feature map.

    Raises:
        ValueError: for a name that timm does not know, or feature maps that the model does not have.
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
            raise ValueError(f"timm cannot make {model_name} with {self._arguments}: {error}") from None
        self.out_channels = tuple(self.timm_model.feature_info.channels())
        self.strides = tuple(self.timm_model.feature_info.reduction())
        # Swin and its like have the channels last.
        self._channels_last = str(getattr(self.timm_model, "output_fmt", "")).endswith("NHWC")

    def _create(self, pretrained: bool) -> Any:
        return timm.create_model(self._name, features_only=True, pretrained=pretrained, **self._arguments)

    def init_weights(self) -> None:
        """Loads the weights of ``init_cfg``, or timm's if ``pretrained``.

        Raises:
            OSError: if timm's cannot be downloaded; says how to go on without them.
        """
        if self.init_cfg is not None:
            self.init_cfg.load_into(self.timm_model)
        elif self.pretrained:
            try:
                # timm loads weights only while it makes a model.
                self.timm_model.load_state_dict(self._create(pretrained=True).state_dict())
            except (OSError, RuntimeError) as error:
                raise OSError(
                    f"cannot get timm's weights of {self._name} ({str(error).splitlines()[0]}): fill timm's cache, "
                    "give a file of yours as init_cfg, or start from random weights with pretrained=False"
                ) from None

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, in_channels, H, W) → one (B, out_channels[i], H / strides[i], W / strides[i]) for each feature map."""
        return tuple(y.permute(0, 3, 1, 2) if self._channels_last else y for y in self.timm_model(x))

    def train(self, mode: bool = True) -> TIMMBackbone:
        """As ``nn.Module.train``; what is frozen stays in eval mode."""
        super().train(mode)
        if self.norm_eval:
            norms_to_eval(self)
        return self
