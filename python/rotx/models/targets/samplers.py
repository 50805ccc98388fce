"""Samplers: which of the assigned priors a head is trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rotx.boxes import rbox2hbox
from rotx.models.targets.assigners import Assignment

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
        positive, negative = _indices(assignment.gt_inds > 0), _indices(assignment.gt_inds == 0)
        own = assignment.gt_inds[positive] - 1
        return Samples(priors, gts, labels, positive, negative, own, avg_factor=max(len(positive), 1))


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

        positive = choose(_indices(assignment.gt_inds > 0), int(self.num * self.pos_fraction))
        number = self.num - len(positive)
        if self.neg_pos_ub >= 0:
            number = min(number, int(self.neg_pos_ub * max(1, len(positive))))
        negative = choose(_indices(assignment.gt_inds == 0), number)
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


class OHEMSampler(RandomSampler):
    """Online Hard Example Mining: as RandomSampler, but the candidates of the highest loss.

    Paper: Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining, CVPR 2016.
    The arguments are those of RandomSampler. ``sample`` needs ``hardness``, and calls it only where there are
    more candidates than asked for: once for the positive ones, once for the negative ones.
    """

    def _choose(
        self,
        priors: Tensor,
        labels: Tensor,
        number: int,
        generator: torch.Generator | None,
        hardness: Hardness | None,
    ) -> Tensor:
        if hardness is None:
            raise ValueError("OHEMSampler: sample needs hardness, the losses of candidates")
        with torch.no_grad():
            return hardness(priors, labels).topk(number).indices


def _indices(mask: Tensor) -> Tensor:
    return mask.nonzero().flatten()


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
