"""Base class of all losses: weights, averaging and precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def weight_reduce_loss(
    loss: Tensor, weight: Tensor | None = None, reduction: str = "mean", avg_factor: float | Tensor | None = None
) -> Tensor:
    """Multiplies a loss by weights and reduces it, like mmdet 3.3's function of this name.

    Args:
        loss: Loss of each element, (N,) or (N, C).
        weight: Weights, broadcastable to ``loss``.
        reduction: ``"none"`` keeps the weighted loss; ``"mean"`` divides its sum by ``avg_factor``, or by the number
            of elements, those of weight 0 included, if ``avg_factor`` is None; ``"sum"`` sums.
        avg_factor: Divisor of the sum; float32's epsilon, 1.19e-7, is added, so that 0 is allowed.

    Returns:
        A tensor of the shape of ``loss``, or a scalar. The mean of an empty loss is 0 and keeps the graph, so that
        every process of a distributed run can call backward.

    Raises:
        ValueError: If ``avg_factor`` is given with ``"sum"``.
    """
    if weight is not None:
        loss = loss * weight
    if reduction == "none":
        return loss
    if avg_factor is None:
        return loss.mean() if reduction == "mean" and loss.numel() else loss.sum()
    if reduction == "sum":
        raise ValueError("avg_factor: cannot be combined with reduction 'sum'")
    return loss.sum() / (avg_factor + torch.finfo(torch.float32).eps)


class Loss(nn.Module):
    """Base class of all losses; a subclass defines the loss of each element.

    float16 and bfloat16 inputs are converted to float32, and the result is float32: squared pixels and areas exceed the
    range of float16, and mixed precision would give NaN.

    Args:
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :func:`weight_reduce_loss`.
        loss_weight: Factor that multiplies the loss.

    Raises:
        ValueError: If ``reduction`` is unknown.
    """

    def __init__(self, reduction: str = "mean", loss_weight: float = 1.0) -> None:
        super().__init__()
        check_choice("reduction", reduction, ("none", "mean", "sum"))
        self.reduction = reduction
        self.loss_weight = loss_weight

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each element: of each box (N,), or of each number (N, C)."""
        raise NotImplementedError

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Returns the weighted, reduced loss, times ``loss_weight``.

        Args:
            pred: Predictions (N, ...); see the class.
            target: Targets of the predictions.
            weight: Weight of each element of the loss, of each row, or of each number of a box; the last are averaged
                over each box.
            avg_factor: Divisor of the sum; see :func:`weight_reduce_loss`.
            reduction_override: Reduction used instead of the constructor's.

        Returns:
            A scalar, or the loss of each element if the reduction is ``"none"``.

        Raises:
            ValueError: If the weights have a wrong shape, or the reduction is unknown or excludes ``avg_factor``.
        """
        return self.reduce(self.elementwise(widen(pred), widen(target)), weight, avg_factor, reduction_override)

    def reduce(
        self, loss: Tensor, weight: Tensor | None, avg_factor: float | Tensor | None, reduction_override: str | None
    ) -> Tensor:
        """Weights and reduces the loss of each element, as the last part of :meth:`forward`."""
        reduction = reduction_override or self.reduction
        check_choice("reduction_override", reduction, ("none", "mean", "sum"))
        if weight is not None:
            weight = fit_weight(weight, loss)
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction, avg_factor)


def widen(values: Tensor) -> Tensor:
    """Converts float16 and bfloat16 to float32 and returns other dtypes unchanged."""
    if not values.is_floating_point():
        return values
    return values.to(torch.promote_types(values.dtype, torch.float32))


def check_same_shape(pred: Tensor, target: Tensor) -> None:
    """Raises ValueError unless both shapes are equal: torch would silently broadcast them to a wrong loss."""
    if pred.shape != target.shape:
        raise ValueError(f"pred and target: need equal shapes, got {tuple(pred.shape)} and {tuple(target.shape)}")


def fit_weight(weight: Tensor, loss: Tensor) -> Tensor:
    """Reshapes weights so that they can be multiplied with the loss.

    Args:
        weight: Weights in the loss's shape; (N,) for a loss (N, C); (N, 5) for a loss (N,), averaged over each row; or
            (N·C,) for a loss (N, C).
        loss: Loss of each element, (N,) or (N, C).

    Raises:
        ValueError: If the shape of ``weight`` is none of these.
    """
    if weight.shape == loss.shape or weight.shape == (*loss.shape[:-1], 1):
        return weight
    if weight.shape[:-1] == loss.shape:
        return weight.mean(dim=-1)
    if weight.shape == loss.shape[:-1]:
        return weight.unsqueeze(-1)
    if weight.numel() == loss.numel():
        return weight.reshape(loss.shape)
    raise ValueError(f"weight: shape {tuple(weight.shape)} does not fit a loss of shape {tuple(loss.shape)}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ValueError, with the argument's name, unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}: need one of {', '.join(map(repr, choices))}, got {value!r}")
