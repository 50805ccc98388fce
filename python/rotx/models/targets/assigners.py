"""Assigners: which prior is trained towards which ground truth."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rotx.models.targets.overlaps import BboxOverlaps2D, Mode

# Overlaps held at a time: 2,000 gts and 200,000 priors need 100 pieces of 16 MB in float32.
_PAIRS = 1 << 22


class Overlaps(Protocol):
    """Overlaps (N, M) of boxes (N, ·) with boxes (M, ·), as in `rotx.models.targets.overlaps`."""

    def __call__(self, a: Tensor, b: Tensor, mode: Mode = "iou") -> Tensor:
        """``"iof"``: over the area of the box of ``a``."""


class Assignment(NamedTuple):
    """What N priors are trained towards.

    Attributes:
        gt_inds: (N,) int64: k + 1 for gt k, 0 for the background, −1 to be ignored.
        max_overlaps: (N,): highest overlap with any gt; 0 without gts, −1 within an ignored region.
        labels: (N,) int64: of the gt, −1 where there is none.
    """

    gt_inds: Tensor
    max_overlaps: Tensor
    labels: Tensor


class MaxIoUAssigner:
    """Every prior gets the gt it overlaps most, if by enough; every gt the priors that overlap it most.

    In this order, later rules before earlier ones: a prior is ignored; it is background if its highest
    overlap is below ``neg_iou_thr``; it gets the gt of its highest overlap from ``pos_iou_thr`` on; a gt gets
    the prior of its highest overlap from ``min_pos_iou`` on, and of several gts the last.

    Two things differ from MMDetection. A gt that overlaps no prior gets none: there, with ``min_pos_iou`` 0,
    it gets all priors that overlap it by 0. And priors in ignored regions are ignored in images without gts too.

    Args:
        pos_iou_thr: see above.
        neg_iou_thr: see above; or a pair, for background from the first on and below the second.
        min_pos_iou: see above.
        gt_max_assign_all: of several priors that overlap a gt most, all get it, not only the first.
        ignore_iof_thr: priors of which more than this share lies in an ignored box are ignored; negative: none.
        ignore_wrt_candidates: the share is one of the prior; if False, of the ignored box.
        match_low_quality: whether gts get their priors by the last rule.
        iou_calculator: what overlaps are computed by.
    """

    def __init__(
        self,
        pos_iou_thr: float,
        neg_iou_thr: float | tuple[float, float],
        min_pos_iou: float = 0.0,
        gt_max_assign_all: bool = True,
        ignore_iof_thr: float = -1,
        ignore_wrt_candidates: bool = True,
        match_low_quality: bool = True,
        iou_calculator: Overlaps | None = None,
    ) -> None:
        self.pos_iou_thr = pos_iou_thr
        self.neg_iou_thr = neg_iou_thr if isinstance(neg_iou_thr, tuple | list) else (0.0, neg_iou_thr)
        self.min_pos_iou = min_pos_iou
        self.gt_max_assign_all = gt_max_assign_all
        self.ignore_iof_thr = ignore_iof_thr
        self.ignore_wrt_candidates = ignore_wrt_candidates
        self.match_low_quality = match_low_quality
        self.iou_calculator: Overlaps = BboxOverlaps2D() if iou_calculator is None else iou_calculator

    def assign(self, priors: Tensor, gts: Tensor, labels: Tensor, ignored: Tensor | None = None) -> Assignment:
        """Assigns gts to priors. Memory grows with their numbers, not with the product.

        Args:
            priors: (N, ·), of the kind that ``iou_calculator`` takes.
            gts: (M, ·), likewise.
            labels: (M,) integers.
            ignored: (I, ·): boxes of regions without annotations, of the kind of ``gts``.
        """
        if self.ignore_iof_thr <= 0 or (ignored is not None and not len(ignored)):
            ignored = None
        if not len(priors) or not len(gts):
            return self._without_gts(priors, ignored)
        best = [self._best(piece, start, gts, ignored) for start, piece in _pieces(priors, gts, ignored)]
        max_overlaps = torch.cat([piece.overlap for piece in best])
        nearest = torch.cat([piece.gt for piece in best])
        low, high = self.neg_iou_thr
        gt_inds = torch.where((max_overlaps >= low) & (max_overlaps < high), 0, -1)
        gt_inds = torch.where(max_overlaps >= self.pos_iou_thr, nearest + 1, gt_inds)
        if self.match_low_quality:
            gt_of = self._low_quality(best, len(priors), len(gts))
            gt_inds = torch.where(gt_of > 0, gt_of, gt_inds)
        of_gt = labels.to(torch.int64)[(gt_inds - 1).clamp(min=0)]
        return Assignment(gt_inds, max_overlaps, torch.where(gt_inds > 0, of_gt, -1))

    def _without_gts(self, priors: Tensor, ignored: Tensor | None) -> Assignment:
        gt_inds = torch.zeros(len(priors), dtype=torch.int64, device=priors.device)
        if ignored is not None:
            inside = [self._in_ignored(piece, ignored) for _, piece in _pieces(priors, ignored)]
            gt_inds = torch.cat([gt_inds[:0], *(mask.long().neg() for mask in inside)])
        return Assignment(gt_inds, gt_inds.to(priors.dtype), torch.full_like(gt_inds, -1))

    def _in_ignored(self, priors: Tensor, ignored: Tensor) -> Tensor:
        """Whether each prior is to be ignored: (N,) bool."""
        if self.ignore_wrt_candidates:
            share = self.iou_calculator(priors, ignored, "iof").amax(dim=1)
        else:
            share = self.iou_calculator(ignored, priors, "iof").amax(dim=0)
        return share > self.ignore_iof_thr

    def _best(self, priors: Tensor, start: int, gts: Tensor, ignored: Tensor | None) -> _Best:
        overlaps = self.iou_calculator(priors, gts)  # (n, M)
        if ignored is not None:
            overlaps = overlaps.masked_fill(self._in_ignored(priors, ignored)[:, None], -1)
        overlap, gt = overlaps.max(dim=1)
        gt_overlap, first = overlaps.max(dim=0)
        if self.gt_max_assign_all:
            tied = (overlaps == gt_overlap) & (gt_overlap >= self.min_pos_iou) & (gt_overlap > 0)
            prior, gt_of_prior = tied.nonzero().unbind(dim=1)
        else:
            prior, gt_of_prior = first, torch.arange(len(gts), device=gts.device)
        return _Best(overlap, gt, gt_overlap, prior + start, gt_of_prior)

    def _low_quality(self, best: list[_Best], priors: int, gts: int) -> Tensor:
        """k + 1 for priors (N,) that overlap gt k most, the last such k; else 0."""
        gt_overlap = torch.stack([piece.gt_overlap for piece in best]).amax(dim=0)  # (M,)
        wanted = (gt_overlap >= self.min_pos_iou) & (gt_overlap > 0)
        prior, gt = [], []
        for piece in best:
            keep = (wanted & (piece.gt_overlap == gt_overlap))[piece.tied_gt]
            prior.append(piece.tied_prior[keep])
            gt.append(piece.tied_gt[keep])
        priors_of, gts_of = torch.cat(prior), torch.cat(gt)
        if not self.gt_max_assign_all:
            first = gts_of.new_full((gts,), priors).scatter_reduce(0, gts_of, priors_of, "amin")
            priors_of = first[gts_of]
        return gts_of.new_zeros(priors).scatter_reduce(0, priors_of, gts_of + 1, "amax")


class _Best(NamedTuple):
    """Of a piece of the priors, n of them, from their overlaps with all M gts."""

    overlap: Tensor  # (n,) the highest of each prior
    gt: Tensor  # (n,) with which gt
    gt_overlap: Tensor  # (M,) the highest of each gt
    tied_prior: Tensor  # (T,) which of all priors have it
    tied_gt: Tensor  # (T,) of which gt


def _pieces(priors: Tensor, *others: Tensor | None) -> list[tuple[int, Tensor]]:
    """Priors in pieces of bounded overlaps with the others, each with the number of its first."""
    step = max(_PAIRS // max(len(boxes) for boxes in others if boxes is not None), 1)
    return [(start, priors[start : start + step]) for start in range(0, len(priors), step)]
