"""Cross entropy by softmax (box heads) or by sigmoid (RPN, centerness, masks)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rotx.models.losses.reduce import Loss, check_same_shape


class CrossEntropyLoss(Loss):
    """Cross entropy: −log softmax(pred)[label], or the binary cross entropy of each class with ``use_sigmoid``.

    With softmax, ``pred`` is (N, C) logits, ``target`` is (N,) int64 labels in [0, C), ``weight`` and the loss of
    each element are (N,).

    With ``use_sigmoid``, ``pred`` is (N, C) logits, and the loss of each element has this shape. ``target`` is either
    (N,) int64 labels, where labels ≥ C belong to no class, such as the background 1 of an RPN with C = 1; or
    probabilities in the shape of ``pred``, such as centerness. Negative labels have loss 0.

    Rows with ``ignore_index`` have loss 0; without ``avg_factor`` they still count in the mean.

    With ``use_mask``, ``pred`` is (N, h, w) logits and ``target`` is (N, h, w), 0 or 1: each pixel is an element.

    Args:
        use_sigmoid: Whether to use the sigmoid instead of the softmax.
        use_mask: Whether the inputs are masks; excludes ``use_sigmoid``, ``class_weight`` and ``ignore_index``.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        class_weight: C factors of the loss of each class; with sigmoid, of its positives only.
        ignore_index: Label of rows without a loss; None: −100.
        loss_weight: Factor that multiplies the loss.

    Raises:
        ValueError: If ``use_mask`` is combined with an option it excludes.
    """

    class_weight: Tensor | None

    def __init__(
        self,
        use_sigmoid: bool = False,
        use_mask: bool = False,
        reduction: str = "mean",
        class_weight: Sequence[float] | None = None,
        ignore_index: int | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(reduction, loss_weight)
        if use_mask and (use_sigmoid or class_weight is not None or ignore_index is not None):
            raise ValueError("use_mask: cannot be combined with use_sigmoid, class_weight or ignore_index")
        self.use_sigmoid = use_sigmoid
        self.use_mask = use_mask
        self.ignore_index = -100 if ignore_index is None else ignore_index
        # Not persistent: MMRotate's checkpoints have no such key.
        weights = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer("class_weight", weights, persistent=False)

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each element; see the class for shapes."""
        if self.use_mask:
            check_same_shape(pred, target)
            return F.binary_cross_entropy_with_logits(pred, target.to(pred.dtype), reduction="none")
        class_weight = None if self.class_weight is None else self.class_weight.to(pred)
        if not self.use_sigmoid:
            return F.cross_entropy(pred, target, weight=class_weight, ignore_index=self.ignore_index, reduction="none")
        valid = (target >= 0) & (target != self.ignore_index)
        if target.dim() < pred.dim():
            target = target.unsqueeze(-1) == torch.arange(pred.shape[-1], device=pred.device)
            valid = valid.unsqueeze(-1)
        entropy = F.binary_cross_entropy_with_logits(
            pred, target.to(pred.dtype), pos_weight=class_weight, reduction="none"
        )
        return entropy * valid
