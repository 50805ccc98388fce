"""Detection in images of any size: runs a detector on windows, batch by batch, and merges the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rotx import boxes
from rotx.images.draw import Image
from rotx.models.tta import View
from rotx.records import Instances, concatenate
from rotx.tiling.rules import MergeRule, WindowSet, check_rule, merge_rows
from rotx.tiling.windowed_image import WINDOW, WindowedImage, grid, window_and_gap

#: Function that finds the objects of each image of a batch; the views are for test-time augmentation.
Detect = Callable[[Sequence[Image], Sequence[View] | None], list[Instances]]

#: Objects found in a batch of windows, in pixels of the image, and their number in each window.
WindowBatch = tuple[Instances, list[int]]


@dataclass(frozen=True)
class WindowOptions:
    """How to cut images into windows, and which detections to keep.

    Attributes:
        window: Side of the windows of larger images, in pixels of the image.
        gap: Overlap of neighbouring windows, in pixels.
        batch_size: Number of images or windows per batch.
        score_thr: Threshold that scores must exceed.
        views: Views for test-time augmentation; None: only the image or window itself.
        labels: Labels of the classes to keep; None: all.
        merge_rule: Rule for merging the detections of overlapping windows.
    """

    window: int
    gap: int
    batch_size: int
    score_thr: float
    views: Sequence[View] | None = None
    labels: tuple[int, ...] | None = None
    merge_rule: MergeRule = "seams"

    @classmethod
    def of(
        cls,
        scale: tuple[int, int] | None,
        window: int | None,
        gap: int | None,
        batch_size: int,
        score_thr: float,
        views: Sequence[View] | None = None,
        labels: tuple[int, ...] | None = None,
        merge_rule: MergeRule = "seams",
    ) -> WindowOptions:
        """Returns options with defaults for the windows.

        Args:
            scale: Width and height that the test pipeline resizes images to, if known.
            window: Side of the windows, in pixels; None: the longer side of ``scale``, or else `WINDOW`.
            gap: Overlap of neighbouring windows, in pixels; None: a fifth of ``window``.
            batch_size: Number of images or windows per batch.
            score_thr: Threshold that scores must exceed.
            views: Views for test-time augmentation; None: only the image or window itself.
            labels: Labels of the classes to keep; None: all.
            merge_rule: Rule for merging the detections of overlapping windows, from `rotx.tiling.rules`.

        Raises:
            ValueError: If the window options are impossible or the merge rule is unknown.
        """
        check_rule(merge_rule)
        side = window if window is not None else max(scale) if scale else WINDOW
        return cls(*window_and_gap(side, gap), batch_size, score_thr, views, labels, merge_rule)

    def windows(self, image: WindowedImage) -> NDArray[np.int64]:
        """Returns the windows (W, 4) of an image; a single one if it is small enough."""
        return grid(image.width, image.height, self.window, self.gap)

    def wanted(self, found: Instances) -> Instances:
        """Selects the detections to keep, by score and class."""
        keep = found.scores > self.score_thr
        if self.labels is not None:
            keep &= np.isin(found.labels, self.labels)
        return found[keep]


def find_whole(detect: Detect, images: Sequence[Image], options: WindowOptions) -> list[Instances]:
    """Finds the objects of a batch of images that are not cut into windows."""
    found = [options.wanted(one) for one in detect(images, options.views)]
    return [one.paste(image.shape[0], image.shape[1]) for one, image in zip(found, images, strict=True)]


def find_in_windows(
    detect: Detect,
    image: WindowedImage,
    windows: NDArray[np.int64],
    options: WindowOptions,
    first: int = 0,
    progress: bool = False,
) -> Iterator[WindowBatch]:
    """Yields the objects found in the windows of an image, batch by batch.

    Args:
        detect: Function that finds the objects of a batch of images.
        image: Image to search.
        windows: Windows (W, 4) of the image.
        options: Batch size, and which detections to keep.
        first: Number of the first batch to process.
        progress: Whether to show a progress bar.

    Raises:
        UnreadableImage: If the file is truncated.
    """
    step = options.batch_size
    with tqdm(
        total=len(windows), initial=first * step, unit="window", leave=False, disable=not progress or None
    ) as bar:
        for start in range(first * step, len(windows), step):
            batch = windows[start : start + step]
            found = [options.wanted(one) for one in detect([image.read(area) for area in batch], options.views)]
            corners = batch[:, :2].tolist()
            moved = [one.move(boxes.translation_matrix(x, y)) for one, (x, y) in zip(found, corners, strict=True)]
            yield concatenate(moved), [len(one) for one in moved]
            bar.update(len(batch))


def merge_windows(
    batches: Sequence[WindowBatch],
    windows: NDArray[np.int64],
    image: WindowedImage,
    rule: MergeRule,
    iou_threshold: float,
) -> Instances:
    """Merges the objects found in all windows of an image: each object once, best first.

    Args:
        batches: Objects found in the windows, in the order of the windows.
        windows: Windows (W, 4) of the image.
        image: Image.
        rule: Name of the merge rule.
        iou_threshold: IoU above which the lower-scoring of two detections of a class is suppressed.
    """
    found = concatenate([instances for instances, _ in batches])
    window = np.repeat(np.arange(len(windows)), [count for _, counts in batches for count in counts])
    cut = WindowSet.of_image(windows, (image.width, image.height))
    arrays = (found.boxes, found.kind, found.scores, found.labels, window, cut)
    rows = merge_rows(*arrays, rule=rule, iou_threshold=iou_threshold)
    return found[rows].paste(image.height, image.width)
