"""Some priors take part, drawn at random."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.models.assigners.assignment import Assignment
from rotx.models.samplers.sampler import Hardness, SampledPriors, sampled_count, with_gts
from rotx.records import Instances


class RandomSampler:
    """A number of priors, of which a share is positive, or fewer if there are not as many; the rest negative.

    The number of places is fixed, so that nothing waits for the numbers of candidates.

    Args:
        num: Number of samples.
        pos_fraction: Greatest share of positive ones.
        neg_pos_ub: Greatest number of negative samples for a positive one; negative: no bound.
        add_gt_as_proposals: Whether gts are candidates too, as priors that overlap them fully.
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
        targets: Instances,
        *,
        kind: BoxKind,
        generator: torch.Generator | None = None,
        hardness: Hardness | None = None,
    ) -> SampledPriors:
        """Arguments as of :class:`~.sampler.PriorSampler`; the last is not used."""
        added = len(targets) if self.add_gt_as_proposals else 0
        if added:
            assignment, priors = with_gts(assignment, priors, targets, kind)
        gt_inds = assignment.gt_inds
        keys = self._random(len(priors), priors.device, generator)
        drawn, positive = torch.where(gt_inds > 0, keys, -1).topk(min(int(self.num * self.pos_fraction), len(priors)))
        # Positive candidates that were drawn go before all negative ones.
        ranks = torch.where(gt_inds == 0, keys, -1)
        ranks = ranks.scatter(0, positive, torch.where(drawn >= 0, 2.0, ranks[positive]))
        values, rows = ranks.topk(min(self.num, len(priors)))
        filled = values >= 0
        if self.neg_pos_ub >= 0:
            number = (drawn >= 0).sum()
            most = (number.clamp(min=1) * self.neg_pos_ub).long() + number
            filled &= torch.arange(len(rows), device=rows.device) < most
        chosen = torch.where(filled, gt_inds[rows], -1)
        return SampledPriors(priors, targets, rows, chosen, avg_factor=sampled_count(chosen), num_added=added)

    def _random(self, number: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
        """A number in [0, 1) for each candidate; the highest are drawn."""
        where = device if generator is None else generator.device
        return torch.rand(number, generator=generator, device=where).to(device)
