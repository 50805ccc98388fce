"""Losses that compare rotated boxes as Gaussians: GWD, KLD and its kin, BCD, and KFIoU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rotx.models.losses.gaussian_distances import axes_of, bhattacharyya, kl_divergence, squared_wasserstein
from rotx.models.losses.reduce import Loss, check_choice, widen
from rotx.models.losses.smooth_l1 import smooth_l1


class GDLoss(Loss):
    """Loss of the distance of two Gaussians, with x = fun(distance): 1 − 1 / (tau + x), or x if tau < 1.

    ``pred`` and ``target`` are (N, 5) rboxes in pixels and radians, compared row by row; ``weight`` is (N,) or
    (N, 5). With p the prediction and t the target, and with KL(t ‖ p) the Kullback-Leibler divergence, in which
    the squared distance of the centres is divided by alpha², the distance is

    - ``"gwd"``: the Wasserstein distance, its part of the shapes times alpha, divided by 2 (w_p h_p w_t h_t /
      16)^¼ if ``normalize``. Yang et al., "Rethinking Rotated Object Detection with Gaussian Wasserstein
      Distance Loss", 2021;
    - ``"kld"``: KL(t ‖ p). Yang et al., "Learning High-Precision Bounding Box for Rotated Object Detection via
      Kullback-Leibler Divergence", 2021; MMRotate's "kld-stable";
    - ``"jd"``, ``"kld_symmax"``, ``"kld_symmin"``: the mean, the greater, the lesser of KL(t ‖ p) and
      KL(p ‖ t); from the same paper.

    All but ``"gwd"`` are replaced by their square root if ``sqrt``. Square roots are taken of 1e-7 at least: so
    much is left for equal boxes, where the gradient is 0.

    Args:
        loss_type: one of the five.
        fun: ``"log1p"``, ``"sqrt"`` or ``"none"``.
        tau: 1 or more bounds the loss by 1.
        alpha: weight of the shapes against the centres.
        sqrt: for all but ``"gwd"``.
        normalize: for ``"gwd"`` only.
        reduction: see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: factor of the result.

    Raises:
        ValueError: for an unknown ``loss_type`` or ``fun``.
    """

    def __init__(
        self,
        loss_type: str,
        fun: str = "log1p",
        tau: float = 0.0,
        alpha: float = 1.0,
        sqrt: bool = True,
        normalize: bool = True,
        reduction: str = "mean",
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(reduction, loss_weight)
        check_choice("loss_type", loss_type, ("gwd", *_OF_DIVERGENCES))
        check_choice("fun", fun, ("log1p", "sqrt", "none"))
        self.loss_type = loss_type
        self.fun = fun
        self.tau = tau
        self.alpha = alpha
        self.sqrt = sqrt
        self.normalize = normalize

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        distance = self._distance(pred, target)
        if self.fun == "log1p":
            distance = distance.log1p()
        elif self.fun == "sqrt":
            distance = distance.clamp(min=1e-7).sqrt()
        return 1 - 1 / (self.tau + distance) if self.tau >= 1 else distance

    def _distance(self, pred: Tensor, target: Tensor) -> Tensor:
        if self.loss_type == "gwd":
            distance = squared_wasserstein(pred, target, self.alpha).clamp(min=1e-7).sqrt()
            if self.normalize:
                # MMRotate limits the product of the determinants, which is the square of this, to 1e-7.
                distance = distance / (2 * axes_of(pred, target).product().clamp(min=1e-7**0.5) ** 0.25)
            return distance
        divergence = _OF_DIVERGENCES[self.loss_type](
            kl_divergence(target, pred, self.alpha), kl_divergence(pred, target, self.alpha)
        )
        return divergence.clamp(min=1e-7).sqrt() if self.sqrt else divergence


class GDLoss_v1(Loss):
    """Loss of the squared distance d of two Gaussians, as the first papers' code had it.

    Inputs as of :class:`GDLoss`. The loss is 1 − 1 / (tau + x), where x is log(1 + d) for ``fun="log1p"`` and
    √d for ``fun="sqrt"``, and d is at least 1e-6:

    - ``"gwd"``: the squared Wasserstein distance; with ``fun=""`` the loss is log(1 + √d / (2 (w_p h_p w_t h_t
      / 16)^¼)) instead;
    - ``"kld"``: 2 KL(p ‖ t); ``fun=""`` means ``"log1p"``;
    - ``"bcd"``: the Bhattacharyya distance; with ``fun=""``, x is d itself.

    Papers: see :class:`GDLoss`.

    **The reduction is odd in MMRotate**, and published numbers were trained with it, so it is the default here:
    with ``reduction_form="mmrotate"`` only the rows with a weight > 0 are kept, but the weight's value, the
    ``avg_factor`` and the ``reduction`` are all ignored, and what is returned are the losses of these rows,
    (M, 1), or (M,) for ``"gwd"``. A trainer takes their mean; that is over the rows of one process, and FCOS's
    centerness does not count. So an object weighs more the fewer there are in its process's images, and several
    processes do not train as one with all images would. Where no row is left it is a scalar 0. ``"standard"``
    weights and reduces as all other losses do.

    Args:
        loss_type: ``"gwd"``, ``"kld"`` or ``"bcd"``.
        fun: ``"log1p"``, ``"sqrt"`` or ``""``.
        tau: 1 or more keeps the loss in [0, 1).
        reduction: see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: factor of the result.
        reduction_form: ``"mmrotate"`` or ``"standard"``.

    Raises:
        ValueError: for an unknown ``loss_type``, ``fun`` or ``reduction_form``.
    """

    def __init__(
        self,
        loss_type: str,
        fun: str = "sqrt",
        tau: float = 1.0,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        reduction_form: str = "mmrotate",
    ) -> None:
        super().__init__(reduction, loss_weight)
        check_choice("loss_type", loss_type, ("gwd", "kld", "bcd"))
        check_choice("fun", fun, ("log1p", "sqrt", ""))
        check_choice("reduction_form", reduction_form, ("mmrotate", "standard"))
        self.loss_type = loss_type
        self.fun = fun
        self.tau = tau
        self.reduction_form = reduction_form

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        if self.loss_type == "gwd":
            distance = squared_wasserstein(pred, target)
        elif self.loss_type == "kld":
            distance = 2 * kl_divergence(pred, target)
        else:
            distance = bhattacharyya(pred, target)
        distance = distance.clamp(min=1e-6)
        if self.fun == "sqrt":
            distance = distance.sqrt()
        elif self.fun == "log1p" or self.loss_type == "kld":
            distance = distance.log1p()
        elif self.loss_type == "gwd":
            scale = 2 * (axes_of(pred, target).product() ** 0.25).clamp(min=1e-7)
            return (distance.sqrt() / scale).log1p()
        return 1 - 1 / (self.tau + distance)

    def reduce(
        self, loss: Tensor, weight: Tensor | None, avg_factor: float | Tensor | None, reduction_override: str | None
    ) -> Tensor:
        """See the class: MMRotate's odd form, or the usual one."""
        if self.reduction_form == "standard":
            return super().reduce(loss, weight, avg_factor, reduction_override)
        if weight is not None:
            # By indices: a mask would make them once more in the backward pass.
            kept = ((weight if weight.dim() == 1 else weight.mean(dim=-1)) > 0).nonzero().squeeze(1)
            loss = loss.index_select(0, kept)
        if not loss.numel():
            return loss.sum()
        return self.loss_weight * (loss if self.loss_type == "gwd" else loss.unsqueeze(-1))


