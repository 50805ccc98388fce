"""RoIAlignRotated and its gradient in plain torch, for any device; slower than the kernels.

The algorithm is that of roi_align.rs in the Rust core; the tests of the kernels use it as the reference. Arguments are
already checked. The samples of all regions are numbered consecutively and processed in chunks across bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

#: Number of feature values sampled at a time; the other data of a sample count as this many values.
_FEATURES = 1 << 24
_PER_SAMPLE = 64
#: Greater than any count of samples, and an int64.
_MANY = float(1 << 62)


def roi_align_rotated(
    input: Tensor,
    rois: Tensor,
    output_size: Sequence[int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    clockwise: bool,
) -> Tensor:
    """Features (K, C, rows, columns) of rois (K, 6): :func:`rotx.ops.roi_align_rotated`."""
    dtype = torch.float64 if input.dtype == torch.float64 else torch.float32
    pixels = input.detach().to(dtype).permute(0, 2, 3, 1).flatten(0, 2)  # (N·H·W, C)
    rows, columns = output_size
    out = pixels.new_zeros((rois.shape[0] * rows * columns, input.shape[1]))
    options = spatial_scale, sampling_ratio, aligned, clockwise
    for bins, taps, weights in _samples(rois, input.shape, output_size, *options):
        weights = weights.to(dtype)
        a, b, c, d = (pixels[taps[:, k]] * weights[:, k, None] for k in range(4))
        out.index_add_(0, bins, (a + b) + (c + d))
    return out.reshape(rois.shape[0], rows, columns, input.shape[1]).permute(0, 3, 1, 2).to(input.dtype).contiguous()


def roi_align_rotated_backward(
    grad: Tensor,
    rois: Tensor,
    input_size: Sequence[int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    clockwise: bool,
) -> Tensor:
    """Gradient (N, C, H, W) with respect to ``input``, from the gradient (K, C, rows, columns) of the features."""
    dtype = torch.float64 if grad.dtype == torch.float64 else torch.float32
    images, channels, height, width = input_size
    of_bins = grad.detach().to(dtype).permute(0, 2, 3, 1).flatten(0, 2)  # (K·rows·columns, C)
    out = of_bins.new_zeros((images * height * width, channels))
    options = spatial_scale, sampling_ratio, aligned, clockwise
    for bins, taps, weights in _samples(rois, input_size, grad.shape[2:], *options):
        values, weights = of_bins[bins], weights.to(dtype)
        for k in range(4):
            out.index_add_(0, taps[:, k], values * weights[:, k, None])
    return out.reshape(images, height, width, channels).permute(0, 3, 1, 2).to(grad.dtype).contiguous()


class _Axis(NamedTuple):
    """One axis of the frames of K regions, divided into bins with equal numbers of samples."""

    start: Tensor  # (K, bins): start of each bin, relative to the region's centre
    step: Tensor  # (K,): distance between samples
    samples: Tensor  # (K,): number of samples per bin
    first: Tensor  # (K, bins), int64: index of the first sample that may lie in the image
    number: Tensor  # (K, bins), int64: number of samples that may lie in the image, judged by this axis

    @classmethod
    def of(cls, size: Tensor, bins: int, sampling_ratio: int, image: Tensor, reach: Tensor) -> _Axis:
        """Builds the axis of regions of a size (K,); the image extends ``reach`` around its middle ``image``."""
        length = size / bins
        samples = torch.full_like(length, sampling_ratio) if sampling_ratio > 0 else length.ceil()
        step = length / samples
        start = (torch.arange(bins, device=size.device) - 0.5 * bins) * length[:, None]
        # One extra pixel for rounding errors.
        low, high = (image - reach - 1)[:, None], (image + reach + 1)[:, None]
        within = (start >= low) & (start + length[:, None] <= high)
        most = samples[:, None].expand_as(start)
        first = ((low - start) / step[:, None]).nan_to_num(0, torch.inf, -torch.inf).where(~within, 0)
        end = ((high - start) / step[:, None]).ceil().where(~within, most)
        first, end = first.clamp(0, _MANY).long(), end.fmin(most).clamp(0, _MANY).long()
        return cls(start, step, samples, first, (end - first).clamp(min=0))

    def at(self, region: Tensor, bin: Tensor, i: Tensor) -> Tensor:
        """Position of sample ``i`` of those that may lie in the image, relative to the region's centre."""
        return self.start[region, bin] + ((self.first[region, bin] + i).double() + 0.5) * self.step[region]


