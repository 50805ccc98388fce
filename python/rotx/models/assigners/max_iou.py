"""Assigners: which prior is trained towards which ground truth."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rotx.models.assigners.overlaps import BboxOverlaps2D, Mode

# Overlaps held at a time: 2,000 gts and 200,000 priors need 100 pieces of 16 MB in float32.
_PAIRS = 1 << 22


class Overlaps(Protocol):
    """Overlaps (N, M) of boxes (N, ·) with boxes (M, ·), as in `rotx.models.assigners.overlaps`."""

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

    Priors in ignored regions are ignored. Of the others, by the last rule that applies: one is left out; it is
    background if its highest overlap is below ``neg_iou_thr``; it gets the gt of its highest overlap from
    ``pos_iou_thr`` on; it gets the gt that overlaps no other prior more, from ``min_pos_iou`` on, of several the
    last.

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
        max_overlaps = priors.new_zeros(len(priors), dtype=torch.promote_types(priors.dtype, torch.float32))
        nearest = torch.zeros_like(max_overlaps, dtype=torch.int64)
        best = _Best(max_overlaps.new_zeros(len(gts)), nearest[:0], nearest[:0])
        # What outlives a piece is made beforehand, or takes the place of its like: many small tensors in between
        # would keep the memory of the large ones from being used again.
        step = max(_PAIRS // max(len(gts), 0 if ignored is None else len(ignored), 1), 1)
        for start in range(0, len(priors), step):
            piece, rows = priors[start : start + step], slice(start, start + step)
            overlaps = self.iou_calculator(piece, gts) if len(gts) else max_overlaps[rows, None]  # (n, M)
            if ignored is not None:
                overlaps = overlaps.masked_fill(self._in_ignored(piece, ignored)[:, None], -1)
            max_overlaps[rows], nearest[rows] = overlaps.max(dim=1)
            if self.match_low_quality and len(gts):
                best = self._update(best, overlaps, start)
        if not len(gts):
            gt_inds = torch.where(max_overlaps < 0, -1, 0)
            return Assignment(gt_inds, max_overlaps, torch.full_like(gt_inds, -1))
        low, high = self.neg_iou_thr
        gt_inds = torch.where((max_overlaps >= low) & (max_overlaps < high), 0, -1)
        gt_inds = torch.where(max_overlaps >= self.pos_iou_thr, nearest + 1, gt_inds)
        last = torch.zeros_like(gt_inds).scatter_reduce(0, best.prior, best.gt + 1, "amax")
        gt_inds = torch.where(last > 0, last, gt_inds)
        labels = labels.to(torch.int64)[(gt_inds - 1).clamp(min=0)]
        return Assignment(gt_inds, max_overlaps, torch.where(gt_inds > 0, labels, -1))

    def _in_ignored(self, priors: Tensor, ignored: Tensor) -> Tensor:
        """Whether each prior is to be ignored: (N,) bool."""
        if self.ignore_wrt_candidates:
            share = self.iou_calculator(priors, ignored, "iof").amax(dim=1)
        else:
            share = self.iou_calculator(ignored, priors, "iof").amax(dim=0)
        return share > self.ignore_iof_thr

    def _update(self, best: _Best, overlaps: Tensor, start: int) -> _Best:
        """The best priors after a piece (n, M) of the overlaps, that of the priors from ``start`` on."""
        highest, first = overlaps.max(dim=0)
        overlap = torch.maximum(best.overlap, highest)
        wanted = (overlap > 0) & (overlap >= self.min_pos_iou)
        if self.gt_max_assign_all:
            keep = (best.overlap == overlap)[best.gt]
            prior, gt = ((overlaps == overlap) & wanted).nonzero().unbind(dim=1)
        else:
            keep = (best.overlap >= highest)[best.gt]
            gt = (wanted & (highest > best.overlap)).nonzero().flatten()
            prior = first[gt]
        return _Best(overlap, torch.cat([best.prior[keep], prior + start]), torch.cat([best.gt[keep], gt]))


class _Best(NamedTuple):
    """The priors that overlap M gts most, of those seen so far; T where several do so equally."""

    overlap: Tensor  # (M,)
    prior: Tensor  # (T,)
    gt: Tensor  # (T,)
