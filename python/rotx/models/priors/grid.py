"""Places of a feature grid.

Places of a level are ordered row by row; the anchors of a place are adjacent.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

Size = tuple[int, int]
Device = torch.device | str


def pair(stride: int | Sequence[int]) -> tuple[int, int]:
    """A stride as width and height."""
    if isinstance(stride, Sequence):
        width, height = stride
        return width, height
    return stride, stride


def check_levels(featmap_sizes: Sequence[Size], levels: int) -> None:
    """Raises ValueError unless there is one size for each level."""
    if len(featmap_sizes) != levels:
        raise ValueError(f"featmap_sizes: need one a stride, got {len(featmap_sizes)} for {levels} strides")


def grid_points(size: Size, stride: tuple[int, int], offset: float, dtype: torch.dtype, device: Device) -> Tensor:
    """x, y of each place of a level: (H · W, 2)."""
    x = ((torch.arange(size[1], device=device) + offset) * stride[0]).to(dtype)
    y = ((torch.arange(size[0], device=device) + offset) * stride[1]).to(dtype)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x.flatten(), grid_y.flatten()], dim=-1)


def grid_flags(
    featmap_sizes: Sequence[Size],
    pad_shape: Sequence[int],
    strides: Sequence[tuple[int, int]],
    anchors: Sequence[int],
    device: Device,
) -> list[Tensor]:
    """Whether the place of each anchor lies inside the padded image: (N,) bool for each level."""
    check_levels(featmap_sizes, len(strides))
    flags = []
    for (height, width), stride, repeats in zip(featmap_sizes, strides, anchors, strict=True):
        inside_x = torch.arange(width, device=device) < ceil(pad_shape[1] / stride[0])
        inside_y = torch.arange(height, device=device) < ceil(pad_shape[0] / stride[1])
        flags.append((inside_y[:, None] & inside_x).flatten().repeat_interleave(repeats))
    return flags
