"""Losses of encoded boxes, number by number: L1 and smooth L1."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.models.losses.reduce import Loss, check_same_shape


class L1Loss(Loss):
    """Absolute difference |pred − target|.

    ``pred`` and ``target`` have one shape, mostly (N, 4) or (N, 5) deltas, and so has the loss of each element.

    Args:
        reduction: see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: factor of the result.
    """

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        check_same_shape(pred, target)
        return (pred - target).abs()


class SmoothL1Loss(Loss):
    """With d = |pred − target|: d² / (2 beta) where d < beta, else d − beta / 2.

    Girshick, "Fast R-CNN", 2015, equation 3, with its corner moved from 1 to beta. Shapes as of :class:`L1Loss`.

    Args:
        beta: where the square becomes a line; > 0, in units of the predictions.
        reduction: see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: factor of the result.

    Raises:
        ValueError: for a ``beta`` that is not positive.
    """

    def __init__(self, beta: float = 1.0, reduction: str = "mean", loss_weight: float = 1.0) -> None:
        super().__init__(reduction, loss_weight)
        if not beta > 0:
            raise ValueError(f"beta: need a positive number, got {beta}; for beta 0 use L1Loss")
        self.beta = beta

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        return smooth_l1(pred, target, self.beta)


def smooth_l1(pred: Tensor, target: Tensor, beta: float) -> Tensor:
    """The formula of :class:`SmoothL1Loss`, not reduced."""
    check_same_shape(pred, target)
    distance = (pred - target).abs()
    return torch.where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta)