def _samples(
    rois: Tensor,
    shape: Sequence[int],
    output_size: Sequence[int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    clockwise: bool,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yields all samples in the image, in chunks: bin (S,) among all regions', four pixels (S, 4) and their weights."""
    images, channels, height, width = shape
    image, cx, cy, w, h, angle = rois.detach().double().unbind(dim=1)
    _check_images(image, images)
    if not images * channels * height * width:
        return
    cx, cy = (v * spatial_scale - (0.5 if aligned else 0.0) for v in (cx, cy))
    w, h = (v * spatial_scale if aligned else (v * spatial_scale).clamp(min=1) for v in (w, h))
    good = torch.stack([cx, cy, rois[:, 3] * spatial_scale, rois[:, 4] * spatial_scale, angle]).isfinite().all(dim=0)
    good = good & (w >= 0) & (h >= 0)
    cx, cy, w, h, angle = (v.where(good, 0) for v in (cx, cy, w, h, angle if clockwise else -angle))
    sin, cos = angle.sin(), angle.cos()
    # Middle and extent of the image, as far as samples count, in the region's frame.
    to_x, to_y, reach_x, reach_y = (
        0.5 * (width - 1) - cx,
        0.5 * (height - 1) - cy,
        0.5 * (width + 1),
        0.5 * (height + 1),
    )
    rows, columns = output_size
    reach_down, reach_across = reach_y * cos.abs() + reach_x * sin.abs(), reach_x * cos.abs() + reach_y * sin.abs()
    down = _Axis.of(h, rows, sampling_ratio, to_y * cos - to_x * sin, reach_down)
    across = _Axis.of(w, columns, sampling_ratio, to_x * cos + to_y * sin, reach_across)
    counts = (down.number[:, :, None] * across.number[:, None] * good[:, None, None]).flatten()  # of all bins
    for bin, i in _numbered(counts, max(1, _FEATURES // max(channels, _PER_SAMPLE))):
        region, row, column = bin // (rows * columns), bin // columns % rows, bin % columns
        wide = across.number[region, column]
        v, u = down.at(region, row, i // wide), across.at(region, column, i % wide)
        x = cx[region] - v * sin[region] + u * cos[region]
        y = cy[region] + v * cos[region] + u * sin[region]
        inside = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)
        bin, region, x, y = bin[inside], region[inside], x[inside], y[inside]
        weight = 1 / (down.samples * across.samples)[region]
        yield bin, *_taps(image[region].long(), x, y, weight, height, width)


def _check_images(image: Tensor, images: int) -> None:
    bad = ~((image >= 0) & (image < images) & (image == image.floor()))
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ValueError(
            f"rois: row {row} has image index {image[row].item():g}, need an integer from 0 to below {images}, "
            "the batch's size"
        )


def _numbered(counts: Tensor, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """For counts (B,), yields the owner and the number, from 0, of each item; at most ``most`` items at a time."""
    ends = counts.cumsum(dim=0)
    total = int(ends[-1]) if len(ends) else 0
    for begin in range(0, total, most):
        numbers = torch.arange(begin, min(begin + most, total), device=ends.device)
        which = torch.searchsorted(ends, numbers, right=True)
        yield which, numbers - (ends - counts)[which]


def _taps(image: Tensor, x: Tensor, y: Tensor, weight: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Returns the pixels (S, 4) around points, numbered across all images, and their weights."""
    # Points up to one pixel outside the outer pixels' centres count as on them.
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.long(), y.long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    dx, dy = x - left, y - top
    upper, lower = (image * height + top) * width, (image * height + bottom) * width
    above, below = weight * (1 - dy), weight * dy
    pixels = torch.stack([upper + left, upper + right, lower + left, lower + right], dim=1)
    return pixels, torch.stack([above * (1 - dx), above * dx, below * (1 - dx), below * dx], dim=1)
