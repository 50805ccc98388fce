"""Masks of detections on grids within their boxes, which become pixels once the image size is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rotx.boxes.arrays import namespace
from rotx.records.masks import Masks

# Matrix entries below this fraction of the greatest one count as 0: cosines of right angles are not exactly 0.
_STRAIGHT = 1e-9


class BoxMasks:
    """Masks of N detections, each a grid of probabilities that fills the upright box of the detection.

    Args:
        grids: Probabilities (N, h, w), floating point, as numpy array or torch tensor; the first row is the top one.
        threshold: Pixels of at least this probability belong to the mask.
    """

    def __init__(self, grids: Any, threshold: float = 0.5) -> None:
        self.grids = grids
        self.threshold = threshold

    def __len__(self) -> int:
        return len(self.grids)

    def __getitem__(self, which: Any) -> BoxMasks:
        """Selects masks by a slice, indices (M,) or a mask (N,) bool."""
        return BoxMasks(self.grids[which], self.threshold)

    def move(self, matrix: ArrayLike) -> BoxMasks:
        """Moves the masks with their image, by a matrix (3, 3) that scales, shifts, flips or rotates by right angles.

        Raises:
            ValueError: For any other matrix, after which the boxes are not upright.
        """
        m = np.asarray(matrix, np.float64)
        m = m / m[2, 2]
        m = np.where(np.abs(m) > _STRAIGHT * np.abs(m[:2, :2]).max(), m, 0)
        turned = not m[0, 0] and not m[1, 1]
        if m[2, :2].any() or (not turned and (m[0, 1] or m[1, 0])):
            raise ValueError(
                "masks: within boxes they only follow moves that scale, shift, mirror or turn at right angles"
            )
        xp = namespace(self.grids)
        grids = xp.swapaxes(self.grids, 1, 2) if turned else self.grids
        x, y = (m[0, 1], m[1, 0]) if turned else (m[0, 0], m[1, 1])
        mirrored = tuple(axis for axis, factor in ((2, x), (1, y)) if factor < 0)
        return BoxMasks(xp.flip(grids, mirrored) if mirrored else grids, self.threshold)

    def map(self, function: Callable[[Any], Any]) -> BoxMasks:
        """Applies a function to the array, such as a copy to another device."""
        return BoxMasks(function(self.grids), self.threshold)

    def paste(self, boxes: NDArray[Any], height: int, width: int) -> Masks:
        """Converts the masks to RLE of an image; needs pycocotools.

        Probabilities are interpolated between the centres of grid cells; beyond the outermost centres they fall towards
        0, which is half a cell outside the box. No pixel outside its box belongs to a mask.

        Args:
            boxes: Hboxes (N, 4) in pixels of the image; they may reach beyond it.
            height: Height of the image.
            width: Width of the image.
        """
        runs = []
        for grid, (x1, y1, x2, y2) in zip(np.asarray(self.grids, np.float32), boxes.tolist(), strict=True):
            top, down = _samples(y1, y2, height, grid.shape[0])
            left, across = _samples(x1, x2, width, grid.shape[1])
            runs.append(_encode(down @ grid @ across.T >= self.threshold, top, left, height, width))
        return Masks(runs)

    @classmethod
    def concatenate(cls, parts: Sequence[BoxMasks]) -> BoxMasks:
        """Concatenates the masks of several records.

        Raises:
            ValueError: For different thresholds.
        """
        thresholds = sorted({part.threshold for part in parts})
        if len(thresholds) > 1:
            raise ValueError(f"masks: need one threshold, got {', '.join(map(str, thresholds))}")
        grids = [part.grids for part in parts]
        return cls(namespace(grids[0]).concatenate(grids), parts[0].threshold)


def _samples(start: float, stop: float, length: int, cells: int) -> tuple[int, NDArray[np.float32]]:
    """Pixels of an axis whose centres lie in a box, with interpolation weights of the grid cells; none if not finite.

    Args:
        start: Start of the box, in pixels.
        stop: End of the box, in pixels.
        length: Number of pixels of the axis.
        cells: Number of cells of the grid.

    Returns:
        The first of the M pixels, and weights (M, cells).
    """
    if not isfinite(stop - start):
        return 0, np.zeros((0, cells), np.float32)
    first, last = max(ceil(start - 0.5), 0), min(floor(stop - 0.5) + 1, length)
    if stop <= start or last <= first:
        return 0, np.zeros((0, cells), np.float32)
    centers = (np.arange(first, last) + 0.5 - start) * (cells / (stop - start)) - 0.5
    shares = np.maximum(1 - np.abs(centers[:, None] - np.arange(cells)), 0)
    return first, shares.astype(np.float32)


def _encode(block: NDArray[np.bool_], top: int, left: int, height: int, width: int) -> dict[str, Any]:
    """Encodes an image that is 0 except for a block (h, w) as RLE; the time does not depend on the size of the image.

    Runs go down the columns; a run at the bottom of a column continues at the top of the next one if that is set.
    """
    from pycocotools import mask as coco

    columns = np.zeros((block.shape[1], block.shape[0] + 2), np.int8)
    columns[:, 1:-1] = block.T
    column, row = np.diff(columns, axis=1).nonzero()
    changes = (left + column) * height + top + row  # starts and ends of runs, alternating
    changes, counts = np.unique(changes, return_counts=True)
    changes = changes[(counts == 1) & (changes < height * width)]
    lengths = np.diff(changes, prepend=0, append=height * width)
    runs: dict[str, Any] = coco.frPyObjects({"size": [height, width], "counts": lengths.tolist()}, height, width)
    return runs
