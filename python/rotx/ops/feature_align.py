"""Alignment of features with refined boxes, in plain torch for any device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def feature_align(features: Tensor, boxes: Tensor, spatial_scale: float, points: int = 1) -> Tensor:
    """Adds the features at each position's box to the position's own: R3Det's feature refinement (Yang et al. 2021).

    Bilinear samples at the centre of the position's box, and with 5 points also at its corners, are added to the
    position's own features. Samples more than a pixel outside the map count as 0.

    mmcv's rotated_feature_align does the same but exchanges x and y of the boxes' centres: it equals this function for
    ``boxes[..., [1, 0, 2, 3, 4]]``.

    Args:
        features: Feature maps (B, C, H, W); any floating dtype.
        boxes: Rboxes (B, H * W, 5) ``cx, cy, w, h, angle`` in pixels of the image and radians, clockwise, one for each
            position of the map, row by row; any floating dtype, on the same device. They get no gradient.
        spatial_scale: Size of the feature map divided by that of the image: 1 / stride.
        points: Number of samples per box: 1, the centre, or 5, the centre and the corners.

    Returns:
        (B, C, H, W), with the dtype of the features, computed in float32 at least; differentiable with respect to
        ``features``.

    Raises:
        TypeError: If a dtype is not floating-point.
        ValueError: If a shape or the number of points is wrong, or the devices differ.
    """
    _check(features, boxes, points)
    batch, channels, height, width = features.shape
    dtype = torch.promote_types(features.dtype, torch.float32)
    positions = features.flatten(start_dim=2)
    total = positions.to(dtype)
    for x, y in _samples(boxes.detach().to(dtype), spatial_scale, points):
        for index, weight in _corners(x, y, height, width):
            near = positions.gather(2, index[:, None].expand(batch, channels, -1))
            total = total + near * weight[:, None]
    return total.view_as(features).to(features.dtype)


def _check(features: Tensor, boxes: Tensor, points: int) -> None:
    for name, values in (("features", features), ("boxes", boxes)):
        if not values.is_floating_point():
            raise TypeError(f"{name}: need a floating dtype, got {values.dtype}")
    if features.dim() != 4:
        raise ValueError(f"features: need shape (B, C, H, W), got {tuple(features.shape)}")
    batch, _, height, width = features.shape
    if boxes.shape != (batch, height * width, 5):
        raise ValueError(f"boxes: need shape {(batch, height * width, 5)}, got {tuple(boxes.shape)}")
    if features.device != boxes.device:
        raise ValueError(f"features and boxes: need one device, got {features.device} and {boxes.device}")
    if points not in (1, 5):
        raise ValueError(f"points: need 1 or 5, got {points}")


def _samples(boxes: Tensor, spatial_scale: float, points: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields x and y (B, N) of the sampling points of boxes (B, N, 5) on the map: the centres, then each corner."""
    cx, cy, w, h = (boxes[..., :4] * spatial_scale).unbind(dim=-1)
    yield cx, cy
    if points == 1:
        return
    cos, sin = boxes[..., 4].cos(), boxes[..., 4].sin()
    for along, across in ((0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5), (0.5, -0.5)):
        u, v = along * w, across * h
        yield cx + u * cos - v * sin, cy + u * sin + v * cos


def _corners(x: Tensor, y: Tensor, height: int, width: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the indices of the four positions around points (B, N) of a map, and their bilinear weights."""
    within = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)  # False for NaN
    x, y = x.where(within, 0).clamp(0, width - 1), y.where(within, 0).clamp(0, height - 1)
    left, top = x.floor(), y.floor()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    dx, dy = x - left, y - top
    for row, of_row in ((top, 1 - dy), (bottom, dy)):
        for column, of_column in ((left, 1 - dx), (right, dx)):
            index = row.long() * width + column.long()
            yield index, (of_row * of_column).where(within, 0)
