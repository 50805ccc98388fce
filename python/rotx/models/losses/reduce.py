"""What all losses share: weights, averaging, and the precision they compute in."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def weight_reduce_loss(
    loss: Tensor, weight: Tensor | None = None, reduction: str = "mean", avg_factor: float | Tensor | None = None
) -> Tensor:
    """Multiplies a loss by weights and reduces it, as mmdet 3.3's function of this name.

    Args:
        loss: (N,) or (N, C).
        weight: broadcastable to ``loss``.
        reduction: ``"none"``: the weighted loss itself; ``"mean"``: its sum over ``avg_factor``, or over its
            number of elements if that is None; weights of 0 count as elements; ``"sum"``.
        avg_factor: what the sum is divided by, after adding 1.19e-7, float32's epsilon, so that 0 is no error.

    Returns:
        As ``loss``, or a scalar. The mean of nothing is 0 and keeps the graph, so that every process of a
        distributed training runs backward.

    Raises:
        ValueError: for an ``avg_factor`` with ``"sum"``.
    """
    if weight is not None:
        loss = loss * weight
    if reduction == "none":
        return loss
    if avg_factor is None:
        return loss.mean() if reduction == "mean" and loss.numel() else loss.sum()
    if reduction == "sum":
        raise ValueError("avg_factor: has no meaning with reduction 'sum'")
    return loss.sum() / (avg_factor + torch.finfo(torch.float32).eps)


class Loss(nn.Module):
    """The base of all losses: a subclass says what the loss of each element is.

    float16 and bfloat16 are computed in float32, and the result is float32: squares of pixels and logarithms of
    areas leave the range of float16, and mixed precision would train on NaN.

    Args:
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        loss_weight: factor of the result.

    Raises:
        ValueError: for another reduction.
    """

    def __init__(self, reduction: str = "mean", loss_weight: float = 1.0) -> None:
        super().__init__()
        check_choice("reduction", reduction, ("none", "mean", "sum"))
        self.reduction = reduction
        self.loss_weight = loss_weight

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss of each element: of each box (N,), or of each number (N, C)."""
        raise NotImplementedError

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """The weighted, reduced loss, times ``loss_weight``.

        Args:
            pred: (N, ...) predictions; the class says what they mean.
            target: what they should be.
            weight: one for each element of the loss, for each row, or for each number of a box, of which the
                mean counts.
            avg_factor: see :func:`weight_reduce_loss`.
            reduction_override: replaces the reduction of the constructor.

        Returns:
            A scalar, or the loss of each element if the reduction is ``"none"``.

        Raises:
            ValueError: for weights of another shape, an unknown reduction, or an ``avg_factor`` with ``"sum"``.
        """
        return self.reduce(self.elementwise(widen(pred), widen(target)), weight, avg_factor, reduction_override)

    def reduce(
        self, loss: Tensor, weight: Tensor | None, avg_factor: float | Tensor | None, reduction_override: str | None
    ) -> Tensor:
        """The second half of :meth:`forward`."""
        reduction = reduction_override or self.reduction
        check_choice("reduction_override", reduction, ("none", "mean", "sum"))
        if weight is not None:
            weight = fit_weight(weight, loss)
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction, avg_factor)


def widen(values: Tensor) -> Tensor:
    """float16 and bfloat16 as float32; anything else as it is."""
    if not values.is_floating_point():
        return values
    return values.to(torch.promote_types(values.dtype, torch.float32))


def check_same_shape(pred: Tensor, target: Tensor) -> None:
    """Raises ValueError unless both have one shape: torch would broadcast them to a loss of another meaning."""
    if pred.shape != target.shape:
        raise ValueError(f"pred and target: need one shape, got {tuple(pred.shape)} and {tuple(target.shape)}")


def fit_weight(weight: Tensor, loss: Tensor) -> Tensor:
    """Weights in a shape that multiplies the loss.

    Args:
        weight: of the loss's shape; (N,) for a loss (N, C); (N, 5) for a loss (N,), of which the mean is taken;
            or (N·C,) for a loss (N, C).
        loss: (N,) or (N, C).

    Raises:
        ValueError: for any other shape.
    """
    if weight.shape == loss.shape or weight.shape == (*loss.shape[:-1], 1):
        return weight
    if weight.shape[:-1] == loss.shape:
        return weight.mean(dim=-1)
    if weight.shape == loss.shape[:-1]:
        return weight.unsqueeze(-1)
    if weight.numel() == loss.numel():
        return weight.reshape(loss.shape)
    raise ValueError(f"weight: shape {tuple(weight.shape)} fits no loss of shape {tuple(loss.shape)}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ValueError, with the argument's name, unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}: need one of {', '.join(map(repr, choices))}, got {value!r}")
