"""What every stage of a RoI head does: choose RoIs to learn from, and split outputs by image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotx.models.assigners.max_iou import MaxIoUAssigner
from rotx.models.heads.roi_extractor import SingleRoIExtractor, to_rois
from rotx.models.heads.shared_2fc import Shared2FCBBoxHead
from rotx.models.samplers.sampler import Sampler, Samples
from rotx.models.structures import Targets


def stage_samples(
    assigner: MaxIoUAssigner,
    sampler: Sampler,
    extractor: SingleRoIExtractor,
    head: Shared2FCBBoxHead,
    features: Sequence[Tensor],
    boxes: Sequence[Tensor],
    targets: Sequence[Targets],
) -> list[Samples]:
    """The RoIs of each image that a stage learns from.

    Args:
        assigner: of objects to RoIs.
        sampler: of RoIs; the hard ones among them need the rest of the arguments.
        extractor: of the stage.
        head: of the stage.
        features: of the batch.
        boxes: (R_i, 4) or (R_i, 5) RoIs of each image.
        targets: the objects of each image.
    """
    chosen = []
    for i, (rois, target) in enumerate(zip(boxes, targets, strict=True)):
        image = [x[i : i + 1] for x in features]

        @torch.no_grad()
        def hardness(priors: Tensor, labels: Tensor, image: list[Tensor] = image) -> Tensor:
            """How badly RoIs are classified now: the loss of each, (n,)."""
            logits, _ = head(extractor(image, to_rois([priors])))
            wanted = torch.where(labels < 0, head.num_classes, labels)
            losses: Tensor = head.loss_cls(logits.float(), wanted, reduction_override="none")
            return losses

        assignment = assigner.assign(rois, target.boxes, target.labels, target.ignored)
        chosen.append(sampler.sample(assignment, rois, target.boxes, target.labels, hardness=hardness))
    return chosen


def split_by_image(outputs: tuple[Tensor, ...], boxes: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Outputs with a row for each RoI, one tuple for each image."""
    counts = [len(rows) for rows in boxes]
    return list(zip(*(torch.split(output, counts) for output in outputs), strict=True))
