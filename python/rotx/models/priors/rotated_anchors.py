"""Horizontal anchors as rotated boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotx.boxes import AngleVersion, BoxKind, hbox2rbox, regularize
from rotx.models.priors.anchors import AnchorGenerator
from rotx.models.priors.grid import Device, Size


class FakeRotatedAnchorGenerator(AnchorGenerator):
    """The anchors of :class:`AnchorGenerator` as rboxes (H · W · anchors per place, 5), in an angle version.

    Args:
        angle_version: Angle version of the anchors; None: all have angle 0, as in MMRotate 0.x.
        strides: See :class:`AnchorGenerator`, as for the others.
    """

    box_kind: BoxKind = "rbox"

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

    def _make(self, featmap_sizes: Sequence[Size], dtype: torch.dtype, device: Device) -> list[Tensor]:
        levels = [hbox2rbox(anchors) for anchors in super()._make(featmap_sizes, dtype, device)]
        return levels if self.angle_version is None else [regularize(x, self.angle_version) for x in levels]
