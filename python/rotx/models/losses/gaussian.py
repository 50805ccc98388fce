"""Losses that compare rotated boxes as Gaussians: GWD, KLD and its variants, BCD, and KFIoU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rotx.models.losses.gaussian_distances import axes_of, bhattacharyya, kl_divergence, squared_wasserstein
from rotx.models.losses.reduce import Loss, check_choice, widen
from rotx.models.losses.smooth_l1 import smooth_l1


class GDLoss(Loss):
    """Distance of two Gaussians as a loss: 1 − 1 / (tau + x) with x = fun(distance), or x itself if tau < 1.

    ``pred`` and ``target`` are (N, 5) rboxes in pixels and radians, compared row by row; ``weight`` is (N,) or
    (N, 5). Let p be the prediction, t the target, and KL(t ‖ p) the Kullback-Leibler divergence in which the squared
    distance of the centres is divided by alpha². The distance is

    - ``"gwd"``: the Wasserstein distance, with its shape term multiplied by alpha, divided by
      2 (w_p h_p w_t h_t / 16)^¼ if ``normalize``. Yang et al., "Rethinking Rotated Object Detection with Gaussian
      Wasserstein Distance Loss", 2021;
    - ``"kld"``: KL(t ‖ p). Yang et al., "Learning High-Precision Bounding Box for Rotated Object Detection via
      Kullback-Leibler Divergence", 2021; MMRotate's "kld-stable";
    - ``"jd"``, ``"kld_symmax"``, ``"kld_symmin"``: the mean, the maximum and the minimum of KL(t ‖ p) and
      KL(p ‖ t); from the same paper.

    ``sqrt`` takes the square root of all of these except ``"gwd"``. Arguments of square roots are clamped to at least
    1e-7, so equal boxes have a small loss but gradient 0.

    Args:
        loss_type: Name of the distance, one of the five above.
        fun: Function of the distance: ``"log1p"``, ``"sqrt"`` or ``"none"``.
        tau: Offset of the denominator; 1 or more keeps the loss below 1, less than 1 disables the fraction.
        alpha: Weight of the shape term relative to the centre term.
        sqrt: Whether to use the square root of the distance; ``"gwd"`` ignores it.
        normalize: Whether to normalise the distance of ``"gwd"`` by the sizes of the boxes.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.

    Raises:
        ValueError: If ``loss_type`` or ``fun`` is unknown.
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
        check_choice("loss_type", loss_type, ("gwd", *_DIVERGENCES))
        check_choice("fun", fun, ("log1p", "sqrt", "none"))
        self.loss_type = loss_type
        self.fun = fun
        self.tau = tau
        self.alpha = alpha
        self.sqrt = sqrt
        self.normalize = normalize

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each box (N,); see the class."""
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
                # MMRotate clamps the product of the determinants, which is the square of this, to 1e-7.
                distance = distance / (2 * axes_of(pred, target).product().clamp(min=1e-7**0.5) ** 0.25)
            return distance
        divergence = _DIVERGENCES[self.loss_type](
            kl_divergence(target, pred, self.alpha), kl_divergence(pred, target, self.alpha)
        )
        return divergence.clamp(min=1e-7).sqrt() if self.sqrt else divergence


class GDLoss_v1(Loss):
    """Squared distance d of two Gaussians as a loss, as in the code of the first papers.

    The inputs are those of :class:`GDLoss`. The loss is 1 − 1 / (tau + x), where x is log(1 + d) for ``fun="log1p"``
    and √d for ``fun="sqrt"``. d is clamped to at least 1e-6:

    - ``"gwd"``: the squared Wasserstein distance; with ``fun=""`` the loss is log(1 + √d / (2 (w_p h_p w_t h_t
      / 16)^¼)) instead;
    - ``"kld"``: 2 KL(p ‖ t); ``fun=""`` means ``"log1p"``;
    - ``"bcd"``: the Bhattacharyya distance; with ``fun=""``, x is d itself.

    Papers: see :class:`GDLoss`.

    **MMRotate reduces this loss in an unusual way.** The published models were trained with it, so it is the default:
    ``reduction_form="mmrotate"`` selects the rows with a weight > 0, ignores the weights' values, ``avg_factor`` and
    ``reduction``, and returns the losses of the selected rows, (M, 1), or (M,) for ``"gwd"``; a scalar 0 if there are
    none. The trainer takes their mean over the rows of one process, and FCOS's centerness has no effect. An object
    therefore weighs more the fewer objects the images of its process contain, and several processes do not train like
    one with all images. ``"standard"`` weights and reduces as all other losses do.

    Args:
        loss_type: Name of the distance: ``"gwd"``, ``"kld"`` or ``"bcd"``.
        fun: Function of the distance: ``"log1p"``, ``"sqrt"`` or ``""``.
        tau: Offset of the denominator; 1 or more keeps the loss in [0, 1).
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.
        reduction_form: How to reduce: ``"mmrotate"`` or ``"standard"``.

    Raises:
        ValueError: If ``loss_type``, ``fun`` or ``reduction_form`` is unknown.
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
        """Returns the loss of each box (N,); see the class."""
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
        """Reduces as MMRotate or as the other losses do; see the class."""
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
    """KFIoU loss: smooth L1 of the encoded centres plus a function of the Gaussians' overlap.

    Yang et al., "The KFIoU Loss for Rotated Object Detection", 2022. KFIoU is V / (V_p + V_t − V), where V_p and V_t
    are the areas of the boxes and V is that of the box whose Gaussian is the product of both after their centres are
    aligned. The shape loss is −log(KFIoU + eps) for ``fun="ln"``, exp(1 − KFIoU) − 1 for ``"exp"``, and 1 − KFIoU for
    ``"none"``.

    By the paper's design, the loss is **not 0 for equal boxes**: there V = V_p / 2, so KFIoU reaches its maximum of
    1/3, and the loss is 1.0986 for ``"ln"``, 0.9477 for ``"exp"`` and 2/3 for ``"none"``.

    Args:
        fun: Function of KFIoU: ``"ln"``, ``"exp"`` or ``"none"``.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.
        beta: ``beta`` of the smooth L1 loss.
        eps: Added to the denominator of KFIoU, in square pixels, and to KFIoU in the logarithm.

    Raises:
        ValueError: If ``fun`` is unknown.
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
        """Computes the loss from encoded and decoded boxes; else as :meth:`rotx.models.losses.reduce.Loss.forward`.

        Args:
            pred: Encoded boxes (N, 5), of which only the first two columns, the centres, are used.
            target: Encoded boxes (N, 5), as ``pred``.
            weight: Weights (N,) or (N, 5).
            avg_factor: Divisor of the sum; see :func:`~rotx.models.losses.reduce.weight_reduce_loss`.
            reduction_override: Reduction used instead of the constructor's.
            pred_decode: Decoded rboxes (N, 5) in pixels and radians, of which only the last three columns are used.
            targets_decode: Decoded boxes (N, 5) of the targets, as ``pred_decode``.

        Raises:
            ValueError: If the decoded boxes are missing.
        """
        if pred_decode is None or targets_decode is None:
            raise ValueError("KFLoss: needs pred_decode and targets_decode, the decoded boxes")
        pred, target = widen(pred), widen(target)
        centres = smooth_l1(pred[:, :2], target[:, :2], self.beta).sum(dim=-1)
        shapes = self._shape_loss(widen(pred_decode), widen(targets_decode))
        return self.reduce((centres + shapes).clamp(min=0), weight, avg_factor, reduction_override)

    def _shape_loss(self, pred: Tensor, target: Tensor) -> Tensor:
        axes = axes_of(pred, target)
        common = 4 * axes.product() / axes.determinant_of_sum().sqrt()
        areas = 4 * (axes.long_p * axes.short_p + axes.long_t * axes.short_t)
        kfiou = common / (areas - common + self.eps)
        if self.fun == "ln":
            return -(kfiou + self.eps).log()
        return (1 - kfiou).expm1() if self.fun == "exp" else 1 - kfiou


#: Distances of GDLoss as functions of KL(t ‖ p) and KL(p ‖ t).
_DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kld": lambda tp, _: tp,
    "jd": lambda tp, pt: (tp + pt) / 2,
    "kld_symmax": torch.maximum,
    "kld_symmin": torch.minimum,
}
