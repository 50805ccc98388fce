"""Transforms that change the size of the image: resize, crop, pad; no torch.

Calling them: see `rotx.datasets.transforms.loading`. As in MMRotate a resize takes x to x · factor; where the centres
of pixels are whole numbers this is off by up to half a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.datasets.sample import Sample
from rotx.datasets.transforms.turning import interpolation_flag, per_channel
from rotx.geometry import box_iou

CropType = Literal["absolute", "absolute_range", "relative", "relative_range"]
#: Width and height in pixels, or one number for both.
Scale = int | tuple[int, int]


class Resize:
    """Resizes to a size, or by a factor.

    Args:
        scale: width and height in pixels; with ``keep_ratio`` the longer side fits the greater of the two and
            the shorter side the lesser.
        scale_factor: instead of ``scale``: of both sides, or of width and height.
        keep_ratio: the image keeps its shape.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"area"`` or ``"lanczos"``.
        clip_object_border: changes nothing, as for rotated boxes in MMRotate: objects are not cut.

    Raises:
        ValueError: unless one of ``scale`` and ``scale_factor`` is given, and positive.
    """

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
        self.scale = None if scale is None else _pair("scale", scale)
        if self.scale is not None and any(side % 1 for side in self.scale):
            raise ValueError(f"scale: need width and height in pixels, got {scale!r}")
        self.factors = None if scale_factor is None else _pair("scale_factor", scale_factor)
        self.keep_ratio = keep_ratio
        self.interpolation = interpolation_flag(interpolation)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Resizes image and objects."""
        height, width = sample.size
        if self.factors is not None:
            scale = (int(width * self.factors[0] + 0.5), int(height * self.factors[1] + 0.5))
        else:
            assert self.scale is not None
            scale = (int(self.scale[0]), int(self.scale[1]))
        _resize(sample, fitting((width, height), scale) if self.keep_ratio else scale, self.interpolation)
        return sample


