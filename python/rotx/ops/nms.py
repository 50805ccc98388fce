"""Greedy non-maximum suppression of rotated boxes and of quads: ``rotx::nms_rotated``, ``rotx::nms_quadri`` and, within
each label, ``rotx::batched_nms_rotated``, ``rotx::batched_nms_quadri``."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from rotx import geometry
from rotx.ops import _cuda, _library, _plain


def nms_rotated(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression of rotated boxes; exact, as if all pairs were compared.

    Boxes are processed by descending score, equal scores by index, NaN last. A box is suppressed if its IoU with a kept
    box, always computed in float64, exceeds ``iou_threshold``. Boxes without area overlap nothing and are kept. The
    time is nearly linear in N at constant density.

    Args:
        boxes: Rboxes (N, 5) ``cx, cy, w, h, angle``, in pixels and radians, clockwise; any floating dtype.
        scores: Scores (N,), any floating dtype, on the same device.
        iou_threshold: IoU in [0, 1] above which a box is suppressed.

    Returns:
        (K,) int64: the indices of the kept boxes, best first.

    Raises:
        TypeError: If boxes or scores are not floating-point.
        ValueError: If a shape is wrong, the devices differ, or the threshold is outside [0, 1].
    """
    return cast(Tensor, torch.ops.rotx.nms_rotated(boxes, scores, iou_threshold))


def batched_nms_rotated(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Like :func:`nms_rotated`, but boxes with different labels do not suppress each other.

    The result is the same as that of one call per label; coordinates are not shifted.

    Args:
        boxes: Rboxes (N, 5) ``cx, cy, w, h, angle``, in pixels and radians, clockwise; any floating dtype.
        scores: Scores (N,), any floating dtype, on the same device.
        labels: Labels (N,), any integer dtype, on the same device: classes, images, or both combined.
        iou_threshold: IoU in [0, 1] above which a box is suppressed.

    Returns:
        (K,) int64: the indices of the kept boxes of all labels, best first.

    Raises:
        TypeError: If boxes or scores are not floating-point, or labels are not integers.
        ValueError: If a shape is wrong, the devices differ, or the threshold is outside [0, 1].
    """
    return cast(Tensor, torch.ops.rotx.batched_nms_rotated(boxes, scores, labels, iou_threshold))


def nms_quadri(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression of quads; like :func:`nms_rotated`.

    The IoU is that of :func:`box_iou_quadri`: quads may have either orientation and need not be convex.

    Args:
        boxes: Quads (N, 8) ``x1, y1, ..., x4, y4`` in pixels; any floating dtype.
        scores: Scores (N,), any floating dtype, on the same device.
        iou_threshold: IoU in [0, 1] above which a box is suppressed.

    Returns:
        (K,) int64: the indices of the kept quads, best first.

    Raises:
        TypeError: If quads or scores are not floating-point.
        ValueError: If a shape is wrong, the devices differ, or the threshold is outside [0, 1].
    """
    return cast(Tensor, torch.ops.rotx.nms_quadri(boxes, scores, iou_threshold))


def batched_nms_quadri(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Like :func:`nms_quadri`, but quads with different labels do not suppress each other.

    Args:
        boxes: Quads (N, 8) ``x1, y1, ..., x4, y4`` in pixels; any floating dtype.
        scores: Scores (N,), any floating dtype, on the same device.
        labels: Labels (N,), any integer dtype, on the same device: classes, images, or both combined.
        iou_threshold: IoU in [0, 1] above which a box is suppressed.

    Returns:
        (K,) int64: the indices of the kept quads of all labels, best first.

    Raises:
        TypeError: If quads or scores are not floating-point, or labels are not integers.
        ValueError: If a shape is wrong, the devices differ, or the threshold is outside [0, 1].
    """
    return cast(Tensor, torch.ops.rotx.batched_nms_quadri(boxes, scores, labels, iou_threshold))


def _check(boxes: Tensor, scores: Tensor, labels: Tensor | None, iou_threshold: float, columns: int) -> None:
    _library.check_boxes("boxes", boxes, columns)
    _library.check_floating("scores", scores)
    _library.check_per_box("scores", scores, boxes)
    if labels is not None:
        _library.check_integer("labels", labels)
        _library.check_per_box("labels", labels, boxes)
    torch._check_value(0 <= iou_threshold <= 1, lambda: f"iou_threshold: need a number in [0, 1], got {iou_threshold}")


def _cpu(boxes: Tensor, scores: Tensor, labels: Tensor | None, iou_threshold: float) -> Tensor:
    integers = None if labels is None else labels.numpy(force=True)
    keep = geometry.nms(_library.to_numpy(boxes), _library.to_numpy(scores), iou_threshold, integers)
    return torch.from_numpy(keep)


def _fake(boxes: Tensor, *_: object) -> Tensor:
    kept = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty(kept, dtype=torch.int64)


def _on_cuda(boxes: Tensor, scores: Tensor, labels: Tensor | None, iou_threshold: float) -> Tensor:
    integers = None if labels is None else labels.long()
    return cast(Tensor, _cuda.kernels().nms_rotated(boxes, scores, integers, iou_threshold))


def _define(name: str, columns: int, cuda: Callable[..., Tensor] | None) -> None:
    """Defines both ops for one kind of boxes: ``name`` and ``batched_<name>``."""

    def by(kernel: Callable[..., Tensor]) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
        def batched(boxes: Tensor, scores: Tensor, labels: Tensor | None, iou_threshold: float) -> Tensor:
            _check(boxes, scores, labels, iou_threshold, columns)
            return kernel(boxes, scores, labels, iou_threshold)

        def unbatched(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
            return batched(boxes, scores, None, iou_threshold)

        return unbatched, batched

    schemas = (
        f"{name}(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor",
        f"batched_{name}(Tensor boxes, Tensor scores, Tensor labels, float iou_threshold) -> Tensor",
    )
    kernels = zip(schemas, by(_cpu), by(_fake), by(cuda) if cuda else (None, None), by(_plain.nms), strict=True)
    for schema, cpu, fake, on_cuda, plain in kernels:
        _library.define(schema, cpu=cpu, fake=fake, cuda=on_cuda, plain=plain)


_define("nms_rotated", 5, _on_cuda)
_define("nms_quadri", 8, None)  # plain torch on CUDA
