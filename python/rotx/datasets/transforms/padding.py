"""Transforms that pad the image; no torch. See `rotx.datasets.transforms.loading` for the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rotx.datasets.sample import Sample
from rotx.datasets.transforms.resizing import Scale, positive_pair
from rotx.datasets.transforms.warp import Geometric, Warp, per_channel


class Pad(Geometric):
    """Pads the image at the right and bottom.

    Args:
        size: Least width and height of the padded image.
        size_divisor: Number of which width and height become multiples.
        pad_val: Value of the padding; one number, or B, G, R; or ``dict(img=...)``.

    Raises:
        ValueError: Unless exactly one of ``size`` and ``size_divisor`` is given, and positive.
    """

    training_only = False

    def __init__(
        self,
        *,
        size: Scale | None = None,
        size_divisor: int | None = None,
        pad_val: float | Sequence[float] | Mapping[str, float | Sequence[float]] = 0,
    ) -> None:
        if (size is None) == (size_divisor is None):
            raise ValueError(f"need one of size and size_divisor, got {size!r} and {size_divisor!r}")
        self.size = None if size is None else positive_pair("size", size)
        self.size_divisor = None if size_divisor is None else int(positive_pair("size_divisor", size_divisor)[0])
        value = pad_val.get("img", 0) if isinstance(pad_val, Mapping) else pad_val
        self.pad_val = per_channel("pad_val", value)

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp | None:
        """Returns the padding; None if the image is large enough."""
        height, width = sample.size
        if self.size is not None:
            size = max(int(self.size[1]), height), max(int(self.size[0]), width)
        else:
            assert self.size_divisor is not None
            size = height + -height % self.size_divisor, width + -width % self.size_divisor
        return None if size == (height, width) else Warp(np.eye(3), size, border=self.pad_val)
