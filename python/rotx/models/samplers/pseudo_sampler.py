"""All priors take part."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.models.assigners.max_iou import Assignment
from rotx.models.samplers.sampler import Hardness, Samples, indices_of


class PseudoSampler:
    """All priors that are not ignored."""

    def sample(
        self,
        assignment: Assignment,
        priors: Tensor,
        gts: Tensor,
        labels: Tensor,
        generator: torch.Generator | None = None,
        hardness: Hardness | None = None,
    ) -> Samples:
        """Arguments as of :class:`RandomSampler`; the last two change nothing."""
        positive, negative = indices_of(assignment.gt_inds > 0), indices_of(assignment.gt_inds == 0)
        own = assignment.gt_inds[positive] - 1
        return Samples(priors, gts, labels, positive, negative, own, avg_factor=max(len(positive), 1))
