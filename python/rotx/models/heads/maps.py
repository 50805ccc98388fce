"""What all dense heads do with their outputs: maps to rows, a row for each prior."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rotx.models.structures import Size


def map_sizes(maps: Sequence[Tensor]) -> list[Size]:
    """Height and width of maps (B, C, H, W)."""
    return [(int(x.shape[-2]), int(x.shape[-1])) for x in maps]


def to_rows(output: Tensor, priors: int = 1) -> Tensor:
    """A map (B, priors × C, H, W) as (B, H × W × priors, C), in float32, in the order of the priors of a level.

    Args:
        output: a head's output for one level.
        priors: how many there are at each place.
    """
    return output.permute(0, 2, 3, 1).reshape(len(output), -1, output.shape[1] // priors).float()
