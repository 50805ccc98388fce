"""What every sampler offers, and the samples it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rotx import boxes as rotx_boxes
from rotx.boxes import BoxKind
from rotx.models.assigners.assignment import Assignment
from rotx.records import Instances

Hardness = Callable[[Tensor, Tensor], Tensor]
"""Losses (n,) of candidates, from their boxes (n, D) and labels (n,), −1 for the background; called without grad."""


@dataclass(frozen=True)
class SampledPriors:
    """K places for the priors of one image that a head is trained with; some may be empty.

    Attributes:
        priors: Priors (A, D): all there were to choose from, added gts first.
        targets: The gts of the image.
        rows: Indices (K,) int64 into ``priors``.
        gt_inds: Index of each prior's gt plus one, (K,) int64; 0 for the background, −1 for an empty place.
        avg_factor: What a head that adds its losses up divides them by, a scalar tensor: the number of positive
            and of negative samples, each at least 1, or of the positive ones alone where none was left out.
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
        """Indices (P,) of the positive priors, rising."""
        return self.rows[self.gt_inds > 0].sort().values

    @property
    def neg_inds(self) -> Tensor:
        """Indices (N,) of the negative priors, rising."""
        return self.rows[self.gt_inds == 0].sort().values

    @property
    def boxes(self) -> Tensor:
        """The sampled priors (K, D)."""
        return self.priors[self.rows]

    @property
    def is_gt(self) -> Tensor:
        """Whether each place holds an added gt, (K,) bool."""
        return (self.rows < self.num_added) & (self.gt_inds > 0)


class PriorSampler(Protocol):
    """Chooses the priors that a head is trained with."""

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
        """Chooses among the priors of one image.

        Args:
            assignment: Assignment of the priors.
            priors: Priors (A, D).
            targets: The gts of the image.
            kind: Kind of the priors; gts that are added to them are converted to it.
            generator: Source of random numbers, whose seed decides the result; None: torch's own.
            hardness: Losses of candidates, for samplers that ask for them.
        """


def with_gts(assignment: Assignment, priors: Tensor, targets: Instances, kind: BoxKind) -> tuple[Assignment, Tensor]:
    """The gts before the priors, each assigned to itself; ignored ones take no part."""
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


def sampled_count(gt_inds: Tensor) -> Tensor:
    """The ``avg_factor`` of samples: positive and negative ones, each at least 1."""
    return (gt_inds > 0).sum().clamp(min=1) + (gt_inds == 0).sum().clamp(min=1)
