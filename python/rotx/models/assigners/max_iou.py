"""Assignment by highest overlap, as in RetinaNet and Faster R-CNN."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx import boxes as rotx_boxes
from rotx.models.assigners.assignment import Assignment, Predictions
from rotx.models.assigners.overlaps import BboxOverlaps2D, Overlaps
from rotx.records import Instances

# Overlaps computed at once: 2,000 gts and 200,000 priors take 100 pieces of 16 MB in float32.
_PAIRS = 1 << 22


class MaxIoUAssigner:
    """Assigns each prior the gt that it overlaps most, and each gt to the priors that overlap it most.

    Priors in ignored regions are ignored. For all others the last rule that applies decides:

    1. the prior is ignored;
    2. it is background if its highest overlap is below ``neg_iou_thr``;
    3. it is assigned the gt of its highest overlap if that is at least ``pos_iou_thr``;
    4. it is assigned the gt that overlaps no other prior more, if by at least ``min_pos_iou``; the last of several.

    Two things differ from MMDetection. A gt that overlaps no prior is assigned to none; in MMDetection, with
    ``min_pos_iou`` 0, it is assigned to all priors that overlap it by 0. And priors in ignored regions are ignored
    in images without gts too.

    Args:
        pos_iou_thr: Overlap from which on a prior is assigned the gt that it overlaps most.
        neg_iou_thr: Overlap below which a prior is background; or a pair: background from the first on and below
            the second.
        min_pos_iou: Overlap from which on a gt is assigned to the priors that overlap it most.
        gt_max_assign_all: Whether a gt is assigned to all priors that tie for its highest overlap, not only the first.
        ignore_iof_thr: Priors with more than this share of their area in an ignored box are ignored; negative: none.
        ignore_wrt_candidates: Whether the share is that of the prior's area; if False, of the ignored box's.
        match_low_quality: Whether rule 4 applies.
        iou_calculator: Overlap measure; by default IoU of hboxes.
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

    def assign(self, priors: Tensor, targets: Instances, predictions: Predictions | None = None) -> Assignment:
        """Assigns gts to priors without synchronising; memory grows with the sum of their numbers, not the product.

        Args:
            priors: Priors (N, D), of the kind that ``iou_calculator`` takes.
            targets: The gts, M of them, of any kind.
            predictions: Not used.
        """
        gts = rotx_boxes.convert(targets.boxes, targets.kind, self.iou_calculator.kind)
        max_overlaps = priors.new_zeros(len(priors), dtype=torch.promote_types(priors.dtype, torch.float32))
        nearest = torch.zeros_like(max_overlaps, dtype=torch.int64)
        if not len(gts) or not len(priors):
            return Assignment(nearest, max_overlaps, nearest - 1)
        ignored = torch.zeros_like(targets.labels, dtype=torch.bool) if targets.ignored is None else targets.ignored
        outside = None if targets.ignored is None else self._in_ignored(priors, gts, ignored)
        last = nearest
        for start, stop in _pieces(len(gts), len(priors)):
            overlaps = self.iou_calculator(priors, gts[start:stop])  # (N, m)
            if targets.ignored is not None:
                left_out = ignored[start:stop] if outside is None else ignored[start:stop] | outside[:, None]
                overlaps = overlaps.masked_fill(left_out, -1)
            highest, gt = overlaps.max(dim=1)
            nearest = torch.where(highest > max_overlaps, gt + start, nearest)
            max_overlaps = torch.maximum(highest, max_overlaps)
            if self.match_low_quality:
                last = torch.maximum(last, self._best_of(overlaps, start))

        low, high = self.neg_iou_thr
        background = ((max_overlaps >= low) & (max_overlaps < high)) | ignored.all()
        if outside is not None:
            background, max_overlaps = background & ~outside, torch.where(outside, -1, max_overlaps)
        gt_inds = torch.where(background, 0, -1)
        gt_inds = torch.where(max_overlaps >= self.pos_iou_thr, nearest + 1, gt_inds)
        gt_inds = torch.where(last > 0, last, gt_inds)
        labels = targets.labels[(gt_inds - 1).clamp(min=0)]
        return Assignment(gt_inds, max_overlaps, torch.where(gt_inds > 0, labels, -1))

    def _in_ignored(self, priors: Tensor, gts: Tensor, ignored: Tensor) -> Tensor | None:
        """Whether each prior lies in an ignored region, (N,) bool; None if ``ignore_iof_thr`` switches it off."""
        if self.ignore_iof_thr <= 0:
            return None
        found = torch.zeros(len(priors), dtype=torch.bool, device=priors.device)
        for start, stop in _pieces(len(gts), len(priors)):
            piece = gts[start:stop]
            if self.ignore_wrt_candidates:
                shares = self.iou_calculator(priors, piece, "iof")
            else:
                shares = self.iou_calculator(piece, priors, "iof").T
            found |= ((shares > self.ignore_iof_thr) & ignored[start:stop]).any(dim=1)
        return found

    def _best_of(self, overlaps: Tensor, start: int) -> Tensor:
        """Index plus one of the gt that each prior gets by rule 4, (N,) int64; 0: none.

        Args:
            overlaps: Overlaps (N, m) of all priors with some gts.
            start: Index of the first of these.
        """
        highest, first = overlaps.max(dim=0)
        wanted = (highest > 0) & (highest >= self.min_pos_iou)
        numbers = torch.arange(start + 1, start + 1 + len(highest), dtype=torch.int32, device=overlaps.device)
        if self.gt_max_assign_all:
            matches = (overlaps == highest) & wanted
            return torch.where(matches, numbers, 0).amax(dim=1).long()
        none = torch.zeros(len(overlaps), dtype=torch.int32, device=overlaps.device)
        return none.scatter_reduce(0, first, torch.where(wanted, numbers, 0), "amax").long()


def _pieces(gts: int, priors: int) -> list[tuple[int, int]]:
    """Start and stop of pieces of the gts, each with a bounded number of overlaps with all priors."""
    step = max(_PAIRS // max(priors, 1), 1)
    return [(start, min(start + step, gts)) for start in range(0, gts, step)]
