"""Transforms that change colours; no torch. See `rotx.datasets.transforms.loading` for the protocol."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.datasets.sample import Sample


class Normalize:
    """Subtracts ``mean`` from the image and divides it by ``std``; the image is float32 afterwards.

    For configs that have it in their pipeline; a DetDataPreprocessor with mean and std does the same later, on the
    device of the model. Other colour transforms come before it.

    Args:
        mean, std: Mean and standard deviation of each channel, in the channel order after ``to_rgb``.
        to_rgb: Whether to reverse the order of the channels, from BGR to RGB.
    """

    def __init__(self, *, mean: Sequence[float], std: Sequence[float], to_rgb: bool = True) -> None:
        lists = isinstance(mean, list | tuple) and isinstance(std, list | tuple)
        if not lists or len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"mean and std: need three numbers each, std above 0, got {mean} and {std}")
        self.mean = np.asarray(mean, np.float32)
        self.std = np.asarray(std, np.float32)
        self.to_rgb = to_rgb

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Normalizes the image."""
        image = sample.image[:, :, ::-1] if self.to_rgb else sample.image
        sample.image = (image.astype(np.float32) - self.mean) / self.std
        return sample


class PhotoMetricDistortion:
    """Changes brightness, contrast, saturation, hue and channel order, each with probability 1/2.

    Paper: Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016. Contrast changes before or after
    saturation and hue. MMDetection computes in float32; here every step rounds to 8 bits.

    Args:
        brightness_delta: Greatest change of brightness, on the scale of 0 to 255.
        contrast_range, saturation_range: Least and greatest factor of contrast and saturation.
        hue_delta: Greatest shift of hue, in degrees.
    """

    def __init__(
        self,
        *,
        brightness_delta: float = 32,
        contrast_range: tuple[float, float] = (0.5, 1.5),
        saturation_range: tuple[float, float] = (0.5, 1.5),
        hue_delta: float = 18,
    ) -> None:
        for name, pair in (("contrast_range", contrast_range), ("saturation_range", saturation_range)):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ValueError(f"{name}: need the least and the greatest factor, got {pair!r}")
        self.brightness_delta = brightness_delta
        self.contrast_range = contrast_range
        self.saturation_range = saturation_range
        self.hue_delta = hue_delta

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Changes the colours of the image."""
        if sample.image.dtype != np.uint8:
            raise ValueError("PhotoMetricDistortion: needs an image of 8 bits: it must come before Normalize")
        (brighter, contrasted, early, saturated, turned, swapped) = rng.random(6) < 0.5
        shift = rng.uniform(-self.brightness_delta, self.brightness_delta) if brighter else 0.0
        factor = rng.uniform(*self.contrast_range) if contrasted else 1.0
        values = np.arange(256, dtype=np.float64)
        image = sample.image
        if shift or (early and factor != 1):
            image = cv2.LUT(image, _bytes((values + shift) * (factor if early else 1)))
        saturation = rng.uniform(*self.saturation_range) if saturated else 1.0
        hue = rng.uniform(-self.hue_delta, self.hue_delta) if turned else 0.0
        if saturation != 1 or hue:
            # OpenCV's full range has 256 steps of hue for 360 degrees.
            steps = np.rint(values + hue * 256 / 360) % 256
            table = np.stack([steps, np.clip(np.rint(values * saturation), 0, 255), values], axis=-1)
            hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL), table.astype(np.uint8).reshape(1, 256, 3))
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)
        if not early and factor != 1:
            image = cv2.LUT(image, _bytes(values * factor))
        if swapped:
            image = np.ascontiguousarray(image[:, :, rng.permutation(3)])
        sample.image = image
        return sample


def _bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
