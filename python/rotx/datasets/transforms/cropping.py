"""Transforms that crop the image; no torch. See `rotx.datasets.transforms.loading` for the protocol."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from rotx.boxes import translation_matrix
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.resizing import positive_pair
from rotx.datasets.transforms.warp import Geometric, Warp, touching

CropType = Literal["absolute", "absolute_range", "relative", "relative_range"]


class RandomCrop(Geometric):
    """Crops the image to a random window. Objects outside it are dropped.

    Args:
        crop_size: Width and height in pixels; for ``"relative"`` types as fractions of the image, at most 1.
        crop_type: ``"absolute"``: the size itself; ``"absolute_range"``: sides drawn between the two numbers of
            ``crop_size``; ``"relative"``: these fractions; ``"relative_range"``: fractions drawn between them and 1.
        allow_negative_crop: Whether the window may miss all objects; otherwise such a window is drawn again around the
            centre of a random object.
        recompute_bbox: Must be False: boxes are not recomputed from masks.
        bbox_clip_border: Clip horizontal boxes to the window; other boxes are never cut.

    Raises:
        ValueError: For another type or a size that is not positive.
    """

    def __init__(
        self,
        *,
        crop_size: float | tuple[float, float],
        crop_type: CropType = "absolute",
        allow_negative_crop: bool = False,
        recompute_bbox: bool = False,
        bbox_clip_border: bool = True,
    ) -> None:
        if recompute_bbox:
            raise ValueError("recompute_bbox: boxes are not recomputed from masks; leave it out")
        if crop_type not in get_args(CropType):
            raise ValueError(f"crop_type: need one of {', '.join(map(repr, get_args(CropType)))}, got {crop_type!r}")
        self.crop_size = positive_pair("crop_size", crop_size)
        if crop_type.startswith("relative") and max(self.crop_size) > 1:
            raise ValueError(f"crop_size: need parts of the image, at most 1, got {crop_size}")
        self.crop_type = crop_type
        self.allow_negative_crop = allow_negative_crop
        self.bbox_clip_border = bbox_clip_border

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp:
        """Draws the window and returns the crop; objects outside it are dropped."""
        height, width = sample.size
        w, h = self._window(width, height, rng)
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        quads = sample.instances.quads
        inside = touching(quads, (x, y, w, h))
        if len(inside) and not inside.any() and not self.allow_negative_crop:
            cx, cy = quads[rng.integers(len(inside))].reshape(4, 2).mean(axis=0)
            x, y = _start(cx, w, width, rng), _start(cy, h, height, rng)
            inside = touching(quads, (x, y, w, h))
        clip = self.bbox_clip_border
        return Warp(translation_matrix(-x, -y), (h, w), keep=inside, reason="outside the crop", clip=clip)

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


def _start(center: float, length: int, full: int, rng: np.random.Generator) -> int:
    """Draws the start of a window of a length so that it contains ``center``, if that lies in the image."""
    least = min(max(int(np.ceil(center)) - length, 0), full - length)
    most = min(max(int(center), 0), full - length)
    return int(rng.integers(least, max(most, least) + 1))
