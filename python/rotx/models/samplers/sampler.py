"""The protocol of samplers and their result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor

from rotx import boxes as rotx_boxes
from rotx.boxes import BoxKind
from rotx.models.assigners.assignment import Assignment
from rotx.records import Instances

Hardness = Callable[[Tensor, Tensor], Tensor]
"""Losses (n,) of candidates from their boxes (n, D) and labels (n,), −1 for background; called without gradient."""


@dataclass(frozen=True)
class SampledPriors:
    """K slots for the sampled priors of one image; some may be empty.

    Attributes:
        priors: All candidates (A, D), added gts first.
        targets: The gts of the image.
        rows: Indices (K,) int64 into ``priors``.
        gt_inds: Index plus one of each prior's gt, (K,) int64; 0 for background, −1 for an empty slot.
        avg_factor: Divisor of summed losses, a scalar tensor: the number of positive plus that of negative samples,
            each at least 1; without sampling, the number of positive ones.
        num_added: Number of ``priors`` that are added gts.
    """

    priors: Tensor
    targets: Instances
    rows: Tensor
    gt_inds: Tensor
    avg_factor: Tensor
    num_added: int = 0

    @property
    def pos_inds(self) -> Tensor:
        """Ascending indices (P,) of the positive priors."""
        return self.rows[self.gt_inds > 0].sort().values

    @property
    def neg_inds(self) -> Tensor:
        """Ascending indices (N,) of the negative priors."""
        return self.rows[self.gt_inds == 0].sort().values

    @property
    def boxes(self) -> Tensor:
        """The sampled priors (K, D)."""
        return self.priors[self.rows]

    @property
    def is_gt(self) -> Tensor:
        """Whether each slot holds an added gt, (K,) bool."""
        return (self.rows < self.num_added) & (self.gt_inds > 0)


class PriorSampler(Protocol):
    """Selects the priors that train a head."""

    def sample(
        self,
        assignment: Assignment,
        priors: Tensor,
        targets: Instances,
        *,
        kind: BoxKind,
        generator: torch.Generator | None = None,
        hardness: Hardness | None = None,
    ) -> SampledPriors:
        """Samples the priors of one image.

        Args:
            assignment: Assignment of the priors.
            priors: Priors (A, D).
            targets: The gts of the image.
            kind: Kind of the priors; added gts are converted to it.
            generator: Random generator; None: torch's default.
            hardness: Losses of candidates, for samplers that use them.
        """


def with_gts(assignment: Assignment, priors: Tensor, targets: Instances, kind: BoxKind) -> tuple[Assignment, Tensor]:
    """Puts the gts before the priors, each assigned to itself; ignored ones stay ignored."""
    boxes = rotx_boxes.convert(targets.boxes, targets.kind, kind)
    own = torch.arange(1, len(targets) + 1, device=priors.device)
    labels = targets.labels
    if targets.ignored is not None:
        own, labels = (torch.where(targets.ignored, -1, values) for values in (own, labels))
    overlaps = assignment.max_overlaps.new_ones(len(targets))
    added = Assignment(
        torch.cat([own, assignment.gt_inds]),
        torch.cat([overlaps, assignment.max_overlaps]),
        torch.cat([labels, assignment.labels]),
    )
    return added, torch.cat([boxes.to(priors.dtype), priors])


def indices_in_batch(samples: Sequence[SampledPriors]) -> Tensor:
    """Index of each sampled prior's gt among those of all images, (ΣK,) int64; meaningless for negative ones."""
    starts = accumulate([0, *(len(sample.targets) for sample in samples[:-1])])
    return torch.cat([sample.gt_inds + (start - 1) for sample, start in zip(samples, starts, strict=True)])


def sampled_count(gt_inds: Tensor) -> Tensor:
    """The ``avg_factor`` of samples: the number of positive plus that of negative ones, each at least 1."""
    return (gt_inds > 0).sum().clamp(min=1) + (gt_inds == 0).sum().clamp(min=1)