class KFLoss(Loss):
    """KFIoU loss: smooth L1 of the encoded centres plus fun of the Gaussians' overlap.

    Yang et al., "The KFIoU Loss for Rotated Object Detection", 2022. KFIoU is V / (V_p + V_t −
    V), with V_p and V_t the areas of the boxes and V that of the box whose Gaussian is the product of both
    after their centres are put together; the loss of the shapes is −log(KFIoU + eps) for ``fun="ln"``,
    exp(1 − KFIoU) − 1 for ``"exp"``, and 1 − KFIoU for ``"none"``.

    It is **not 0 for equal boxes**, by the paper's design: there V = V_p / 2, so KFIoU is 1/3 and no more, and
    the loss is 1.0986 for ``"ln"``, 0.9477 for ``"exp"`` and 2/3 for ``"none"``.

    Args:
        fun: ``"ln"``, ``"exp"`` or ``"none"``.
        reduction: see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: factor of the result.
        beta: that of the smooth L1.
        eps: in square pixels beside V, and beside KFIoU in the logarithm.

    Raises:
        ValueError: for an unknown ``fun``.
    """

    def __init__(
        self,
        fun: str = "none",
        reduction: str = "mean",
        loss_weight: float = 1.0,
        beta: float = 1.0 / 9.0,
        eps: float = 1e-6,
    ) -> None:
        super().__init__(reduction, loss_weight)
        check_choice("fun", fun, ("none", "ln", "exp"))
        self.fun = fun
        self.beta = beta
        self.eps = eps

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        *,
        pred_decode: Tensor | None = None,
        targets_decode: Tensor | None = None,
    ) -> Tensor:
        """As :meth:`rotx.models.losses.reduce.Loss.forward`, for encoded and decoded boxes.

        Args:
            pred: (N, 5) encoded boxes; only the first two columns, the centres, count.
            target: as ``pred``.
            weight: (N,) or (N, 5).
            avg_factor: see :func:`~rotx.models.losses.reduce.weight_reduce_loss`.
            reduction_override: replaces the reduction of the constructor.
            pred_decode: (N, 5) rboxes in pixels and radians, of which the last three columns count.
            targets_decode: as ``pred_decode``.

        Raises:
            ValueError: without decoded boxes.
        """
        if pred_decode is None or targets_decode is None:
            raise ValueError("KFLoss: needs pred_decode and targets_decode, the decoded boxes, too")
        pred, target = widen(pred), widen(target)
        centres = smooth_l1(pred[:, :2], target[:, :2], self.beta).sum(dim=-1)
        shapes = self._of_shapes(widen(pred_decode), widen(targets_decode))
        return self.reduce((centres + shapes).clamp(min=0), weight, avg_factor, reduction_override)

    def _of_shapes(self, pred: Tensor, target: Tensor) -> Tensor:
        axes = axes_of(pred, target)
        common = 4 * axes.product() / axes.determinant_of_sum().sqrt()
        areas = 4 * (axes.long_p * axes.short_p + axes.long_t * axes.short_t)
        kfiou = common / (areas - common + self.eps)
        if self.fun == "ln":
            return -(kfiou + self.eps).log()
        return (1 - kfiou).expm1() if self.fun == "exp" else 1 - kfiou


#: The distance of GDLoss from KL(t ‖ p) and KL(p ‖ t).
_OF_DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kld": lambda tp, _: tp,
    "jd": lambda tp, pt: (tp + pt) / 2,
    "kld_symmax": torch.maximum,
    "kld_symmin": torch.minimum,
}