class RandomResize:
    """Resizes to a size drawn anew for every image.

    Args:
        scale: width and height to multiply by a random factor of ``ratio_range``; or two of them: the longer
            and the shorter side are drawn between theirs.
        ratio_range: least and greatest factor; needed with one ``scale``.
        keep_ratio, interpolation, clip_object_border: as of :class:`Resize`.
        resize_type: only ``"Resize"``, with or without a scope such as ``mmdet.``.
    """

    def __init__(
        self,
        *,
        scale: tuple[int, int] | Sequence[tuple[int, int]],
        ratio_range: tuple[float, float] | None = None,
        keep_ratio: bool = False,
        interpolation: str = "bilinear",
        clip_object_border: bool = True,
        resize_type: str = "Resize",
    ) -> None:
        scales: list[Any] = list(scale) if isinstance(scale, list | tuple) else [scale]
        if scales and isinstance(scales[0], int):
            scales = [scale]
        if len(scales) != (2 if ratio_range is None else 1):
            raise ValueError(f"need one scale and a ratio_range, or two scales, got {scale} and {ratio_range}")
        self.scales = np.array([_pair("scale", item) for item in scales])
        self.ratio_range = None if ratio_range is None else _pair("ratio_range", ratio_range)
        self.keep_ratio = keep_ratio
        self.interpolation = interpolation_flag(interpolation)
        if resize_type.rpartition(".")[2] != "Resize":
            raise ValueError(f"resize_type: need 'Resize', got {resize_type!r}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Resizes image and objects."""
        if self.ratio_range is not None:
            ratio = rng.uniform(*self.ratio_range)
            scale = (int(self.scales[0, 0] * ratio), int(self.scales[0, 1] * ratio))
        else:
            longer, shorter = self.scales.max(axis=1), self.scales.min(axis=1)
            scale = (
                int(rng.integers(longer.min(), longer.max() + 1)),
                int(rng.integers(shorter.min(), shorter.max() + 1)),
            )
        height, width = sample.size
        _resize(sample, fitting((width, height), scale) if self.keep_ratio else scale, self.interpolation)
        return sample


class RandomChoiceResize:
    """Resizes to one of several sizes.

    Args:
        scales: widths and heights to choose from.
        keep_ratio, interpolation, clip_object_border: as of :class:`Resize`.
        resize_type: only ``"Resize"``, with or without a scope such as ``mmdet.``.
    """

    def __init__(
        self,
        *,
        scales: Sequence[Scale],
        keep_ratio: bool = False,
        interpolation: str = "bilinear",
        clip_object_border: bool = True,
        resize_type: str = "Resize",
    ) -> None:
        if not scales:
            raise ValueError("scales: need at least one")
        self.resizes = [Resize(scale=x, keep_ratio=keep_ratio, interpolation=interpolation) for x in scales]
        if resize_type.rpartition(".")[2] != "Resize":
            raise ValueError(f"resize_type: need 'Resize', got {resize_type!r}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Resizes image and objects."""
        return self.resizes[rng.integers(len(self.resizes))](sample, rng)


class RandomCrop:
    """Cuts a random window out of the image. Objects of which nothing is left are dropped; none is cut.

    Args:
        crop_size: width and height: in pixels; for ``"relative"`` types in parts of the image, at most 1.
        crop_type: ``"absolute"``: the size itself; ``"absolute_range"``: sides drawn between the two numbers of
            ``crop_size``; ``"relative"``: those parts; ``"relative_range"``: parts drawn between them and 1.
        allow_negative_crop: the window may miss all objects; otherwise one that would is drawn anew around the
            centre of a random object.

    Raises:
        ValueError: for another type or a size that is not positive.
    """

    def __init__(
        self,
        *,
        crop_size: float | tuple[float, float],
        crop_type: CropType = "absolute",
        allow_negative_crop: bool = False,
    ) -> None:
        if crop_type not in get_args(CropType):
            raise ValueError(f"crop_type: need one of {', '.join(map(repr, get_args(CropType)))}, got {crop_type!r}")
        self.crop_size = _pair("crop_size", crop_size)
        if crop_type.startswith("relative") and max(self.crop_size) > 1:
            raise ValueError(f"crop_size: need parts of the image, at most 1, got {crop_size}")
        self.crop_type = crop_type
        self.allow_negative_crop = allow_negative_crop

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Crops the image, moves the objects."""
        height, width = sample.size
        w, h = self._window(width, height, rng)
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        inside = _touching(sample, (x, y, w, h))
        if len(inside) and not inside.any() and not self.allow_negative_crop:
            cx, cy = sample.quads[rng.integers(len(inside))].reshape(4, 2).mean(axis=0)
            x, y = _start(cx, w, width, rng), _start(cy, h, height, rng)
            inside = _touching(sample, (x, y, w, h))
        sample.image = np.ascontiguousarray(sample.image[y : y + h, x : x + w])
        sample.keep(inside, "outside the crop")
        sample.quads = sample.quads - np.tile((x, y), 4)
        return sample

    def _window(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int]:
        """Width and height of the window, at least 1 and at most those of the image."""
        a, b = self.crop_size
        if self.crop_type == "absolute":
            w, h = a, b
        elif self.crop_type == "absolute_range":
            w, h = rng.integers(int(min(a, b)), int(max(a, b)) + 1, 2)
        elif self.crop_type == "relative":
            w, h = width * a + 0.5, height * b + 0.5
        else:
            w, h = width * rng.uniform(a, 1) + 0.5, height * rng.uniform(b, 1) + 0.5
        return max(min(int(w), width), 1), max(min(int(h), height), 1)


class Pad:
    """Adds pixels at the right and below.

    Args:
        size: width and height that the image has at least afterwards.
        size_divisor: width and height become multiples of it.
        pad_val: of the pixels; one number, or B, G, R; or ``dict(img=...)``.

    Raises:
        ValueError: unless one of ``size`` and ``size_divisor`` is given, and positive.
    """

    def __init__(
        self,
        *,
        size: Scale | None = None,
        size_divisor: int | None = None,
        pad_val: float | Sequence[float] | Mapping[str, float | Sequence[float]] = 0,
    ) -> None:
        if (size is None) == (size_divisor is None):
            raise ValueError(f"need one of size and size_divisor, got {size!r} and {size_divisor!r}")
        self.size = None if size is None else _pair("size", size)
        self.size_divisor = None if size_divisor is None else int(_pair("size_divisor", size_divisor)[0])
        value = pad_val.get("img", 0) if isinstance(pad_val, Mapping) else pad_val
        self.pad_val = per_channel("pad_val", value)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Pads the image."""
        height, width = sample.size
        if self.size is not None:
            right, below = max(int(self.size[0]) - width, 0), max(int(self.size[1]) - height, 0)
        else:
            assert self.size_divisor is not None
            right, below = -width % self.size_divisor, -height % self.size_divisor
        if right or below:
            border = cv2.BORDER_CONSTANT
            sample.image = cv2.copyMakeBorder(sample.image, 0, below, 0, right, border, value=self.pad_val)
        return sample


def fitting(size: tuple[int, int], scale: tuple[int, int]) -> tuple[int, int]:
    """The greatest width and height of an image's shape: longer side at most the longer of ``scale``, likewise shorter.

    Args:
        size: width and height of the image.
        scale: width and height, either first.
    """
    factor = min(max(scale) / max(size), min(scale) / min(size))
    return max(int(size[0] * factor + 0.5), 1), max(int(size[1] * factor + 0.5), 1)


def _resize(sample: Sample, size: tuple[int, int], interpolation: int) -> None:
    """Resizes image and objects to a width and height."""
    height, width = sample.size
    size = max(size[0], 1), max(size[1], 1)
    if size == (width, height):
        return
    sample.image = cv2.resize(sample.image, size, interpolation=interpolation)
    fx, fy = size[0] / width, size[1] / height
    sample.quads = sample.quads * np.tile((fx, fy), 4)
    sample.factors = sample.factors[0] * fx, sample.factors[1] * fy


def _touching(sample: Sample, window: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Whether each object has a part in the window ``x, y, w, h``."""
    x, y, w, h = window
    corners = np.array([[x, y, x + w, y, x + w, y + h, x, y + h]], np.float64)
    touching: NDArray[np.bool_] = box_iou(sample.quads, corners, "iof", jobs=1)[:, 0] > 0
    return touching


def _start(center: float, length: int, full: int, rng: np.random.Generator) -> int:
    """Where a window of a length starts so that it holds ``center``, if that lies in the image."""
    least = min(max(int(np.ceil(center)) - length, 0), full - length)
    most = min(max(int(center), 0), full - length)
    return int(rng.integers(least, max(most, least) + 1))


def _pair(name: str, value: float | Sequence[float]) -> tuple[float, float]:
    """Two positive numbers."""
    pair = (value, value) if isinstance(value, int | float) else tuple(value or ())
    if len(pair) != 2 or not all(isinstance(side, int | float) for side in pair) or min(pair) <= 0:
        raise ValueError(f"{name}: need a positive number or two, got {value!r}")
    return pair[0], pair[1]
