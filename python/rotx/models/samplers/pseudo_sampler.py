"""No sampling: all priors train the head."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.models.assigners.assignment import Assignment
from rotx.models.samplers.sampler import Hardness, SampledPriors
from rotx.records import Instances


class PseudoSampler:
    """Takes all priors that are not ignored."""

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
        """See :meth:`.sampler.PriorSampler.sample`; the last three arguments are not used."""
        rows = torch.arange(len(priors), device=priors.device)
        positive = (assignment.gt_inds > 0).sum().clamp(min=1)
        return SampledPriors(priors, targets, rows, assignment.gt_inds, avg_factor=positive)
