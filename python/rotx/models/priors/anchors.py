"""Horizontal anchors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotx.boxes import BoxKind
from rotx.models.priors.cache import PriorCache
from rotx.models.priors.grid import Device, Size, check_levels, grid_flags, grid_points, pair


class AnchorGenerator:
    """Horizontal anchors of several sizes and shapes at every place of every level.

    Args:
        strides: Stride of each level in pixels, one number or width and height.
        ratios: Ratios of height to width.
        scales: Sides of square anchors, in units of the level's base size.
        base_sizes: Base size of each level in pixels; by default the smaller of its strides.
        scale_major: Whether the anchors of a place are ordered by ratio, then scale, instead of by scale, then ratio.
        octave_base_scale: Smallest scale; together with ``scales_per_octave`` it replaces ``scales``.
        scales_per_octave: Number of scales in an octave, spaced evenly on a logarithmic scale.
        centers: Centre x, y of the first anchors of each level, in pixels; excludes ``center_offset``.
        center_offset: Offset of the first anchors' centre, in base sizes, in [0, 1].

    Raises:
        ValueError: If the arguments do not fit together.
    """

    #: Kind of the anchors.
    box_kind: BoxKind = "hbox"

    def __init__(
        self,
        strides: Sequence[int | tuple[int, int]],
        ratios: Sequence[float],
        scales: Sequence[float] | None = None,
        base_sizes: Sequence[float] | None = None,
        scale_major: bool = True,
        octave_base_scale: float | None = None,
        scales_per_octave: int | None = None,
        centers: Sequence[tuple[float, float]] | None = None,
        center_offset: float = 0.0,
    ) -> None:
        octave = octave_base_scale is not None and scales_per_octave is not None
        if octave == (scales is not None):
            raise ValueError("scales: give either these or octave_base_scale with scales_per_octave")
        if not 0 <= center_offset <= 1 or (center_offset and centers is not None):
            raise ValueError(f"center_offset: need a number in [0, 1], and 0 with centers, got {center_offset}")
        self.strides = [pair(stride) for stride in strides]
        self._cache = PriorCache()
        sizes = [min(stride) for stride in self.strides] if base_sizes is None else list(base_sizes)
        if centers is None:
            centers = [(center_offset * size, center_offset * size) for size in sizes]
        for name, values in (("base_sizes", sizes), ("centers", centers)):
            if len(values) != self.num_levels:
                raise ValueError(f"{name}: need one a stride, got {len(values)} for {self.num_levels} strides")
        if octave_base_scale is not None and scales_per_octave is not None:
            scales = [octave_base_scale * 2 ** (i / scales_per_octave) for i in range(scales_per_octave)]
        self.base_anchors = [
            _base_anchors(size, torch.tensor(scales).float(), torch.tensor(ratios).float(), center, scale_major)
            for size, center in zip(sizes, centers, strict=True)
        ]

    @property
    def num_levels(self) -> int:
        """Number of levels."""
        return len(self.strides)

    @property
    def num_base_priors(self) -> list[int]:
        """Number of anchors per place, for each level."""
        return [len(anchors) for anchors in self.base_anchors]

    def grid_priors(
        self, featmap_sizes: Sequence[Size], dtype: torch.dtype = torch.float32, device: Device = "cpu"
    ) -> list[Tensor]:
        """The anchors of each level: hboxes (H · W · anchors per place, 4).

        Args:
            featmap_sizes: Height and width of each level.
            dtype: Floating dtype.
            device: Device of the result.

        Raises:
            ValueError: If the number of sizes is not that of levels.
        """
        check_levels(featmap_sizes, self.num_levels)
        key = ("anchors", tuple(featmap_sizes), dtype, str(device))
        return self._cache.get(key, lambda: self._make(featmap_sizes, dtype, device))

    def _make(self, featmap_sizes: Sequence[Size], dtype: torch.dtype, device: Device) -> list[Tensor]:
        levels = []
        for anchors, size, stride in zip(self.base_anchors, featmap_sizes, self.strides, strict=True):
            shifts = grid_points(size, stride, 0.0, dtype, device).repeat(1, 2)  # (H·W, 4)
            levels.append((shifts[:, None] + anchors.to(device, dtype)).reshape(-1, 4))
        return levels

    def valid_flags(
        self, featmap_sizes: Sequence[Size], pad_shape: Sequence[int], device: Device = "cpu"
    ) -> list[Tensor]:
        """Whether the place of each anchor lies inside the image: (N,) bool for each level.

        Args:
            featmap_sizes: Height and width of each level.
            pad_shape: Height and width of the padded image.
            device: Device of the result.
        """
        key = ("flags", tuple(featmap_sizes), tuple(pad_shape), str(device))
        return self._cache.get(
            key, lambda: grid_flags(featmap_sizes, pad_shape, self.strides, self.num_base_priors, device)
        )


def _base_anchors(
    size: float, scales: Tensor, ratios: Tensor, center: tuple[float, float], scale_major: bool
) -> Tensor:
    """The anchors (A, 4) of the first place of a level, in float32."""
    heights = ratios.sqrt()
    widths = 1 / heights
    if scale_major:
        w, h = (size * side[:, None] * scales for side in (widths, heights))
    else:
        w, h = (size * scales[:, None] * side for side in (widths, heights))
    half = torch.stack([w.flatten(), h.flatten()], dim=-1) * 0.5
    middle = torch.tensor(center, dtype=torch.float32)
    return torch.cat([middle - half, middle + half], dim=-1)
