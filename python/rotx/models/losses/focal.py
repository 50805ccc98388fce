"""Focal losses of class labels (RetinaNet) and of smooth angle labels (CSL)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rotx.models.losses.reduce import Loss


class FocalLoss(Loss):
    """Sigmoid focal loss: −α_t (1 − p_t)^gamma log p_t of each class.

    Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 5; p_t = p and α_t = alpha for the class
    of the label, 1 − p and 1 − alpha for the others.

    ``pred`` is (N, C): logits, or probabilities if ``activated``. ``target`` is (N,) int64 labels, where values
    outside [0, C), such as the background C, belong to no class; or (N, C) one-hot. The loss of each element is
    (N, C); ``weight`` is (N,) or (N, C).

    Args:
        use_sigmoid: Must be True; accepted because MMRotate's configs set it.
        gamma: Focusing exponent; larger values reduce the loss of easy examples more.
        alpha: Weight of the positives; negatives have 1 − alpha.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.
        activated: Whether ``pred`` contains probabilities instead of logits.

    Raises:
        ValueError: If ``use_sigmoid`` is False.
    """

    def __init__(
        self,
        use_sigmoid: bool = True,
        gamma: float = 2.0,
        alpha: float = 0.25,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        activated: bool = False,
    ) -> None:
        super().__init__(reduction, loss_weight)
        if not use_sigmoid:
            raise ValueError("use_sigmoid: FocalLoss is defined by the sigmoid; for softmax use CrossEntropyLoss")
        self.use_sigmoid = use_sigmoid
        self.gamma = gamma
        self.alpha = alpha
        self.activated = activated

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each element; see the class for shapes."""
        if target.dim() < pred.dim():
            # Comparing the labels, instead of scattering ones, needs no extra column for the background.
            target = target.unsqueeze(-1) == torch.arange(pred.shape[-1], device=pred.device)
        return focal(pred, target.to(pred.dtype), self.gamma, self.alpha, self.activated)


class SmoothFocalLoss(Loss):
    """Focal loss of labels in [0, 1], which CSL spreads over neighbouring angles.

    Yang and Yan, "Arbitrary-Oriented Object Detection with Circular Smooth Label", 2020. With p = sigmoid(pred)
    and label t: the cross entropy of t and p, times (alpha t + (1 − alpha)(1 − t)) (p + t − 2 p t)^gamma.

    ``pred`` (logits) and ``target`` are (N, A), and so is the loss of each element; ``weight`` is (N,), (N, 1)
    or (N, A).

    Args:
        gamma: Focusing exponent; larger values reduce the loss of easy examples more.
        alpha: Weight of the positives; negatives have 1 − alpha.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.
    """

    def __init__(
        self, gamma: float = 2.0, alpha: float = 0.25, reduction: str = "mean", loss_weight: float = 1.0
    ) -> None:
        super().__init__(reduction, loss_weight)
        self.gamma = gamma
        self.alpha = alpha

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each element; see the class for shapes."""
        return focal(pred, target.to(pred.dtype), self.gamma, self.alpha)


def focal(pred: Tensor, target: Tensor, gamma: float, alpha: float, activated: bool = False) -> Tensor:
    """Computes the formula of both classes without reduction; ``pred`` and ``target`` share shape and dtype."""
    if activated:
        probability = pred
        # torch forbids this function under autocast because of half precision, which never occurs here.
        with torch.autocast(pred.device.type, enabled=False):
            entropy = F.binary_cross_entropy(pred, target, reduction="none")
    else:
        probability = pred.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(pred, target, reduction="none")
    missed = (1 - probability) * target + probability * (1 - target)
    return (alpha * target + (1 - alpha) * (1 - target)) * missed.pow(gamma) * entropy
