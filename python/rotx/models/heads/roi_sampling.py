"""Sampling of the RoIs that train a stage of a RoI head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.models.assigners.assignment import Assigner, assign_usable
from rotx.models.heads.roi_extractor import SingleRoIExtractor, to_rois
from rotx.models.heads.shared_2fc import Shared2FCBBoxHead
from rotx.models.samplers.sampler import PriorSampler, SampledPriors
from rotx.models.structures import Candidates
from rotx.records import Instances


class RoIs(NamedTuple):
    """The candidate RoIs of one image.

    Attributes:
        boxes: Boxes (R, D).
        valid: Whether each slot holds a RoI, (R,) bool.
        kind: Kind of the boxes.
    """

    boxes: Tensor
    valid: Tensor
    kind: BoxKind


def rois_of(proposals: Candidates) -> list[RoIs]:
    """The proposals of each image."""
    return [RoIs(*image, proposals.kind) for image in zip(proposals.boxes, proposals.valid, strict=True)]


def sample_rois(
    assigner: Assigner,
    sampler: PriorSampler,
    extractor: SingleRoIExtractor,
    head: Shared2FCBBoxHead,
    features: Sequence[Tensor],
    rois: Sequence[RoIs],
    targets: Sequence[Instances],
) -> list[SampledPriors]:
    """Assigns objects to the RoIs of each image and samples the RoIs that train a stage.

    Args:
        assigner: Assigner of objects to RoIs.
        sampler: Sampler of RoIs; hard example mining uses the remaining arguments.
        extractor: Extractor of the stage.
        head: Box head of the stage.
        features: Feature maps of the batch.
        rois: RoIs of each image.
        targets: Objects of each image.
    """
    chosen = []
    for i, (own, target) in enumerate(zip(rois, targets, strict=True)):
        image = [x[i : i + 1] for x in features]

        @torch.no_grad()
        def hardness(priors: Tensor, labels: Tensor, image: list[Tensor] = image) -> Tensor:
            """The current classification loss (n,) of RoIs."""
            logits, _ = head(extractor(image, to_rois([priors])))
            wanted = torch.where(labels < 0, head.num_classes, labels)
            losses: Tensor = head.loss_cls(logits.float(), wanted, reduction_override="none")
            return losses

        assignment = assign_usable(assigner, own.boxes, own.valid, target)
        chosen.append(sampler.sample(assignment, own.boxes, target, kind=own.kind, hardness=hardness))
    return chosen
