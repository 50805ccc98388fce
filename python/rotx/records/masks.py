"""Masks of objects as polygons or run lengths (RLE, as in pycocotools)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rotx.boxes import move, translation_matrix

#: Mask of one object: its polygons, each (2k,) float64 ``x1, y1, ..., xk, yk`` in pixels, or run lengths of a whole
#: image, ``{"size": [height, width], "counts": ...}``.
Mask = list[NDArray[np.float64]] | dict[str, Any]


class Masks:
    """Masks of N objects.

    Args:
        items: Polygons or RLE of each object.
    """

    def __init__(self, items: Sequence[Mask]) -> None:
        self.items = list(items)

    @classmethod
    def of_bitmaps(cls, pixels: NDArray[Any]) -> Masks:
        """Encodes masks (N, height, width), 0 or 1, as RLE; needs pycocotools."""
        from pycocotools import mask as coco

        return cls([coco.encode(np.asfortranarray(one, np.uint8)) for one in pixels])

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Mask]:
        return iter(self.items)

    def __getitem__(self, which: Any) -> Masks:
        """Selects masks by a slice, indices (M,) or a mask (N,) bool."""
        if isinstance(which, slice):
            return Masks(self.items[which])
        chosen = np.asarray(which)
        rows = np.arange(len(self.items))[chosen if chosen.size else chosen.astype(np.int64)]
        return Masks([self.items[row] for row in np.atleast_1d(rows).tolist()])

    def move(self, matrix: ArrayLike) -> Masks:
        """Moves the masks with their image, by a matrix (3, 3).

        Raises:
            ValueError: For RLE: move its `bitmaps` instead.
        """
        moved: list[Mask] = []
        for item in self.items:
            if isinstance(item, dict):
                raise ValueError("masks: run lengths cannot be moved: convert them to polygons, or move their bitmaps")
            moved.append([move(polygon, "points", matrix) for polygon in item])
        return Masks(moved)

    def cut(self, x: int, y: int, size: tuple[int, int]) -> Masks:
        """Returns the masks in pixels of a window of their image; RLE is cut at its borders, polygons are not.

        Args:
            x: Column of the image in which the window starts.
            y: Row of the image in which the window starts.
            size: Height and width of the window, which may reach beyond the image at the bottom and right.
        """
        cut: list[Mask] = []
        for item in self.items:
            if isinstance(item, dict):
                window = np.zeros((1, *size), np.uint8)
                part = Masks([item]).bitmaps(*item["size"])[:, y : y + size[0], x : x + size[1]]
                window[:, : part.shape[1], : part.shape[2]] = part
                cut += Masks.of_bitmaps(window)
            else:
                cut.append([move(polygon, "points", translation_matrix(-x, -y)) for polygon in item])
        return Masks(cut)

    def map(self, function: Callable[[Any], Any]) -> Masks:
        """Returns the masks unchanged: polygons and RLE are always numpy arrays."""
        return self

    def bitmaps(self, height: int, width: int) -> NDArray[np.uint8]:
        """Rasterizes the masks to (N, height, width) uint8, 0 or 1; needs pycocotools.

        Raises:
            ValueError: For RLE of an image of another size.
        """
        from pycocotools import mask as coco

        pixels = np.zeros((len(self.items), height, width), np.uint8)
        for into, item in zip(pixels, self.items, strict=True):
            into[:] = coco.decode(self._runs(item, height, width))
        return pixels

    def runs(self, height: int, width: int) -> list[dict[str, Any]]:
        """Encodes the masks as compressed RLE of an image of this size; needs pycocotools."""
        return [self._runs(item, height, width) for item in self.items]

    @classmethod
    def concatenate(cls, parts: Sequence[Masks]) -> Masks:
        """Concatenates the masks of several records."""
        return cls([item for part in parts for item in part])

    @staticmethod
    def _runs(item: Mask, height: int, width: int) -> dict[str, Any]:
        from pycocotools import mask as coco

        if not isinstance(item, dict):
            # A polygon needs three corners; pycocotools would take a shorter one for a box.
            polygons = [polygon.tolist() for polygon in item if len(polygon) >= 6]
            runs = coco.frPyObjects(polygons or [[0.0] * 6], height, width)
            merged: dict[str, Any] = coco.merge(runs)
            return merged
        if list(item["size"]) != [height, width]:
            raise ValueError(f"masks: need run lengths of {height} x {width} pixels, got {item['size']}")
        compressed: dict[str, Any] = item
        if isinstance(item["counts"], list):
            compressed = coco.frPyObjects(item, height, width)
        return compressed
