"""Transforms that resize the image; no torch. See `rotx.datasets.transforms.loading` for the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rotx.boxes import scale_matrix
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.warp import Geometric, Warp, interpolation_flag

#: Width and height in pixels, or one number for both.
Scale = int | tuple[int, int]


class Resize(Geometric):
    """Resizes the image to a size or by a factor.

    Args:
        scale: Width and height in pixels; with ``keep_ratio``, limits: the greater one of the longer side, the lesser
            one of the shorter side.
        scale_factor: Factor of both sides, or of width and height; replaces ``scale``.
        keep_ratio: Whether to keep the aspect ratio.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"area"`` or ``"lanczos"``.
        clip_object_border: Clip horizontal boxes to the image; other boxes are never cut.

    Raises:
        ValueError: Unless exactly one of ``scale`` and ``scale_factor`` is given, and positive.
    """

    training_only = False

    def __init__(
        self,
        *,
        scale: Scale | None = None,
        scale_factor: float | tuple[float, float] | None = None,
        keep_ratio: bool = False,
        interpolation: str = "bilinear",
        clip_object_border: bool = True,
    ) -> None:
        if (scale is None) == (scale_factor is None):
            raise ValueError(f"need one of scale and scale_factor, got {scale!r} and {scale_factor!r}")
        self.scale = None if scale is None else positive_pair("scale", scale)
        if self.scale is not None and any(side % 1 for side in self.scale):
            raise ValueError(f"scale: need width and height in pixels, got {scale!r}")
        self.factors = None if scale_factor is None else positive_pair("scale_factor", scale_factor)
        self.keep_ratio = keep_ratio
        self.interpolation = interpolation_flag(interpolation)
        self.clip = clip_object_border

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """Returns the resizing; None if the image already has the size."""
        height, width = sample.size
        if self.factors is not None:
            scale = (int(width * self.factors[0] + 0.5), int(height * self.factors[1] + 0.5))
        else:
            assert self.scale is not None
            scale = (int(self.scale[0]), int(self.scale[1]))
        return scaling(sample.size, scale, self.keep_ratio, self.interpolation, self.clip)


class RandomResize(Geometric):
    """Resizes the image to a random size.

    Args:
        scale: Width and height, which are multiplied by a random factor of ``ratio_range``; or two pairs, between whose
            longer and shorter sides the sides are drawn.
        ratio_range: Least and greatest factor; needed with a single ``scale``.
        keep_ratio, interpolation, clip_object_border: See :class:`Resize`.
    """

    training_only = False

    def __init__(
        self,
        *,
        scale: tuple[int, int] | Sequence[tuple[int, int]],
        ratio_range: tuple[float, float] | None = None,
        keep_ratio: bool = False,
        interpolation: str = "bilinear",
        clip_object_border: bool = True,
    ) -> None:
        scales: list[Any] = list(scale) if isinstance(scale, list | tuple) else [scale]
        if scales and isinstance(scales[0], int):
            scales = [scale]
        if len(scales) != (2 if ratio_range is None else 1):
            raise ValueError(f"need one scale and a ratio_range, or two scales, got {scale} and {ratio_range}")
        self.scales = np.array([positive_pair("scale", item) for item in scales])
        self.ratio_range = None if ratio_range is None else positive_pair("ratio_range", ratio_range)
        self.keep_ratio = keep_ratio
        self.interpolation = interpolation_flag(interpolation)
        self.clip = clip_object_border

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """Returns the resizing; None if the image already has the size."""
        if self.ratio_range is not None:
            ratio = rng.uniform(*self.ratio_range)
            scale = (int(self.scales[0, 0] * ratio), int(self.scales[0, 1] * ratio))
        else:
            longer, shorter = self.scales.max(axis=1), self.scales.min(axis=1)
            scale = (
                int(rng.integers(longer.min(), longer.max() + 1)),
                int(rng.integers(shorter.min(), shorter.max() + 1)),
            )
        return scaling(sample.size, scale, self.keep_ratio, self.interpolation, self.clip)


class RandomChoiceResize(Geometric):
    """Resizes the image to a random one of several sizes.

    Args:
        scales: Sizes to choose from.
        keep_ratio, interpolation, clip_object_border: See :class:`Resize`.
    """

    training_only = False

    def __init__(
        self,
        *,
        scales: Sequence[Scale],
        keep_ratio: bool = False,
        interpolation: str = "bilinear",
        clip_object_border: bool = True,
    ) -> None:
        if not scales:
            raise ValueError("scales: need at least one")
        self.resizes = [
            Resize(
                scale=scale,
                keep_ratio=keep_ratio,
                interpolation=interpolation,
                clip_object_border=clip_object_border,
            )
            for scale in scales
        ]

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """Returns the resizing; None if the image already has the size."""
        return self.resizes[rng.integers(len(self.resizes))].warp(sample, rng)


def fitting(size: tuple[int, int], scale: tuple[int, int]) -> tuple[int, int]:
    """Largest width and height with the aspect ratio of an image that fit into ``scale``, in either orientation.

    Args:
        size: Width and height of the image.
        scale: Width and height, either first.
    """
    factor = min(max(scale) / max(size), min(scale) / min(size))
    return max(int(size[0] * factor + 0.5), 1), max(int(size[1] * factor + 0.5), 1)


def scaling(
    size: tuple[int, int], scale: tuple[int, int], keep_ratio: bool, interpolation: int, clip: bool
) -> Warp | None:
    """Returns the resizing of an image to a width and height; None if it already has them.

    Args:
        size: Height and width of the image.
        scale: Width and height to resize to, at least 1; with ``keep_ratio``, to fit into.
        keep_ratio: Whether to keep the aspect ratio; see `fitting`.
        interpolation: OpenCV's interpolation flag.
        clip: Whether hboxes are clipped to the image.
    """
    height, width = size
    w, h = fitting((width, height), scale) if keep_ratio else (max(scale[0], 1), max(scale[1], 1))
    if (w, h) == (width, height):
        return None
    return Warp(scale_matrix(w / width, h / height), (h, w), interpolation, clip=clip)


def positive_pair(name: str, value: float | Sequence[float]) -> tuple[float, float]:
    """Returns a number or pair as two positive numbers."""
    pair = (value, value) if isinstance(value, int | float) else tuple(value or ())
    if len(pair) != 2 or not all(isinstance(side, int | float) for side in pair) or min(pair) <= 0:
        raise ValueError(f"{name}: need a positive number or two, got {value!r}")
    return pair[0], pair[1]
