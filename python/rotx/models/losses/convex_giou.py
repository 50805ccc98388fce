"""Loss of point sets by the convex hulls around them."""

from __future__ import annotations

from torch import Tensor

from rotx.models.losses.reduce import Loss, check_choice
from rotx.ops import convex_giou


class ConvexGIoULoss(Loss):
    """1 − GIoU of the convex hulls of point sets and their target quads.

    ``pred`` holds point sets (N, 2k) ``x1, y1, ..., xk, yk``, ``target`` quads (N, 8), both in the same unit;
    ``weight`` is (N,). The loss lies in [0, 2]. Guo et al., "Beyond Bounding-Box: Convex-hull Feature Adaptation for
    Oriented and Densely Packed Object Detection" (CFA), CVPR 2021, with the GIoU of Rezatofighi et al., CVPR 2019.

    **MMRotate's reduction is unusual**, and published weights were trained with it, so it is the default: with
    ``reduction_form="mmrotate"`` the loss ignores ``avg_factor``, and ``"mean"`` is the mean over the rows of the
    call. A head that calls the loss once per level thus gives objects on sparse levels more weight. ``"standard"``
    divides by ``avg_factor``, as all other losses do.

    MMRotate's gradient is not the derivative of its loss: it ignores factors applied to the loss later, such as the
    loss scale of mixed precision, and it replaces the gradient of a point set that exceeds 1 at one coordinate. Here
    the gradient is the derivative.

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
        """Reduces without the ``avg_factor`` or in the usual way; see the class."""
        return super().reduce(
            loss, weight, avg_factor if self.reduction_form == "standard" else None, reduction_override
        )
