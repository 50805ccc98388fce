"""L1 and smooth L1: elementwise losses of encoded boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.models.losses.reduce import Loss, check_same_shape


class L1Loss(Loss):
    """Absolute difference |pred − target|.

    ``pred``, ``target`` and the loss of each element have the same shape, mostly (N, 4) or (N, 5) deltas.

    Args:
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.
    """

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each element; see the class for shapes."""
        check_same_shape(pred, target)
        return (pred - target).abs()


class SmoothL1Loss(Loss):
    """Smooth L1 loss of d = |pred − target|: d² / (2 beta) where d < beta, else d − beta / 2.

    Girshick, "Fast R-CNN", 2015, equation 3, with the transition at beta instead of 1. Shapes as for :class:`L1Loss`.

    Args:
        beta: Difference at which the loss changes from quadratic to linear, > 0, in units of the predictions.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.

    Raises:
        ValueError: If ``beta`` is not positive.
    """

    def __init__(self, beta: float = 1.0, reduction: str = "mean", loss_weight: float = 1.0) -> None:
        super().__init__(reduction, loss_weight)
        if not beta > 0:
            raise ValueError(f"beta: need a positive number, got {beta}; for beta 0 use L1Loss")
        self.beta = beta

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each element; see the class for shapes."""
        return smooth_l1(pred, target, self.beta)


def smooth_l1(pred: Tensor, target: Tensor, beta: float) -> Tensor:
    """Computes the formula of :class:`SmoothL1Loss` without reduction."""
    check_same_shape(pred, target)
    distance = (pred - target).abs()
    return torch.where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta)
