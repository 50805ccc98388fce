"""The arithmetic that coders of boxes share.

A size below MIN_SIZE counts as MIN_SIZE where it is divided by or its logarithm taken, so that boxes without
area give large targets, but finite ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor

MIN_SIZE = 1e-3
"""Pixels."""

WH_RATIO_CLIP = 16 / 1000
"""The least factor by which a size changes in decoding, and the inverse of the greatest."""


def statistics(means: Sequence[float], stds: Sequence[float], size: int) -> tuple[list[float], list[float]]:
    """Both as lists; ValueError unless there are ``size`` of each."""
    for name, values in (("target_means", means), ("target_stds", stds)):
        if len(values) != size:
            raise ValueError(f"{name}: need {size} numbers, got {len(values)}")
    return list(means), list(stds)


def at_least_float32(boxes: Tensor) -> Tensor:
    """In float32 at least: targets of half precision are too coarse."""
    return boxes.to(torch.promote_types(boxes.dtype, torch.float32))


def centered(hboxes: Tensor) -> Tensor:
    """hboxes as rboxes (..., 5) of angle 0."""
    least, most = hboxes[..., :2], hboxes[..., 2:]
    return torch.cat([(least + most) * 0.5, most - least, torch.zeros_like(hboxes[..., :1])], dim=-1)


def positive_size(boxes: Tensor) -> Tensor:
    """w, h (..., 2) of rboxes, MIN_SIZE at least."""
    return boxes[..., 2:4].clamp(min=MIN_SIZE)


def log_ratio(size: Tensor, prior: Tensor) -> Tensor:
    """Logarithms of w, h (..., 2) over those of a prior."""
    return (size / positive_size(prior)).log()


def normalize(deltas: Tensor, means: list[float], stds: list[float]) -> Tensor:
    """Less the means, by the standard deviations."""
    return (deltas - deltas.new_tensor(means)) / deltas.new_tensor(stds)


def denormalize(deltas: Tensor, means: list[float], stds: list[float]) -> Tensor:
    """The inverse, class by class: (..., n · K) → (..., K, n)."""
    classes = deltas.reshape(*deltas.shape[:-1], deltas.shape[-1] // len(means), len(means))
    return classes * deltas.new_tensor(stds) + deltas.new_tensor(means)


def decoded_shift(prior: Tensor, values: Tensor, ctr_clamp: int | None) -> Tensor:
    """How far the centre moves: (..., 2) in pixels."""
    shift = prior[..., 2:4] * values[..., :2]
    return shift if ctr_clamp is None else shift.clamp(-ctr_clamp, ctr_clamp)


def decoded_size(prior: Tensor, values: Tensor, ctr_clamp: int | None, wh_ratio_clip: float) -> Tensor:
    """w, h (..., 2) of the decoded boxes."""
    most = abs(log(wh_ratio_clip))
    return prior[..., 2:4] * values[..., 2:4].clamp(-most if ctr_clamp is None else None, most).exp()


def turned(vectors: Tensor, angle: Tensor) -> Tensor:
    """Vectors (..., 2) turned clockwise by angles (...)."""
    x, y = vectors.unbind(dim=-1)
    c, s = angle.cos(), angle.sin()
    return torch.stack([c * x - s * y, s * x + c * y], dim=-1)
