"""Loss of point sets by the convex hulls around them."""

from __future__ import annotations

from torch import Tensor

from rotx.models.losses.reduce import Loss, check_choice
from rotx.ops import convex_giou


class ConvexGIoULoss(Loss):
    """1 − GIoU of the convex hulls of point sets with the quads that they should cover.

    ``pred`` is (N, 2k) ``x1, y1, ..., xk, yk``, ``target`` (N, 8) quads, in any unit common to both; ``weight`` is
    (N,). The loss lies in [0, 2]. Guo et al., "Beyond Bounding-Box: Convex-hull Feature Adaptation for Oriented and
    Densely Packed Object Detection" (CFA), CVPR 2021, with the GIoU of Rezatofighi et al., CVPR 2019.

    **The reduction is odd in MMRotate**, and published numbers were trained with it, so it is the default here: with
    ``reduction_form="mmrotate"`` the ``avg_factor`` is ignored and ``"mean"`` is over the rows of the call. A head
    that calls it once for each level gives an object more weight the fewer there are on its level. ``"standard"``
    divides by the ``avg_factor`` as all other losses do.

    MMRotate's own gradient is no derivative of its loss: it ignores what multiplies the loss later, such as the scale
    of mixed precision, and a point set of which one coordinate has a gradient over 1 gets another one. Here the
    gradient is the derivative.

    Args:
        reduction: See :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor of the result.
        reduction_form: ``"mmrotate"`` or ``"standard"``.

    Raises:
        ValueError: For an unknown ``reduction_form``.
    """

    def __init__(self, reduction: str = "mean", loss_weight: float = 1.0, reduction_form: str = "mmrotate") -> None:
        super().__init__(reduction, loss_weight)
        check_choice("reduction_form", reduction_form, ("mmrotate", "standard"))
        self.reduction_form = reduction_form

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        return 1 - convex_giou(pred, target)

    def reduce(
        self, loss: Tensor, weight: Tensor | None, avg_factor: float | Tensor | None, reduction_override: str | None
    ) -> Tensor:
        """See the class: without the ``avg_factor``, or the usual way."""
        return super().reduce(
            loss, weight, avg_factor if self.reduction_form == "standard" else None, reduction_override
        )
