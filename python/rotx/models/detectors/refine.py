"""Detectors whose dense heads refine each other's boxes.

Yang et al., "R3Det: Refined Single-Stage Detector with Feature Refinement for Rotating Object", AAAI 2021; Han et al.,
"Align Deep Features for Oriented Object Detection" (S2ANet), TGRS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from rotx.models.checkpoints import Pretrained
from rotx.models.detectors.detector import Detector, Losses
from rotx.models.heads.maps import Maps
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.structures import Batch, Candidates
from rotx.records import Instances


class RefineStage(NamedTuple):
    """Outputs of one head.

    Attributes:
        maps: Raw outputs of the head.
        priors: Boxes (B, A, D) of each level that the head refines; None: the head has its own priors.
    """

    maps: Maps
    priors: list[Tensor] | None


class Refine(Detector):
    """Detector with a dense head followed by heads that refine its boxes: R3Det, S2ANet.

    Args:
        backbone: Backbone: images → feature maps.
        neck: Neck: feature maps → feature pyramid; None: the maps go directly to the heads.
        bbox_head_init: First head; as for :class:`SingleStage`, plus ``refine(raw)``, which returns the boxes
            (B, A, D) of each level that the next head refines.
        bbox_head_refine: Refining heads, in order. They take the boxes of the previous head as ``priors``:
            ``forward(features, priors)``, ``loss(raw, targets, batch, priors)``, ``refine(raw, priors)`` and
            ``decode(raw, batch, priors)``.
        stage_loss_weights: Weights of the losses of the refining heads; None: 1 for each.
        data_preprocessor: Normalises and pads images to a batch; None: the default settings.
        init_cfg: Initial weights of the whole detector; None: those of its parts.

    Raises:
        ValueError: If there is no refining head, or the number of weights differs from that of the heads.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module | None = None,
        bbox_head_init: nn.Module,
        bbox_head_refine: Sequence[nn.Module],
        stage_loss_weights: Sequence[float] | None = None,
        data_preprocessor: DetDataPreprocessor | None = None,
        init_cfg: Pretrained | None = None,
    ) -> None:
        super().__init__(backbone, neck, data_preprocessor, init_cfg)
        weights = [1.0] * len(bbox_head_refine) if stage_loss_weights is None else list(stage_loss_weights)
        if not bbox_head_refine or len(weights) != len(bbox_head_refine):
            heads = len(bbox_head_refine)
            raise ValueError(
                f"stage_loss_weights: need one weight per refining head, got {len(weights)} for {heads} heads; "
                "need at least one head"
            )
        self.bbox_head_init = bbox_head_init
        self.bbox_head_refine = nn.ModuleList(bbox_head_refine)
        self.stage_loss_weights = weights

    @property
    def head(self) -> Any:
        """Head that predicts the detections: the last one."""
        return self.bbox_head_refine[-1]

    def init_weights(self) -> None:
        """Initialises the weights for training; may download those of the backbone."""
        for head in self.bbox_head_refine:
            cast("Any", head).init_weights()
        super().init_weights()

    def network(self, images: Tensor) -> list[RefineStage]:
        """Returns the raw outputs of each head for images (B, 3, H, W)."""
        features = self.extract(images)
        head: Any = self.bbox_head_init
        stages = [RefineStage(head(features), None)]
        boxes = head.refine(stages[0].maps)
        for i, module in enumerate(self.bbox_head_refine):
            head = module
            stages.append(RefineStage(head(features, boxes), boxes))
            if i + 1 < len(self.bbox_head_refine):
                boxes = head.refine(*stages[-1])
        return stages

    def losses(self, raw: list[RefineStage], targets: Sequence[Instances], batch: Batch) -> Losses:
        """Returns the loss terms of all heads, named ``loss_cls_init``, ``loss_cls_refine_0`` and so on."""
        first: Any = self.bbox_head_init
        terms: Losses = first.loss(raw[0].maps, targets, batch)
        losses = {f"{name}_init": term for name, term in terms.items()}
        for i, (head, stage, weight) in enumerate(
            zip(cast("Any", self.bbox_head_refine), raw[1:], self.stage_loss_weights, strict=True)
        ):
            terms = head.loss(stage.maps, targets, batch, stage.priors)
            for name, term in terms.items():
                weighted = term * weight if isinstance(term, Tensor) else [value * weight for value in term]
                losses[f"{name}_refine_{i}"] = weighted if "loss" in name else term
        return losses

    def decode(self, raw: list[RefineStage], batch: Batch) -> Candidates:
        """Decodes the raw outputs of the last head to scored boxes, in pixels of the batch's images."""
        maps, priors = raw[-1]
        candidates: Candidates = self.head.decode(maps, batch, priors)
        return candidates
