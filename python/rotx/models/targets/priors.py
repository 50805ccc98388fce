"""Priors of a feature grid: anchors and points, level by level.

Features of a level are numbered row by row, and the anchors of one place follow each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

from rotx.boxes import AngleVersion, hbox2rbox, regularize

Size = tuple[int, int]
Device = torch.device | str


class AnchorGenerator:
    """Horizontal anchors of several sizes and shapes at every place of every level.

    Args:
        strides: of each level in pixels, one number or width and height.
        ratios: height over width of the anchors.
        scales: of the anchors, in units of the level's base size.
        base_sizes: of each level in pixels; by default its lesser stride.
        scale_major: anchors of one place are ordered by ratio, then scale; if False by scale, then ratio.
        octave_base_scale: in place of ``scales``: the least scale, and
        scales_per_octave: the number of scales from it to its double, equally apart on a logarithmic scale.
        centers: x and y of the first anchors of each level; excludes ``center_offset``.
        center_offset: of the first anchor's centre, in base sizes, 0 to 1.

    Raises:
        ValueError: for arguments that do not fit together.
    """

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
        self.strides = [_pair(stride) for stride in strides]
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
        """Number of anchors at one place of each level."""
        return [len(anchors) for anchors in self.base_anchors]

    def grid_priors(
        self, featmap_sizes: Sequence[Size], dtype: torch.dtype = torch.float32, device: Device = "cpu"
    ) -> list[Tensor]:
        """The anchors of every level: hboxes (height · width · anchors a place, 4).

        Args:
            featmap_sizes: height and width of each level.
            dtype: floating.
            device: where to put them.

        Raises:
            ValueError: unless there is one size a level.
        """
        _check_levels(featmap_sizes, self.num_levels)
        levels = []
        for anchors, size, stride in zip(self.base_anchors, featmap_sizes, self.strides, strict=True):
            shifts = _grid(size, stride, 0.0, dtype, device).repeat(1, 2)  # (H·W, 4)
            levels.append((shifts[:, None] + anchors.to(device, dtype)).reshape(-1, 4))
        return levels

    def valid_flags(
        self, featmap_sizes: Sequence[Size], pad_shape: Sequence[int], device: Device = "cpu"
    ) -> list[Tensor]:
        """Which anchors start inside the image: a bool (N,) for each level, in the order of the anchors.

        Args:
            featmap_sizes: height and width of each level.
            pad_shape: height and width of the image, padded as in its batch.
            device: where to put them.
        """
        return _valid_flags(featmap_sizes, pad_shape, self.strides, self.num_base_priors, device)


class FakeRotatedAnchorGenerator(AnchorGenerator):
    """The same anchors as rboxes (N, 5), written in an angle version.

    Args:
        angle_version: how to write them; None: all with angle 0, as in MMRotate 0.x.
        strides: these and all others as of :class:`AnchorGenerator`.
    """

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
        angle_version: AngleVersion | None = None,
    ) -> None:
        super().__init__(
            strides=strides,
            ratios=ratios,
            scales=scales,
            base_sizes=base_sizes,
            scale_major=scale_major,
            octave_base_scale=octave_base_scale,
            scales_per_octave=scales_per_octave,
            centers=centers,
            center_offset=center_offset,
        )
        self.angle_version = angle_version
        if angle_version is not None:
            regularize(torch.zeros(0, 5), angle_version)  # an unknown version fails here, not in the first step

    def grid_priors(
        self, featmap_sizes: Sequence[Size], dtype: torch.dtype = torch.float32, device: Device = "cpu"
    ) -> list[Tensor]:
        """The anchors of every level: rboxes (height · width · anchors a place, 5)."""
        levels = [hbox2rbox(anchors) for anchors in super().grid_priors(featmap_sizes, dtype, device)]
        return levels if self.angle_version is None else [regularize(x, self.angle_version) for x in levels]


class MlvlPointGenerator:
    """One point at every place of every level.

    Args:
        strides: of each level in pixels, one number or width and height.
        offset: of the first point, in strides.
    """

    def __init__(self, strides: Sequence[int | tuple[int, int]], offset: float = 0.5) -> None:
        self.strides = [_pair(stride) for stride in strides]
        self.offset = offset

    @property
    def num_levels(self) -> int:
        """Number of levels."""
        return len(self.strides)

    @property
    def num_base_priors(self) -> list[int]:
        """One for each level."""
        return [1] * self.num_levels

    def grid_priors(
        self, featmap_sizes: Sequence[Size], dtype: torch.dtype = torch.float32, device: Device = "cpu"
    ) -> list[Tensor]:
        """The points of every level: x, y (height · width, 2); arguments as of :class:`AnchorGenerator`."""
        _check_levels(featmap_sizes, self.num_levels)
        return [
            _grid(size, stride, self.offset, dtype, device)
            for size, stride in zip(featmap_sizes, self.strides, strict=True)
        ]

    def valid_flags(
        self, featmap_sizes: Sequence[Size], pad_shape: Sequence[int], device: Device = "cpu"
    ) -> list[Tensor]:
        """Which points belong to the image: a bool (N,) for each level; as of :class:`AnchorGenerator`."""
        return _valid_flags(featmap_sizes, pad_shape, self.strides, self.num_base_priors, device)


def _pair(stride: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(stride, Sequence):
        width, height = stride
        return width, height
    return stride, stride


def _check_levels(featmap_sizes: Sequence[Size], levels: int) -> None:
    if len(featmap_sizes) != levels:
        raise ValueError(f"featmap_sizes: need one a stride, got {len(featmap_sizes)} for {levels} strides")


def _base_anchors(
    size: float, scales: Tensor, ratios: Tensor, center: tuple[float, float], scale_major: bool
) -> Tensor:
    """The anchors (A, 4) of a level's first place, in float32."""
    heights = ratios.sqrt()
    widths = 1 / heights
    if scale_major:
        w, h = (size * side[:, None] * scales for side in (widths, heights))
    else:
        w, h = (size * scales[:, None] * side for side in (widths, heights))
    half = torch.stack([w.flatten(), h.flatten()], dim=-1) * 0.5
    middle = torch.tensor(center, dtype=torch.float32)
    return torch.cat([middle - half, middle + half], dim=-1)


def _grid(size: Size, stride: tuple[int, int], offset: float, dtype: torch.dtype, device: Device) -> Tensor:
    """x, y of every place of a level: (H·W, 2)."""
    x = ((torch.arange(size[1], device=device) + offset) * stride[0]).to(dtype)
    y = ((torch.arange(size[0], device=device) + offset) * stride[1]).to(dtype)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x.flatten(), grid_y.flatten()], dim=-1)


def _valid_flags(
    featmap_sizes: Sequence[Size],
    pad_shape: Sequence[int],
    strides: Sequence[tuple[int, int]],
    anchors: Sequence[int],
    device: Device,
) -> list[Tensor]:
    _check_levels(featmap_sizes, len(strides))
    flags = []
    for (height, width), stride, repeats in zip(featmap_sizes, strides, anchors, strict=True):
        inside_x = torch.arange(width, device=device) < ceil(pad_shape[1] / stride[0])
        inside_y = torch.arange(height, device=device) < ceil(pad_shape[0] / stride[1])
        flags.append((inside_y[:, None] & inside_x).flatten().repeat_interleave(repeats))
    return flags
