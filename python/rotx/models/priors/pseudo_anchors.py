"""The grid of priors that another head predicts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rotx.boxes import BoxKind
from rotx.models.priors.grid import Device, Size, grid_flags, pair


class PseudoRotatedAnchorGenerator:
    """The places of feature maps, for heads that refine the rboxes of another head; it makes no anchors.

    Args:
        strides: Stride of each level in pixels, one number or width and height.
    """

    box_kind: BoxKind = "rbox"

    def __init__(self, strides: Sequence[int | tuple[int, int]]) -> None:
        self.strides = [pair(stride) for stride in strides]

    @property
    def num_levels(self) -> int:
        """Number of levels."""
        return len(self.strides)

    @property
    def num_base_priors(self) -> list[int]:
        """Number of priors per place, for each level: 1."""
        return [1] * self.num_levels

    def grid_priors(self, *_: object, **__: object) -> list[Tensor]:
        """Raises ValueError: the previous head predicts the priors."""
        raise ValueError("priors: need those that the head before this one predicts")

    def valid_flags(
        self, featmap_sizes: Sequence[Size], pad_shape: Sequence[int], device: Device = "cpu"
    ) -> list[Tensor]:
        """Whether each place lies inside the padded image: (N,) bool for each level."""
        return grid_flags(featmap_sizes, pad_shape, self.strides, self.num_base_priors, device)
