"""The RoI head with one stage: Faster R-CNN's, Mask R-CNN's, Oriented R-CNN's.

Ren et al., "Faster R-CNN", NeurIPS 2015; He et al., "Mask R-CNN", ICCV 2017; Xie et al., "Oriented R-CNN for Object
Detection", ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotx.boxes import AngleVersion, BoxKind
from rotx.models.assigners.assignment import Assigner
from rotx.models.heads.fcn_mask import FCNMaskHead
from rotx.models.heads.roi_extractor import RoIAlign, SingleRoIExtractor, pair, to_rois
from rotx.models.heads.roi_sampling import rois_of, sample_rois
from rotx.models.heads.shared_2fc import RoITargets, Shared2FCBBoxHead
from rotx.models.postprocess import Suppression, suppress
from rotx.models.samplers.sampler import PriorSampler, SampledPriors, indices_in_batch
from rotx.models.structures import Batch, Candidates, Size
from rotx.records import Bitmaps, BoxMasks, Instances


class StandardRoIHead(nn.Module):
    """Turns proposals into detections in one stage, with masks if it has a mask head.

    Args:
        bbox_roi_extractor: Extractor of the features of proposals.
        bbox_head: Box head.
        mask_roi_extractor: Extractor of the features for the mask head.
        mask_head: Mask head; None: detections have no masks.
        assigner: Assigner of objects to proposals.
        sampler: Sampler of proposals.
        pos_weight: Weight of positive proposals in the classification loss; 1 if not positive.
        mask_size: Height and width of the predicted masks; one number if they are equal.
        score_thr: Candidates need a score above this.
        nms: Suppression rule; it applies within each class.
        max_per_img: Number of detections to keep in an image.
        mask_thr_binary: Probability from which on a pixel belongs to the mask.

    Raises:
        ValueError: If the mask head has no extractor or the boxes are not horizontal, if ``mask_size`` is not the size
            of the predicted masks, or if ``mask_thr_binary`` lies outside [0, 1].
    """

    def __init__(
        self,
        *,
        bbox_roi_extractor: SingleRoIExtractor,
        bbox_head: Shared2FCBBoxHead,
        mask_roi_extractor: SingleRoIExtractor | None = None,
        mask_head: FCNMaskHead | None = None,
        # Training
        assigner: Assigner,
        sampler: PriorSampler,
        pos_weight: float = -1,
        mask_size: int | Sequence[int] = 28,
        # Inference
        score_thr: float = 0.05,
        nms: Suppression,
        max_per_img: int = 2000,
        mask_thr_binary: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0 <= mask_thr_binary <= 1:
            raise ValueError(f"mask_thr_binary: need a number in [0, 1], got {mask_thr_binary}")
        self.mask_roi_extractor = mask_roi_extractor
        self.mask_head = mask_head
        self.mask_size = pair(mask_size)
        self.mask_thr_binary = mask_thr_binary
        if mask_head is not None:
            _check_mask_head(mask_head, mask_roi_extractor, bbox_head, self.mask_size)
        self.bbox_roi_extractor = bbox_roi_extractor
        self.bbox_head = bbox_head
        self.assigner = assigner
        self.sampler = sampler
        self.pos_weight = pos_weight
        self.score_thr = score_thr
        self.nms = nms
        self.max_per_img = max_per_img

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.bbox_head.num_classes

    @property
    def box_kind(self) -> BoxKind:
        """Kind of the boxes that the head predicts."""
        return self.bbox_head.box_kind

    @property
    def angle_version(self) -> AngleVersion | None:
        """Angle version of the boxes; None for boxes without an angle."""
        return self.bbox_head.angle_version

    def init_weights(self) -> None:
        """Initialises the weights of the box head and the mask head."""
        self.bbox_head.init_weights()
        if self.mask_head is not None:
            self.mask_head.init_weights()

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, K + 1) and encoded boxes (R, D or K × D) of RoIs (R, 1 + box)."""
        logits, deltas = self.bbox_head(self.bbox_roi_extractor(features, rois))
        return logits, deltas

    def loss(
        self, features: Sequence[Tensor], proposals: Candidates, targets: Sequence[Instances], batch: Batch
    ) -> dict[str, Tensor]:
        """The loss terms."""
        parts = (self.assigner, self.sampler, self.bbox_roi_extractor, self.bbox_head)
        samples = sample_rois(*parts, features, rois_of(proposals), targets)
        rois = to_rois([sample.boxes for sample in samples])
        logits, deltas = self(features, rois)
        goals = self.bbox_head.targets(samples, self.pos_weight)
        losses = self.bbox_head.loss(logits, deltas, rois, goals)
        if self.mask_head is not None:
            losses["loss_mask"] = self._mask_loss(features, rois, samples, goals, batch)
        return losses

    @torch.no_grad()
    def decode(self, features: Sequence[Tensor], proposals: Candidates, batch: Batch) -> Candidates:
        """A candidate for each class of each proposal."""
        logits, deltas = self(features, to_rois(list(proposals.boxes)))
        return self.bbox_head.decode(proposals, logits, deltas, batch.sizes, self.score_thr)

    def suppress(self, candidates: Candidates) -> list[Instances]:
        """The detections of each image, sorted by falling score."""
        return suppress(candidates, nms=self.nms, max_per_img=self.max_per_img)

    @torch.no_grad()
    def add_masks(self, features: Sequence[Tensor], found: Sequence[Instances]) -> list[Instances]:
        """Adds the masks within the boxes to the detections of each image, if there is a mask head."""
        if self.mask_head is None:
            return list(found)
        logits = self._mask_logits(features, to_rois([one.boxes for one in found]))
        grids = self.mask_head.decode(logits, torch.cat([one.labels for one in found]))
        parts = grids.split_with_sizes([len(one) for one in found])
        return [
            replace(one, masks=BoxMasks(part, self.mask_thr_binary)) for one, part in zip(found, parts, strict=True)
        ]

    def _mask_logits(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Mask logits (R, K or 1, h, w) of RoIs (R, 5)."""
        assert self.mask_head is not None and self.mask_roi_extractor is not None
        logits: Tensor = self.mask_head(self.mask_roi_extractor(features, rois))
        return logits

    def _mask_loss(
        self,
        features: Sequence[Tensor],
        rois: Tensor,
        samples: Sequence[SampledPriors],
        goals: RoITargets,
        batch: Batch,
    ) -> Tensor:
        """The mask loss of all positive RoIs."""
        assert self.mask_head is not None
        positive = rois[goals.rows]
        numbers = indices_in_batch(samples)
        bitmaps = _bitmaps([sample.targets for sample in samples], (batch.images.shape[-2], batch.images.shape[-1]))
        masks = self.mask_head.targets(positive[:, 1:], numbers[goals.rows], bitmaps, self.mask_size)
        return self.mask_head.loss(self._mask_logits(features, positive), masks, goals.labels[goals.rows])


def _bitmaps(targets: Sequence[Instances], size: Size) -> Tensor:
    """The masks of the objects of all images, padded to the size of the batch: (G, H, W) uint8.

    Raises:
        ValueError: For objects without masks.
    """
    padded = []
    for target in targets:
        if not isinstance(target.masks, Bitmaps):
            raise ValueError("targets: the mask head needs masks: load them by LoadAnnotations(with_mask=True)")
        pixels = target.masks.pixels
        padded.append(F.pad(pixels, (0, size[1] - pixels.shape[2], 0, size[0] - pixels.shape[1])))
    return torch.cat(padded)


def _check_mask_head(
    mask_head: FCNMaskHead, extractor: SingleRoIExtractor | None, bbox_head: Shared2FCBBoxHead, mask_size: Size
) -> None:
    layer = None if extractor is None else extractor.roi_layer
    if bbox_head.box_kind != "hbox" or not isinstance(layer, RoIAlign):
        raise ValueError("mask_head: needs a bbox_head for horizontal boxes and a mask_roi_extractor with RoIAlign")
    predicted = tuple(mask_head.scale_factor * side for side in layer.output_size)
    if predicted != mask_size:
        raise ValueError(f"mask_size: the mask head predicts masks of {predicted}, got {mask_size}")
    if mask_head.num_classes != bbox_head.num_classes and not mask_head.class_agnostic:
        raise ValueError(
            f"mask_head.num_classes: need {bbox_head.num_classes}, as the bbox_head has, got {mask_head.num_classes}"
        )
