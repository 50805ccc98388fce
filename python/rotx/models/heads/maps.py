"""Reshaping the output maps of dense heads to rows, one per prior."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from rotx.models.structures import Size

#: Outputs of a dense head: for each kind of output, its maps (B, C, H, W) of all levels.
Maps = tuple[list[Tensor], ...]


def map_sizes(maps: Sequence[Tensor]) -> list[Size]:
    """Height and width of maps (B, C, H, W)."""
    return [(int(x.shape[-2]), int(x.shape[-1])) for x in maps]


def to_rows(output: Tensor, priors: int = 1) -> Tensor:
    """A map (B, priors × C, H, W) as rows (B, H × W × priors, C) in float32, in the order of the level's priors.

    Args:
        output: A head's output for one level.
        priors: Number of priors at each place.
    """
    return output.permute(0, 2, 3, 1).reshape(len(output), -1, output.shape[1] // priors).float()


def priors_at(priors: Tensor, images: Tensor, places: Tensor) -> Tensor:
    """Some priors of a level.

    Args:
        priors: Priors (N, D) common to all images, or (B, N, D).
        images: Indices of images, of any shape.
        places: Indices of the priors, of the same shape.

    Returns:
        Priors (..., D).
    """
    return priors[places] if priors.dim() == 2 else priors[images, places]


def where_true(masks: Sequence[Tensor]) -> list[Tensor]:
    """Ascending indices (m,) int64 at which each of several masks (n,) is true.

    All masks together cost two synchronisations with the device.
    """
    counts = torch.stack([mask.sum() for mask in masks]).tolist()
    found = torch.cat(list(masks)).nonzero().squeeze(1).split_with_sizes(counts)
    starts = accumulate([0, *(len(mask) for mask in masks[:-1])])
    return [at - start for at, start in zip(found, starts, strict=True)]


def image_rows(places: Tensor) -> Tensor:
    """The image index (B, 1) of places (B, n)."""
    return torch.arange(len(places), device=places.device)[:, None]
