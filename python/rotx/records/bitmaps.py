"""Masks of objects as pixels of their image: what a mask head learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from rotx.boxes.arrays import namespace


class Bitmaps:
    """The masks of N objects as pixels of one image.

    Args:
        pixels: (N, H, W) uint8, 0 or 1, of numpy or torch.
    """

    def __init__(self, pixels: Any) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, which: Any) -> Bitmaps:
        """The masks of some objects: a slice, indices (M,) or a mask (N,) bool."""
        return Bitmaps(self.pixels[which])

    def move(self, matrix: ArrayLike) -> Bitmaps:
        """Not possible.

        Raises:
            ValueError: Always: the size of the moved image is not known.
        """
        raise ValueError("masks: bitmaps cannot be moved: move polygons, and make their bitmaps afterwards")

    def map(self, function: Callable[[Any], Any]) -> Bitmaps:
        """The masks with another array, such as one on another device."""
        return Bitmaps(function(self.pixels))

    @classmethod
    def concatenate(cls, parts: Sequence[Bitmaps]) -> Bitmaps:
        """The masks of several records of one image in turn."""
        pixels = [part.pixels for part in parts]
        return cls(namespace(pixels[0]).concatenate(pixels))
