"""R3Det's head that refines boxes.

Yang et al., "R3Det: Refined Single-Stage Detector with Feature Refinement for Rotating Object", AAAI 2021. The first
head of R3Det is a :class:`~rotx.models.heads.retina.RetinaHead`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from rotx.models.heads.maps import Maps
from rotx.models.heads.retina import RetinaHead


class R3RefineHead(RetinaHead):
    """A :class:`RetinaHead` whose anchors are the boxes of the previous head, on features aligned with them.

    Args:
        frm_cfg: Module that refines the features: called with maps (B, C, H, W) and boxes (B, H · W, 5) of each
            level, such as :class:`~rotx.models.layers.feature_refinement.FRM`.
        **kwargs: Arguments of :class:`RetinaHead`; its ``anchor_generator`` is a
            :class:`~rotx.models.priors.pseudo_anchors.PseudoRotatedAnchorGenerator`.
    """

    def __init__(self, *, frm_cfg: nn.Module, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.feat_refine_module = frm_cfg

    def forward(self, features: Sequence[Tensor], priors: Sequence[Tensor]) -> Maps:  # type: ignore[override]
        """Logits (B, K, H, W) and encoded boxes (B, 5, H, W) of each level.

        Args:
            features: Maps (B, C, H, W) of each level.
            priors: The rbox of each place of each level, (B, H · W, 5), from the previous head.
        """
        return super().forward(self.feat_refine_module(features, priors))
