"""What an assigner compares boxes by: IoU of rotated, horizontal or circumscribed boxes.

Each is called with boxes ``a`` (N, ·), boxes ``b`` (M, ·) and a mode, ``"iou"`` or ``"iof"``, the share of
``a`` that is common, and returns (N, M), in float32 at least, without a gradient.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rotx.boxes import rbox2hbox
from rotx.ops import box_iou_rotated

Mode = Literal["iou", "iof"]

# The least area divided by: two boxes without area overlap by 0, not by NaN.
_LEAST_AREA = 1e-6


class BboxOverlaps2D:
    """Overlaps of hboxes (N, 4) and (M, 4)."""

    def __call__(self, a: Tensor, b: Tensor, mode: Mode = "iou") -> Tensor:
        """(N, M) overlaps; ValueError for boxes of another kind."""
        return _hbox_overlaps(_check("a", a, 4), _check("b", b, 4), mode)


class RBboxOverlaps2D:
    """Overlaps of rboxes (N, 5) and (M, 5), exact: where mmcv is wrong, for nearly equal boxes, this is not."""

    def __call__(self, a: Tensor, b: Tensor, mode: Mode = "iou") -> Tensor:
        """(N, M) overlaps; ValueError for boxes of another kind."""
        a, b = _one_dtype(a, b)
        return box_iou_rotated(a.detach(), b.detach(), mode)


class FakeRBboxOverlaps2D:
    """Overlaps of the hboxes around rboxes (N, 5) and (M, 5)."""

    def __call__(self, a: Tensor, b: Tensor, mode: Mode = "iou") -> Tensor:
        """(N, M) overlaps; ValueError for boxes of another kind."""
        return _hbox_overlaps(rbox2hbox(_check("a", a, 5)), rbox2hbox(_check("b", b, 5)), mode)


class RBbox2HBboxOverlaps2D:
    """Overlaps of hboxes, such as anchors, with the hboxes around rboxes, such as gts; either may come first."""

    def __call__(self, a: Tensor, b: Tensor, mode: Mode = "iou") -> Tensor:
        """(N, M) overlaps; ValueError for boxes of another kind."""
        a, b = (rbox2hbox(x) if x.shape[-1] == 5 else _check(name, x, 4) for name, x in (("a", a), ("b", b)))
        return _hbox_overlaps(a, b, mode)


def _hbox_overlaps(a: Tensor, b: Tensor, mode: Mode) -> Tensor:
    a, b = _one_dtype(a.detach(), b.detach())
    areas_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    areas_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    sides = torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])
    common = sides.clamp(min=0).prod(dim=-1)  # (N, M)
    total = areas_a[:, None] + areas_b - common if mode == "iou" else areas_a[:, None]
    return common / total.clamp(min=_LEAST_AREA)


def _check(name: str, boxes: Tensor, columns: int) -> Tensor:
    if boxes.dim() != 2 or boxes.shape[1] != columns:
        raise ValueError(f"{name}: need boxes (N, {columns}), got shape {tuple(boxes.shape)}")
    return boxes


def _one_dtype(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return a.to(dtype), b.to(dtype)
