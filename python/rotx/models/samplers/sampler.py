"""What every sampler offers, and the samples it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rotx.models.assigners.max_iou import Assignment

Hardness = Callable[[Tensor, Tensor], Tensor]
"""Losses (n,) of candidates, from their boxes (n, ·) and labels (n,), −1 for the background; called without grad."""


@dataclass(frozen=True)
class Samples:
    """The priors of one image that a head is trained with: P positive ones, N negative ones.

    Attributes:
        priors: (A, ·): all there were to choose from, added gts first.
        gts: (G, ·): of the image, as given.
        labels: (G,): theirs.
        pos_inds: (P,) int64: indices into ``priors``, rising.
        neg_inds: (N,) int64: indices into ``priors``, rising.
        pos_assigned_gt_inds: (P,) int64: indices into ``gts``.
        avg_factor: what a head that adds its losses up divides them by: P + N, each at least 1, or P alone
            where nothing was left out (PseudoSampler).
        num_added: how many of ``priors`` are added gts.
    """

    priors: Tensor
    gts: Tensor
    labels: Tensor
    pos_inds: Tensor
    neg_inds: Tensor
    pos_assigned_gt_inds: Tensor
    avg_factor: int
    num_added: int = 0

    @property
    def pos_priors(self) -> Tensor:
        """(P, ·)."""
        return self.priors[self.pos_inds]

    @property
    def neg_priors(self) -> Tensor:
        """(N, ·)."""
        return self.priors[self.neg_inds]

    @property
    def all_priors(self) -> Tensor:
        """(P + N, ·), positive ones first."""
        return self.priors[torch.cat([self.pos_inds, self.neg_inds])]

    @property
    def pos_is_gt(self) -> Tensor:
        """(P,) bool: whether each positive prior is an added gt."""
        return self.pos_inds < self.num_added

    @property
    def pos_gts(self) -> Tensor:
        """(P, ·): the gt of each positive prior."""
        return self.gts[self.pos_assigned_gt_inds]

    @property
    def pos_gt_labels(self) -> Tensor:
        """(P,): the label of each positive prior."""
        return self.labels[self.pos_assigned_gt_inds]


class Sampler(Protocol):
    """What every sampler here is."""

    def sample(
        self,
        assignment: Assignment,
        priors: Tensor,
        gts: Tensor,
        labels: Tensor,
        generator: torch.Generator | None = None,
        hardness: Hardness | None = None,
    ) -> Samples:
        """See :class:`RandomSampler`."""


def indices_of(mask: Tensor) -> Tensor:
    """Indices (M,) of the true entries of a mask (N,), rising."""
    return mask.nonzero().flatten()
