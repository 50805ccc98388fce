"""Some priors take part, drawn at random."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.boxes import rbox2hbox
from rotx.models.assigners.max_iou import Assignment
from rotx.models.samplers.sampler import Hardness, Samples, indices_of


class RandomSampler:
    """A number of priors, of which a share is positive, or fewer if there are not as many; the rest negative.

    Args:
        num: of all samples.
        pos_fraction: of positive ones at most.
        neg_pos_ub: at most this many negative samples a positive one; negative: no bound.
        add_gt_as_proposals: gts are candidates too, as priors that overlap them fully.
    """

    def __init__(self, num: int, pos_fraction: float, neg_pos_ub: float = -1, add_gt_as_proposals: bool = True) -> None:
        self.num = num
        self.pos_fraction = pos_fraction
        self.neg_pos_ub = neg_pos_ub
        self.add_gt_as_proposals = add_gt_as_proposals

    def sample(
        self,
        assignment: Assignment,
        priors: Tensor,
        gts: Tensor,
        labels: Tensor,
        generator: torch.Generator | None = None,
        hardness: Hardness | None = None,
    ) -> Samples:
        """Chooses among the priors of one image; keeps the order of priors.

        Args:
            assignment: of the priors.
            priors: (A, 4) hboxes or (A, 5) rboxes.
            gts: (G, 5) rboxes or of the kind of ``priors``; added to hbox priors as the hboxes around them.
            labels: (G,) integers.
            generator: to draw from, whose seed decides the result; None: torch's own.
            hardness: for :class:`OHEMSampler`.
        """
        added = len(gts) if self.add_gt_as_proposals else 0
        if added:
            assignment, priors = _with_gts(assignment, priors, gts, labels)

        def choose(candidates: Tensor, number: int) -> Tensor:
            if len(candidates) <= number:
                return candidates
            kept = self._choose(priors[candidates], assignment.labels[candidates], number, generator, hardness)
            return candidates[kept].sort().values

        positive = choose(indices_of(assignment.gt_inds > 0), int(self.num * self.pos_fraction))
        number = self.num - len(positive)
        if self.neg_pos_ub >= 0:
            number = min(number, int(self.neg_pos_ub * max(1, len(positive))))
        negative = choose(indices_of(assignment.gt_inds == 0), number)
        own = assignment.gt_inds[positive] - 1
        count = max(len(positive), 1) + max(len(negative), 1)
        return Samples(priors, gts, labels, positive, negative, own, avg_factor=count, num_added=added)

    def _choose(
        self,
        priors: Tensor,
        labels: Tensor,
        number: int,
        generator: torch.Generator | None,
        hardness: Hardness | None,
    ) -> Tensor:
        """``number`` different indices of more candidates."""
        device = priors.device if generator is None else generator.device
        return torch.randperm(len(priors), generator=generator, device=device)[:number].to(priors.device)


def _with_gts(assignment: Assignment, priors: Tensor, gts: Tensor, labels: Tensor) -> tuple[Assignment, Tensor]:
    """The gts before the priors, each assigned to itself."""
    boxes = rbox2hbox(gts) if priors.shape[-1] == 4 and gts.shape[-1] == 5 else gts
    own = torch.arange(1, len(gts) + 1, device=gts.device)
    overlaps = assignment.max_overlaps.new_ones(len(gts))
    added = Assignment(
        torch.cat([own, assignment.gt_inds]),
        torch.cat([overlaps, assignment.max_overlaps]),
        torch.cat([labels.to(torch.int64), assignment.labels]),
    )
    return added, torch.cat([boxes.to(priors.dtype), priors])
