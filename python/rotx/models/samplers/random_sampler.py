"""Random sampling with a limited share of positive priors."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.models.assigners.assignment import Assignment
from rotx.models.samplers.sampler import Hardness, SampledPriors, sampled_count, with_gts
from rotx.records import Instances


class RandomSampler:
    """Draws up to ``num`` priors: positive ones up to a share of them, and negative ones for the rest.

    The number of slots is fixed, so that sampling does not synchronise.

    Args:
        num: Number of samples.
        pos_fraction: Largest share of positive samples.
        neg_pos_ub: Largest number of negative samples per positive one; negative: no limit.
        add_gt_as_proposals: Whether the gts themselves are added to the candidates.
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
        """See :meth:`.sampler.PriorSampler.sample`; the last argument is not used."""
        added = len(targets) if self.add_gt_as_proposals else 0
        if added:
            assignment, priors = with_gts(assignment, priors, targets, kind)
        gt_inds = assignment.gt_inds
        keys = self._random(len(priors), priors.device, generator)
        drawn, positive = torch.where(gt_inds > 0, keys, -1).topk(min(int(self.num * self.pos_fraction), len(priors)))
        # Positive candidates that were drawn rank before all negative ones.
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
        """A random number in [0, 1) for each candidate; the highest are drawn."""
        where = device if generator is None else generator.device
        return torch.rand(number, generator=generator, device=where).to(device)
