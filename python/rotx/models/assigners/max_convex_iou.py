"""Assignment of objects to point sets by the IoU of convex hulls, as for the refined points of RepPoints."""

from __future__ import annotations

from rotx.models.assigners.max_iou import MaxIoUAssigner
from rotx.models.assigners.overlaps import ConvexOverlaps


class MaxConvexIoUAssigner(MaxIoUAssigner):
    """:class:`~.max_iou.MaxIoUAssigner` for priors that are point sets (N, 2k) and gts that are quads.

    Args:
        pos_iou_thr: Overlap from which on a prior is assigned the gt that it overlaps most.
        neg_iou_thr: Overlap below which a prior is background; or a pair: background from the first on and below
            the second.
        min_pos_iou: Overlap from which on a gt is assigned to the priors that overlap it most.
        gt_max_assign_all: Whether a gt is assigned to all priors that tie for its highest overlap, not only the first.
        ignore_iof_thr: Priors with more than this share of their area in an ignored quad are ignored; negative: none.
    """

    def __init__(
        self,
        pos_iou_thr: float,
        neg_iou_thr: float | tuple[float, float],
        min_pos_iou: float = 0.0,
        gt_max_assign_all: bool = True,
        ignore_iof_thr: float = -1,
    ) -> None:
        calculator = ConvexOverlaps()
        super().__init__(
            pos_iou_thr, neg_iou_thr, min_pos_iou, gt_max_assign_all, ignore_iof_thr, iou_calculator=calculator
        )
