"""An image of any size: what a detector finds in its windows, batch by batch, and what that makes of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rotx.images.draw import Image
from rotx.inference.prediction import Table
from rotx.inference.tta import View
from rotx.tiling.seams import resolve
from rotx.tiling.windowed_image import WINDOW, WindowedImage, grid, window_and_gap

if TYPE_CHECKING:
    from rotx.inference.predictor import Predictor

#: What was found in a batch of windows, in pixels of the image, and how many of it in each window.
Found = tuple[Table, list[int]]


@dataclass(frozen=True)
class Look:
    """How images are looked at.

    Attributes:
        window, gap: of what is too large to be seen at once, in pixels of the image.
        batch_size: images or windows at a time.
        score_thr: scores must exceed it.
        views: ways to see each; None: as it is.
        labels: of the classes that are wanted; None: all.
    """

    window: int
    gap: int
    batch_size: int
    score_thr: float
    views: Sequence[View] | None = None
    labels: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls,
        predictor: Predictor,
        window: int | None,
        gap: int | None,
        batch_size: int,
        score_thr: float,
        views: Sequence[View] | None = None,
        labels: tuple[int, ...] | None = None,
    ) -> Look:
        """With windows as large as the images that the detector is meant for, and a fifth of that shared.

        Raises:
            ValueError: for windows that cannot be.
        """
        side = window if window is not None else max(predictor.scale) if predictor.scale else WINDOW
        return cls(*window_and_gap(side, gap), batch_size, score_thr, views, labels)

    def windows(self, image: WindowedImage) -> NDArray[np.int64]:
        """The windows (W, 4) of an image; one if it is not too large."""
        return grid(image.width, image.height, self.window, self.gap)

    def wanted(self, table: Table) -> Table:
        """The detections that are wanted."""
        keep = table[:, 5] > self.score_thr
        if self.labels is not None:
            keep &= np.isin(table[:, 6], self.labels)
        return table[keep]


def find_whole(predictor: Predictor, images: Sequence[Image], look: Look) -> list[Table]:
    """What is found in images that are seen at once."""
    return [look.wanted(table) for table in predictor.detect(images, look.views)]


def windows_found(
    predictor: Predictor,
    image: WindowedImage,
    windows: NDArray[np.int64],
    look: Look,
    first: int = 0,
    progress: bool = False,
) -> Iterator[Found]:
    """What is found in the windows (W, 4) of an image, batch by batch.

    Args:
        first: the batch to begin with.
        progress: whether to show a bar.

    Raises:
        UnreadableImage: if the file ends before.
    """
    step = look.batch_size
    with tqdm(total=len(windows), initial=first * step, unit="window", leave=False, disable=not progress) as bar:
        for start in range(first * step, len(windows), step):
            batch = windows[start : start + step]
            tables = find_whole(predictor, [image.read(area) for area in batch], look)
            for table, (x, y, *_) in zip(tables, batch, strict=True):
                table[:, :2] += x, y
            yield np.concatenate(tables), [len(table) for table in tables]
            bar.update(len(batch))


def merge_windows(
    predictor: Predictor, batches: Sequence[Found], windows: NDArray[np.int64], image: WindowedImage
) -> Table:
    """What was found in an image, of what was found in all its windows: each object once, best first."""
    table = np.concatenate([table for table, _ in batches])
    window = np.repeat(np.arange(len(windows)), [count for _, counts in batches for count in counts])
    labels = table[:, 6].astype(np.int64)
    size = image.width, image.height
    keep = resolve(table[:, :5], table[:, 5], labels, window, windows, size, predictor.merge_iou)
    return table[keep]
