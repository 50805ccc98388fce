"""What all detectors share: a backbone, a neck, a preprocessor, and their losses by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from rotx.models.checkpoints import Pretrained
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.structures import Batch, Detections, Targets

#: Loss terms by name: a value, or one for each level. Names without "loss" are only shown.
Losses = Mapping[str, Tensor | list[Tensor]]


class Detector(nn.Module):
    """What all detectors share; a subclass adds its heads, ``loss`` and ``predict``."""

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module | None,
        data_preprocessor: DetDataPreprocessor | None,
        init_cfg: Pretrained | None,
    ) -> None:
        super().__init__()
        self.data_preprocessor = data_preprocessor or DetDataPreprocessor()
        self.backbone = backbone
        self.neck = neck
        self.init_cfg = init_cfg

    def init_weights(self) -> None:
        """Sets the weights that training starts from; may download those of the backbone."""
        for child in self.children():
            set_weights = getattr(child, "init_weights", None)
            if set_weights is not None:
                set_weights()
        if self.init_cfg is not None:
            self.init_cfg.load_into(self)

    def extract(self, images: Tensor) -> Sequence[Tensor]:
        """The feature maps of images (B, 3, H, W), finest first."""
        maps: Sequence[Tensor] = self.backbone(images)
        return maps if self.neck is None else self.neck(maps)

    def loss(self, batch: Batch, targets: Sequence[Targets]) -> Losses:
        """The loss terms of a batch."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> list[Detections]:
        """The detections of each image, best first, in pixels of the batch's images."""
        raise NotImplementedError

    def forward(self, batch: Batch, targets: Sequence[Targets] | None = None) -> Losses | list[Detections]:
        """The loss terms with targets, the detections without."""
        return self.predict(batch) if targets is None else self.loss(batch, targets)


def total_loss(losses: Losses) -> Tensor:
    """What training minimises: the sum of the terms that are losses, each the mean of its values."""
    total: Tensor | None = None
    for name, term in losses.items():
        if "loss" not in name:
            continue
        for value in [term] if isinstance(term, Tensor) else term:
            total = value.mean() if total is None else total + value.mean()
    if total is None:
        raise ValueError(f"losses: none among {', '.join(losses) or 'no terms'}")
    return total
