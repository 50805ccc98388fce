"""Point priors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.models.priors.cache import PriorCache
from rotx.models.priors.grid import Device, Size, check_levels, grid_flags, grid_points, pair


class MlvlPointGenerator:
    """One point at every place of every level.

    Args:
        strides: Stride of each level in pixels, one number or width and height.
        offset: Offset of the first point, in strides.
    """

    #: Kind of the priors.
    box_kind: BoxKind = "points"

    def __init__(self, strides: Sequence[int | tuple[int, int]], offset: float = 0.5) -> None:
        self.strides = [pair(stride) for stride in strides]
        self.offset = offset
        self._cache = PriorCache()

    @property
    def num_levels(self) -> int:
        """Number of levels."""
        return len(self.strides)

    @property
    def num_base_priors(self) -> list[int]:
        """Number of points per place, for each level: 1."""
        return [1] * self.num_levels

    def grid_priors(
        self, featmap_sizes: Sequence[Size], dtype: torch.dtype = torch.float32, device: Device = "cpu"
    ) -> list[Tensor]:
        """The points of each level: x, y (H · W, 2); see :meth:`.prior_generator.PriorGenerator.grid_priors`."""
        check_levels(featmap_sizes, self.num_levels)
        levels = list(zip(featmap_sizes, self.strides, strict=True))
        return self._cache.get(
            (tuple(featmap_sizes), dtype, str(device)),
            lambda: [grid_points(size, stride, self.offset, dtype, device) for size, stride in levels],
        )

    def valid_flags(
        self, featmap_sizes: Sequence[Size], pad_shape: Sequence[int], device: Device = "cpu"
    ) -> list[Tensor]:
        """Whether each point lies inside the padded image: (N,) bool for each level."""
        return grid_flags(featmap_sizes, pad_shape, self.strides, self.num_base_priors, device)
