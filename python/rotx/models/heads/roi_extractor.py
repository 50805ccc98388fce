"""Features of regions of interest, each from the level of the pyramid that fits its size.

Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, eq. 1; He et al., "Mask R-CNN", ICCV 2017
(RoIAlign).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn

from rotx import ops


class RoIAlign:
    """Samples horizontal RoIs.

    Args:
        output_size: Height and width of the result.
        sampling_ratio: Number of samples along each side of a cell; 0: one per pixel.
        aligned: Whether to shift by half a pixel, so that pixel centres lie at whole coordinates.
    """

    def __init__(self, *, output_size: int | Sequence[int], sampling_ratio: int = 0, aligned: bool = True) -> None:
        self.output_size = pair(output_size)
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def __call__(self, x: Tensor, rois: Tensor, spatial_scale: float) -> Tensor:
        """Features (R, C, h, w) of RoIs (R, 5) ``image, x1, y1, x2, y2`` from one level."""
        # torchvision needs one dtype for both, and half precision is too coarse for coordinates.
        dtype = torch.promote_types(x.dtype, torch.float32)
        # torchvision allocates without bound for a RoI that is not finite.
        rois = torch.where(rois.isfinite().all(dim=1, keepdim=True), rois, 0)
        features: Tensor = torchvision.ops.roi_align(
            x.to(dtype), rois.to(dtype), self.output_size, spatial_scale, self.sampling_ratio, self.aligned
        )
        return features.to(x.dtype)


class RoIAlignRotated:
    """Samples rotated RoIs.

    Args:
        out_size: Height and width of the result.
        sample_num: Number of samples along each side of a cell; 0: one per pixel.
        aligned: Whether to shift by half a pixel, so that pixel centres lie at whole coordinates.
        clockwise: Whether angles are clockwise on the screen, as everywhere in rotx. MMCV's default is False, which
            rotates the features against their boxes; MMRotate's configs always set True.
    """

    def __init__(
        self, *, out_size: int | Sequence[int], sample_num: int = 0, aligned: bool = True, clockwise: bool = True
    ) -> None:
        self.out_size = pair(out_size)
        self.sample_num = sample_num
        self.aligned = aligned
        self.clockwise = clockwise

    def __call__(self, x: Tensor, rois: Tensor, spatial_scale: float) -> Tensor:
        """Features (R, C, h, w) of RoIs (R, 6) ``image, cx, cy, w, h, angle`` from one level."""
        return ops.roi_align_rotated(
            x, rois, self.out_size, spatial_scale, self.sample_num, self.aligned, self.clockwise
        )


class SingleRoIExtractor(nn.Module):
    """Extracts the features of each RoI, horizontal or rotated, from one level, chosen by the RoI's size.

    Args:
        roi_layer: :class:`RoIAlign` or :class:`RoIAlignRotated`.
        out_channels: Number of channels of the features.
        featmap_strides: Stride of each level that is used, in pixels.
        finest_scale: RoIs smaller than twice this (square root of the area, in pixels) use the first level.
    """

    def __init__(
        self,
        *,
        roi_layer: RoIAlign | RoIAlignRotated,
        out_channels: int,
        featmap_strides: Sequence[int],
        finest_scale: float = 56,
    ) -> None:
        super().__init__()
        self.roi_layer = roi_layer
        self.out_channels = out_channels
        self.featmap_strides = list(featmap_strides)
        self.finest_scale = finest_scale

    @property
    def rotated(self) -> bool:
        """Whether RoIs are rboxes."""
        return isinstance(self.roi_layer, RoIAlignRotated)

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Features of each RoI.

        Args:
            features: Maps (B, C, H, W) of each level; levels past ``featmap_strides`` are not used.
            rois: RoIs (R, 5) ``image, x1, y1, x2, y2`` or (R, 6) ``image, cx, cy, w, h, angle``, in pixels.

        Returns:
            Features (R, C, h, w).
        """
        used = features[: len(self.featmap_strides)]
        levels = self.map_levels(rois)
        order = levels.argsort(stable=True)
        counts = torch.stack([(levels == i).sum() for i in range(len(used))]).tolist()
        # Levels without RoIs take part too, so that all weights have a gradient.
        levels_rois = rois[order].split_with_sizes(counts)
        parts = [
            self.roi_layer(x, own, 1 / stride)
            for x, own, stride in zip(used, levels_rois, self.featmap_strides, strict=True)
        ]
        return torch.cat(parts)[order.argsort()]

    def map_levels(self, rois: Tensor) -> Tensor:
        """The level of each RoI, (R,) int64; level 0 for RoIs that are not finite, as a diverged model predicts."""
        sides = rois[:, 3:5] if self.rotated else rois[:, 3:5] - rois[:, 1:3]
        scale = sides.prod(dim=1).nan_to_num(0).clamp(min=0).sqrt()
        level = (scale / self.finest_scale + 1e-6).log2().floor()
        return level.clamp(0, len(self.featmap_strides) - 1).long()


def to_rois(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes (N_i, D) of each image as RoIs (ΣN_i, 1 + D), with the image's index first."""
    return torch.cat([torch.cat([b.new_full((len(b), 1), i), b], dim=1) for i, b in enumerate(boxes)])


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width, from a pair or one number for both."""
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)
