"""IoU and GIoU losses of decoded boxes, horizontal and rotated."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx import ops
from rotx.models.losses.reduce import Loss, check_choice, check_same_shape


class IoULoss(Loss):
    """IoU loss of horizontal boxes: −log IoU, 1 − IoU or 1 − IoU².

    Yu et al., "UnitBox: An Advanced Object Detection Network", 2016. ``pred`` and ``target`` are (N, 4) hboxes
    ``x1, y1, x2, y2`` in pixels, compared row by row; ``weight`` is (N,) or (N, 4).

    Args:
        linear: Older spelling of ``mode="linear"``.
        eps: Lower bound of the IoU; below it the gradient is 0.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.
        mode: Function of the IoU: ``"log"``, ``"linear"`` or ``"square"``.

    Raises:
        ValueError: If ``mode`` is unknown.
    """

    def __init__(
        self,
        linear: bool = False,
        eps: float = 1e-6,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        mode: str = "log",
    ) -> None:
        super().__init__(reduction, loss_weight)
        check_choice("mode", mode, ("linear", "square", "log"))
        self.mode = "linear" if linear else mode
        self.eps = eps

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each box (N,); see the class."""
        common, union, _ = _hbox_areas(pred, target)
        return _loss_of_iou((common / union.clamp(min=1e-6)).clamp(min=self.eps), self.mode)


class GIoULoss(Loss):
    """Generalized IoU loss of horizontal boxes: 1 − IoU + (C − U) / C.

    Rezatofighi et al., "Generalized Intersection over Union", 2019, algorithm 2; U is the area of the union, C
    that of the smallest horizontal box around both. Shapes as for :class:`IoULoss`.

    Args:
        eps: Lower bound of the union and of C, in square pixels.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.
    """

    def __init__(self, eps: float = 1e-6, reduction: str = "mean", loss_weight: float = 1.0) -> None:
        super().__init__(reduction, loss_weight)
        self.eps = eps

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each box (N,); see the class."""
        common, union, around = _hbox_areas(pred, target)
        union, around = union.clamp(min=self.eps), around.clamp(min=self.eps)
        return 1 - common / union + (around - union) / around


class RotatedIoULoss(Loss):
    """IoU loss of rotated boxes: −log IoU, 1 − IoU or 1 − IoU².

    Zhou et al., "IoU Loss for 2D/3D Object Detection", 2019. The IoU comes from :func:`rotx.ops.diff_iou_rotated`,
    which, unlike mmcv's, is exact for identical boxes, shared edges and zero areas. ``pred`` and ``target`` are (N, 5)
    rboxes in pixels and radians, compared row by row; ``weight`` is (N,) or (N, 5).

    Args:
        linear: Older spelling of ``mode="linear"``.
        eps: Lower bound of the IoU; below it, as for disjoint boxes, the gradient is 0.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.
        mode: Function of the IoU: ``"log"``, ``"linear"`` or ``"square"``.

    Raises:
        ValueError: If ``mode`` is unknown.
    """

    def __init__(
        self,
        linear: bool = False,
        eps: float = 1e-6,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        mode: str = "log",
    ) -> None:
        super().__init__(reduction, loss_weight)
        check_choice("mode", mode, ("linear", "square", "log"))
        self.mode = "linear" if linear else mode
        self.eps = eps

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each box (N,); see the class."""
        return _loss_of_iou(ops.diff_iou_rotated(pred, target).clamp(min=self.eps), self.mode)


class RotatedGIoULoss(Loss):
    """GIoU loss of rotated boxes: 1 − IoU + (C − U) / C, with a gradient for disjoint boxes, too.

    Like :class:`GIoULoss`, but C is the area of the smallest rectangle around both boxes that is parallel to the
    target. The loss is 0 for equal boxes in any representation, and equals :class:`GIoULoss` if both angles are 0.
    MMRotate has no such loss. Shapes as for :class:`RotatedIoULoss`.

    Args:
        eps: Lower bound of C, in square pixels.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; see :class:`~rotx.models.losses.reduce.Loss`.
        loss_weight: Factor that multiplies the loss.
    """

    def __init__(self, eps: float = 1e-6, reduction: str = "mean", loss_weight: float = 1.0) -> None:
        super().__init__(reduction, loss_weight)
        self.eps = eps

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the loss of each box (N,); see the class."""
        iou = ops.diff_iou_rotated(pred, target)
        # IoU = I / (A − I) with A the sum of both areas, so U = A − I = A / (1 + IoU).
        union = (pred[:, 2] * pred[:, 3] + target[:, 2] * target[:, 3]) / (1 + iou)
        around = _area_around(pred, target).clamp(min=self.eps)
        return 1 - iou + (around - union) / around


def _loss_of_iou(iou: Tensor, mode: str) -> Tensor:
    if mode == "linear":
        return 1 - iou
    return 1 - iou**2 if mode == "square" else -iou.log()


def _hbox_areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Areas (N,) of the intersection, of the union, and of the smallest box around both."""
    check_same_shape(a, b)
    common = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    areas = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1)
    return common, areas - common, around


def _area_around(pred: Tensor, target: Tensor) -> Tensor:
    """Areas (N,) of the smallest rectangles parallel to ``target`` around both rboxes."""
    dx, dy = (pred[:, :2] - target[:, :2]).unbind(dim=1)
    cos, sin = target[:, 4].cos(), target[:, 4].sin()
    turn = pred[:, 4] - target[:, 4]
    wide, high = turn.cos().abs(), turn.sin().abs()
    sides = []
    for offset, half_pred, size in (
        (dx * cos + dy * sin, (pred[:, 2] * wide + pred[:, 3] * high) / 2, target[:, 2]),
        (dy * cos - dx * sin, (pred[:, 2] * high + pred[:, 3] * wide) / 2, target[:, 3]),
    ):
        last = torch.maximum(offset + half_pred, size / 2)
        sides.append(last - torch.minimum(offset - half_pred, -size / 2))
    return sides[0] * sides[1]
