"""Transforms that cut a part out of the image; no torch. Calling them: see `rotx.datasets.transforms.loading`."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from rotx.boxes import translation_matrix
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.resizing import positive_pair
from rotx.datasets.transforms.warp import Geometric, Warp, touching

CropType = Literal["absolute", "absolute_range", "relative", "relative_range"]


class RandomCrop(Geometric):
    """Cuts a random window out of the image. Objects of which nothing is left are dropped.

    Args:
        crop_size: width and height: in pixels; for ``"relative"`` types in parts of the image, at most 1.
        crop_type: ``"absolute"``: the size itself; ``"absolute_range"``: sides drawn between the two numbers of
            ``crop_size``; ``"relative"``: those parts; ``"relative_range"``: parts drawn between them and 1.
        allow_negative_crop: the window may miss all objects; otherwise one that would is drawn anew around the
            centre of a random object.
        recompute_bbox: Only False.
        bbox_clip_border: Clip horizontal boxes to the window; other boxes are never cut.

    Raises:
        ValueError: for another type or a size that is not positive.
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
            raise ValueError("recompute_bbox: boxes are not made from masks here; leave it out")
        if crop_type not in get_args(CropType):
            raise ValueError(f"crop_type: need one of {', '.join(map(repr, get_args(CropType)))}, got {crop_type!r}")
        self.crop_size = positive_pair("crop_size", crop_size)
        if crop_type.startswith("relative") and max(self.crop_size) > 1:
            raise ValueError(f"crop_size: need parts of the image, at most 1, got {crop_size}")
        self.crop_type = crop_type
        self.allow_negative_crop = allow_negative_crop
        self.bbox_clip_border = bbox_clip_border

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp:
        """The move to the window; objects outside it are dropped."""
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
    """Where a window of a length starts so that it holds ``center``, if that lies in the image."""
    least = min(max(int(np.ceil(center)) - length, 0), full - length)
    most = min(max(int(center), 0), full - length)
    return int(rng.integers(least, max(most, least) + 1))
