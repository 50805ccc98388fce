"""Hard example mining."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.models.assigners.assignment import Assignment
from rotx.models.samplers.random_sampler import RandomSampler
from rotx.models.samplers.sampler import Hardness, SampledPriors, sampled_count, with_gts
from rotx.records import Instances


class OHEMSampler(RandomSampler):
    """Online Hard Example Mining: a :class:`RandomSampler` that selects the candidates with the highest loss.

    Paper: Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining, CVPR 2016.
    It takes the arguments of RandomSampler. ``sample`` needs ``hardness``, and calls it only if there are too many
    candidates: once for the positive ones, once for the negative ones.
    """

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
        """See :meth:`.sampler.PriorSampler.sample`.

        Raises:
            ValueError: If there are too many candidates and no ``hardness``.
        """
        added = len(targets) if self.add_gt_as_proposals else 0
        if added:
            assignment, priors = with_gts(assignment, priors, targets, kind)

        def choose(candidates: Tensor, number: int) -> Tensor:
            if len(candidates) <= number:
                return candidates
            if hardness is None:
                raise ValueError("OHEMSampler: sample needs hardness, the losses of candidates")
            with torch.no_grad():
                losses = hardness(priors[candidates], assignment.labels[candidates])
            return candidates[losses.topk(number).indices].sort().values

        positive = choose((assignment.gt_inds > 0).nonzero().squeeze(1), int(self.num * self.pos_fraction))
        number = self.num - len(positive)
        if self.neg_pos_ub >= 0:
            number = min(number, int(self.neg_pos_ub * max(1, len(positive))))
        rows = torch.cat([positive, choose((assignment.gt_inds == 0).nonzero().squeeze(1), number)])
        chosen = assignment.gt_inds[rows]
        return SampledPriors(priors, targets, rows, chosen, avg_factor=sampled_count(chosen), num_added=added)
