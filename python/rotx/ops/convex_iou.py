"""IoU and GIoU of the convex hulls of point sets with quads: ``rotx::convex_iou``, ``rotx::convex_giou``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor

from rotx import _rust
from rotx.ops import _library

Mode = Literal["iou", "iof"]


def convex_iou(points: Tensor, quads: Tensor, mode: Mode = "iou") -> Tensor:
    """Computes the overlap of the convex hull of every point set with every quad.

    The IoU is computed in float64 and rounded once, to the dtype of the points. Non-convex quads are replaced by their
    convex hulls. Shapes without area or with a non-finite number overlap nothing.

    Args:
        points: Point sets (N, 2k) ``x1, y1, ..., xk, yk`` in pixels; any floating dtype.
        quads: Quads (M, 8) ``x1, y1, ..., x4, y4`` of the same dtype, on the same device.
        mode: ``"iou"``: over the union; ``"iof"``: over the area of the hull of ``points``.

    Returns:
        (N, M) in [0, 1], with the dtype of the points. Not differentiable: never requires grad.

    Raises:
        TypeError: If the dtypes differ or are not floating-point.
        ValueError: If a shape or mode is wrong or the devices differ.
    """
    return cast(Tensor, torch.ops.rotx.convex_iou(points, quads, mode))


def convex_giou(points: Tensor, quads: Tensor) -> Tensor:
    """Computes the generalised IoU of the convex hull of each point set with the quad of the same row.

    GIoU is the IoU minus the fraction of the convex hull around both that neither covers (Rezatofighi et al. 2019); it
    measures the distance of disjoint hulls. The gradient with respect to the points is the exact derivative, computed
    in float64 from the area that the border sweeps. Points inside their hull have gradient 0, as have all points if
    both hulls are equal. At other kinks, where corners or edges touch, the gradient is a one-sided derivative.

    Non-convex quads are replaced by their convex hulls. If neither shape has an area, the value is 0. Non-finite
    numbers give NaN.

    Args:
        points: Point sets (N, 2k) ``x1, y1, ..., xk, yk`` in pixels; any floating dtype.
        quads: Quads (N, 8) ``x1, y1, ..., x4, y4`` of the same dtype, on the same device. They get no gradient.

    Returns:
        (N,) in [−1, 1], with the dtype of the points; once differentiable with respect to ``points``.

    Raises:
        TypeError: If the dtypes differ or are not floating-point.
        ValueError: If a shape is wrong, the devices differ, or the numbers of quads and point sets differ.
    """
    return cast(Tensor, torch.ops.rotx.convex_giou(points, quads))


def _check(points: Tensor, quads: Tensor) -> None:
    _library.check_points("points", points)
    _library.check_boxes("quads", quads, 8)
    _library.check_same_dtype("points", points, "quads", quads)
    _library.check_device("points", points, "quads", quads)


def _check_mode(points: Tensor, quads: Tensor, mode: str = "iou") -> None:
    _check(points, quads)
    torch._check_value(mode in ("iou", "iof"), lambda: f"mode: need 'iou' or 'iof', got {mode!r}")


def _check_rows(points: Tensor, quads: Tensor) -> None:
    _check(points, quads)
    torch._check_value(
        points.shape[0] == quads.shape[0],
        lambda: f"points and quads: need equal numbers of rows, got {points.shape[0]} and {quads.shape[0]}",
    )


def _checked(check: Callable[..., None], kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(points: Tensor, quads: Tensor, *mode: str) -> Tensor:
        check(points, quads, *mode)
        return kernel(points, quads, *mode)

    return run


def _backward_by(kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(grad: Tensor, points: Tensor, quads: Tensor) -> Tensor:
        _check_rows(points, quads)
        _library.check_per_box("grad", grad, points)
        return kernel(grad, points, quads)

    return run


def _rows(values: Tensor) -> Any:
    """Converts values to C-contiguous float64 arrays."""
    return _library.to_numpy(values.contiguous())


def _cpu_iou(points: Tensor, quads: Tensor, mode: str = "iou") -> Tensor:
    out = torch.empty((points.shape[0], quads.shape[0]), dtype=torch.float64)
    _rust.convex_iou(_rows(points), _rows(quads), mode, torch.get_num_threads(), out.numpy())
    return out.to(points.dtype)


def _cpu_giou(points: Tensor, quads: Tensor) -> Tensor:
    return torch.from_numpy(_rust.convex_giou(_rows(points), _rows(quads))).to(points.dtype)


def _cpu_giou_backward(grad: Tensor, points: Tensor, quads: Tensor) -> Tensor:
    gradient = _rust.convex_giou_backward(_rows(grad), _rows(points), _rows(quads))
    return torch.from_numpy(gradient).to(points.dtype)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _grad_of_giou(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    points, quads = ctx.saved_tensors
    return torch.ops.rotx.convex_giou_backward(grad, points, quads), None


def _grad_of_backward(ctx: Any, grad: Tensor) -> None:
    raise NotImplementedError("convex_giou: its gradient is not differentiable: call backward without create_graph")


_library.define(
    "convex_iou(Tensor points, Tensor quads, str mode='iou') -> Tensor",
    cpu=_checked(_check_mode, _cpu_iou),
    fake=_checked(_check_mode, lambda points, quads, _="iou": points.new_empty((points.shape[0], quads.shape[0]))),
)
_library.define(
    "convex_giou(Tensor points, Tensor quads) -> Tensor",
    cpu=_checked(_check_rows, _cpu_giou),
    fake=_checked(_check_rows, lambda points, _: points.new_empty(points.shape[0])),
    backward=_grad_of_giou,
    setup_context=_save,
)
_library.define(
    "convex_giou_backward(Tensor grad, Tensor points, Tensor quads) -> Tensor",
    cpu=_backward_by(_cpu_giou_backward),
    fake=_backward_by(lambda grad, points, quads: points.new_empty(points.shape)),
    backward=_grad_of_backward,
    setup_context=_save,
)
