"""Cross entropy by softmax (box heads) or by sigmoid (RPN, centerness)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rotx.models.losses.reduce import Loss


class CrossEntropyLoss(Loss):
    """Cross entropy: −log softmax(pred)[label], or that of every class by itself if ``use_sigmoid``.

    With softmax, ``pred`` is (N, C) logits, ``target`` (N,) int64 labels in [0, C), ``weight`` and the loss of
    each element are (N,). With ``use_sigmoid``, ``pred`` is (N, C) logits; ``target`` is (N,) int64 labels,
    where C or more is no class, as the background 1 of an RPN with C = 1; or it has the shape of ``pred`` and
    holds probabilities, as centerness does; the loss of each element has the shape of ``pred``. Elements with
    a negative label, by sigmoid, or with ``ignore_index`` have loss 0, but count in a mean without
    ``avg_factor``.

    Args:
        use_sigmoid: sigmoid instead of softmax.
        reduction: see :class:`~rotx.models.losses.reduce.Loss`.
        class_weight: C factors; by softmax of the loss of each class, by sigmoid of its positives only.
        ignore_index: the label of rows that have no loss; None: −100.
        loss_weight: factor of the result.
    """

    class_weight: Tensor | None

    def __init__(
        self,
        use_sigmoid: bool = False,
        reduction: str = "mean",
        class_weight: Sequence[float] | None = None,
        ignore_index: int | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(reduction, loss_weight)
        self.use_sigmoid = use_sigmoid
        self.ignore_index = -100 if ignore_index is None else ignore_index
        # Not persistent: checkpoints of MMRotate have no such key.
        weights = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer("class_weight", weights, persistent=False)

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """See the class."""
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
