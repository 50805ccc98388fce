"""Arithmetic shared by the box coders.

Before divisions and logarithms, sizes are clamped to at least MIN_SIZE, so that boxes without area give large but
finite targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor

MIN_SIZE = 1e-3
"""Lower bound of sizes, in pixels."""

WH_RATIO_CLIP = 16 / 1000
"""Smallest factor of a size in decoding; its inverse is the greatest."""


def statistics(means: Sequence[float], stds: Sequence[float], size: int) -> tuple[list[float], list[float]]:
    """Returns both as lists; raises ValueError unless each has ``size`` numbers."""
    for name, values in (("target_means", means), ("target_stds", stds)):
        if len(values) != size:
            raise ValueError(f"{name}: need {size} numbers, got {len(values)}")
    return list(means), list(stds)


def at_least_float32(boxes: Tensor) -> Tensor:
    """Converts boxes to at least float32: targets in half precision are too coarse."""
    return boxes.to(torch.promote_types(boxes.dtype, torch.float32))


def centered(hboxes: Tensor) -> Tensor:
    """Converts hboxes (..., 4) to rboxes (..., 5) of angle 0."""
    least, most = hboxes[..., :2], hboxes[..., 2:]
    return torch.cat([(least + most) * 0.5, most - least, torch.zeros_like(hboxes[..., :1])], dim=-1)


def positive_size(boxes: Tensor) -> Tensor:
    """Returns w, h (..., 2) of rboxes, at least MIN_SIZE."""
    return boxes[..., 2:4].clamp(min=MIN_SIZE)


def log_ratio(size: Tensor, prior: Tensor) -> Tensor:
    """Returns the logarithms of w, h (..., 2) divided by the prior's."""
    return (size / positive_size(prior)).log()


def normalize(deltas: Tensor, means: list[float], stds: list[float]) -> Tensor:
    """Subtracts the means and divides by the standard deviations."""
    # Numbers, not a tensor of them: its copy to a GPU would wait.
    columns = zip(deltas.unbind(dim=-1), means, stds, strict=True)
    return torch.stack([(column - mean) / std for column, mean, std in columns], dim=-1)


def denormalize(deltas: Tensor, means: list[float], stds: list[float]) -> Tensor:
    """Inverse of :func:`normalize` for each of K classes: (..., n · K) → (..., K, n)."""
    classes = deltas.reshape(*deltas.shape[:-1], deltas.shape[-1] // len(means), len(means))
    columns = zip(classes.unbind(dim=-1), means, stds, strict=True)
    return torch.stack([column * std + mean for column, mean, std in columns], dim=-1)


def clipped(points: Tensor, width: float, height: float) -> Tensor:
    """x, y (..., 2) moved into [0, width] × [0, height]."""
    x, y = points.unbind(dim=-1)
    return torch.stack([x.clamp(0, width), y.clamp(0, height)], dim=-1)


def decoded_shift(prior: Tensor, values: Tensor, ctr_clamp: int | None) -> Tensor:
    """Returns the shift of the centre (..., 2), in pixels."""
    shift = prior[..., 2:4] * values[..., :2]
    return shift if ctr_clamp is None else shift.clamp(-ctr_clamp, ctr_clamp)


def decoded_size(prior: Tensor, values: Tensor, ctr_clamp: int | None, wh_ratio_clip: float) -> Tensor:
    """Returns w, h (..., 2) of the decoded boxes, in pixels."""
    most = abs(log(wh_ratio_clip))
    return prior[..., 2:4] * values[..., 2:4].clamp(-most if ctr_clamp is None else None, most).exp()


def turned(vectors: Tensor, angle: Tensor) -> Tensor:
    """Rotates vectors (..., 2) clockwise by angles (...), in radians."""
    x, y = vectors.unbind(dim=-1)
    c, s = angle.cos(), angle.sin()
    return torch.stack([c * x - s * y, s * x + c * y], dim=-1)
