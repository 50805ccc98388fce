"""Random affine transforms, as in YOLOX; no torch. See `rotx.datasets.transforms.loading` for the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from math import radians, tan

import numpy as np

from rotx.boxes import move, rotation_matrix, scale_matrix, translation_matrix
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.resizing import positive_pair
from rotx.datasets.transforms.warp import Geometric, Warp, per_channel, touching


class RandomAffine(Geometric):
    """Scales, rotates, shears and shifts the image about its origin. Objects outside are dropped.

    Args:
        max_rotate_degree: Greatest rotation in degrees, either way.
        max_translate_ratio: Greatest shift, as a fraction of the image's sides, either way.
        scaling_ratio_range: Least and greatest factor of both sides.
        max_shear_degree: Greatest shear along each axis in degrees, either way.
        border: Pixels to add at the left and right, and at the top and bottom; negative numbers crop the image at its
            right and lower side, as after a Mosaic.
        border_val: Value of pixels outside the image; one number, or B, G, R.
        bbox_clip_border: Clip horizontal boxes to the image; other boxes are never cut.
    """

    def __init__(
        self,
        *,
        max_rotate_degree: float = 10.0,
        max_translate_ratio: float = 0.1,
        scaling_ratio_range: tuple[float, float] = (0.5, 1.5),
        max_shear_degree: float = 2.0,
        border: tuple[int, int] = (0, 0),
        border_val: float | Sequence[float] = (114, 114, 114),
        bbox_clip_border: bool = True,
    ) -> None:
        if not 0 <= max_translate_ratio <= 1:
            raise ValueError(f"max_translate_ratio: need a number in [0, 1], got {max_translate_ratio!r}")
        if not 0 <= max_shear_degree < 90:
            raise ValueError(f"max_shear_degree: need degrees in [0, 90), got {max_shear_degree!r}")
        if not isinstance(border, list | tuple) or [type(side) for side in border] != [int, int]:
            raise ValueError(f"border: need two numbers of pixels, got {border!r}")
        self.max_rotate_degree = max_rotate_degree
        self.max_translate_ratio = max_translate_ratio
        self.scaling_ratio_range = positive_pair("scaling_ratio_range", scaling_ratio_range)
        self.max_shear_degree = max_shear_degree
        self.border = border
        self.border_val = per_channel("border_val", border_val)
        self.bbox_clip_border = bbox_clip_border

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp:
        """Draws the transform."""
        height, width = sample.size[0] + 2 * self.border[1], sample.size[1] + 2 * self.border[0]
        if min(height, width) < 1:
            raise ValueError(f"RandomAffine: border {self.border} crops away all of an image of size {sample.size}")
        turn = radians(rng.uniform(-self.max_rotate_degree, self.max_rotate_degree))
        factor = rng.uniform(*self.scaling_ratio_range)
        x, y = (tan(radians(angle)) for angle in rng.uniform(-self.max_shear_degree, self.max_shear_degree, 2))
        shear = np.array([[1, x, 0], [y, 1, 0], [0, 0, 1]])
        shift = rng.uniform(-self.max_translate_ratio, self.max_translate_ratio, 2) * (width, height)
        turned = shear @ rotation_matrix((0, 0), turn) @ scale_matrix(factor, factor)
        matrix = translation_matrix(*shift) @ turned
        inside = touching(move(sample.instances.quads, "quad", matrix), (0, 0, width, height))
        return Warp(
            matrix,
            (height, width),
            border=self.border_val,
            keep=inside,
            reason="outside the moved image",
            clip=self.bbox_clip_border,
        )
