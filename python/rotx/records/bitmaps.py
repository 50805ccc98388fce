"""Bitmap masks of objects, from which mask heads learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from rotx.boxes.arrays import namespace


class Bitmaps:
    """Masks of N objects as pixels of one image.

    Args:
        pixels: Masks (N, H, W) uint8, 0 or 1, as numpy array or torch tensor.
    """

    def __init__(self, pixels: Any) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, which: Any) -> Bitmaps:
        """Selects masks by a slice, indices (M,) or a mask (N,) bool."""
        return Bitmaps(self.pixels[which])

    def move(self, matrix: ArrayLike) -> Bitmaps:
        """Not supported for bitmaps.

        Raises:
            ValueError: Always: the size of the moved image is not known.
        """
        raise ValueError("masks: bitmaps cannot be moved: move polygons, and make their bitmaps afterwards")

    def map(self, function: Callable[[Any], Any]) -> Bitmaps:
        """Applies a function to the array, such as a copy to another device."""
        return Bitmaps(function(self.pixels))

    @classmethod
    def concatenate(cls, parts: Sequence[Bitmaps]) -> Bitmaps:
        """Concatenates the masks of several records of one image."""
        pixels = [part.pixels for part in parts]
        return cls(namespace(pixels[0]).concatenate(pixels))
