"""IoU of rotated boxes and of quads: ``rotx::box_iou_rotated`` and ``rotx::box_iou_quadri``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor

from rotx import geometry
from rotx.ops import _cuda, _library, _plain

Mode = Literal["iou", "iof"]


def box_iou_rotated(a: Tensor, b: Tensor, mode: Mode = "iou", aligned: bool = False) -> Tensor:
    """Computes the IoU of rotated boxes: of every ``a`` with every ``b``, or row by row.

    The IoU is computed in float64 and rounded once, to the dtype of the boxes, so that 0 ≤ IoU ≤ 1 and a box has IoU 1
    with itself in any representation. A box with a non-positive size or a non-finite number overlaps nothing. For
    details see :func:`rotx.geometry.box_iou`.

    Args:
        a: Rboxes (N, 5) ``cx, cy, w, h, angle``, in pixels and radians, clockwise; any floating dtype.
        b: Rboxes (M, 5) of the same dtype, on the same device; M = N if ``aligned``.
        mode: Denominator: ``"iou"``, the area of the union; ``"iof"``, the area of the box of ``a``.
        aligned: Whether to compare boxes row by row instead of in all pairs.

    Returns:
        (N, M), or (N,) if ``aligned``, with the dtype of the boxes. Not differentiable: never requires grad.

    Raises:
        TypeError: If the dtypes differ or are not floating-point.
        ValueError: If a shape is wrong, the devices differ, the mode is unknown, or ``aligned`` and N ≠ M.
    """
    return cast(Tensor, torch.ops.rotx.box_iou_rotated(a, b, mode, aligned))


def box_iou_quadri(a: Tensor, b: Tensor, mode: Mode = "iou", aligned: bool = False) -> Tensor:
    """Computes the IoU of quads: of every ``a`` with every ``b``, or row by row; like :func:`box_iou_rotated`.

    Quads may have either orientation and need not be convex: the area is exact. Where a quad intersects itself, every
    point counts by the product of its winding numbers: see :func:`rotx.geometry.box_iou`.

    Args:
        a: Quads (N, 8) ``x1, y1, ..., x4, y4`` in pixels; any floating dtype.
        b: Quads (M, 8) of the same dtype, on the same device; M = N if ``aligned``.
        mode: Denominator: ``"iou"``, the area of the union; ``"iof"``, the area of the quad of ``a``.
        aligned: Whether to compare quads row by row instead of in all pairs.

    Returns:
        (N, M), or (N,) if ``aligned``, with the dtype of the quads. Not differentiable: never requires grad.

    Raises:
        TypeError: If the dtypes differ or are not floating-point.
        ValueError: If a shape is wrong, the devices differ, the mode is unknown, or ``aligned`` and N ≠ M.
    """
    return cast(Tensor, torch.ops.rotx.box_iou_quadri(a, b, mode, aligned))


def _check(a: Tensor, b: Tensor, columns: int, mode: str, aligned: bool) -> None:
    _library.check_boxes("a", a, columns)
    _library.check_boxes("b", b, columns)
    _library.check_same_dtype("a", a, "b", b)
    _library.check_device("a", a, "b", b)
    torch._check_value(mode in ("iou", "iof"), lambda: f"mode: need 'iou' or 'iof', got {mode!r}")
    if aligned:
        torch._check_value(
            a.shape[0] == b.shape[0],
            lambda: f"a and b: need equal numbers of boxes, got {a.shape[0]} and {b.shape[0]}",
        )


def _define(name: str, columns: int) -> None:
    def by(kernel: Callable[[Tensor, Tensor, Mode, bool], Tensor]) -> Callable[..., Tensor]:
        def checked(a: Tensor, b: Tensor, mode: Mode = "iou", aligned: bool = False) -> Tensor:
            _check(a, b, columns, mode, aligned)
            return kernel(a, b, mode, aligned)

        return checked

    def cuda(a: Tensor, b: Tensor, mode: Mode, aligned: bool) -> Tensor:
        return cast(Tensor, getattr(_cuda.kernels(), name)(a, b, mode == "iof", aligned))

    schema = f"{name}(Tensor a, Tensor b, str mode='iou', bool aligned=False) -> Tensor"
    _library.define(schema, cpu=by(_cpu), fake=by(_fake), cuda=by(cuda), plain=by(_plain.box_iou))


def _cpu(a: Tensor, b: Tensor, mode: Mode, aligned: bool) -> Tensor:
    rows, others = _library.to_numpy(a), _library.to_numpy(b)
    if aligned:
        iou = geometry.box_iou_aligned(rows, others, mode)
    else:
        iou = geometry.box_iou(rows, others, mode, jobs=torch.get_num_threads())
    return torch.from_numpy(iou).to(a.dtype)


def _fake(a: Tensor, b: Tensor, mode: Mode, aligned: bool) -> Tensor:
    return a.new_empty((a.shape[0],) if aligned else (a.shape[0], b.shape[0]))


_define("box_iou_rotated", columns=5)
_define("box_iou_quadri", columns=8)
