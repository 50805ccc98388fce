"""An image of any size: what a detector finds in its windows, batch by batch, and what that makes of the image."""

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

#: Finds the objects of each image of a batch, seen in some views.
Detect = Callable[[Sequence[Image], Sequence[View] | None], list[Instances]]

#: What was found in a batch of windows, in pixels of the image, and how much of it in each window.
WindowBatch = tuple[Instances, list[int]]


@dataclass(frozen=True)
class WindowOptions:
    """How images are cut into windows and what is wanted of them.

    Attributes:
        window: Side of the windows of larger images, in pixels of the image.
        gap: Pixels that neighbouring windows share.
        batch_size: Number of images or windows of a batch.
        score_thr: Threshold that scores must exceed.
        views: Views to see each image or window in; None: as it is.
        labels: Labels of the classes that are wanted; None: all.
        merge_rule: Rule by which what several windows show counts once.
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
        """Options with windows as large as the images that the detector is for, and a fifth of that shared.

        Args:
            scale: Width and height that images are resized to; None: windows have `WINDOW` pixels.
            window: Side of the windows; None: as said above.
            gap: Pixels that neighbours share; None: as said above.
            batch_size: Number of images or windows of a batch.
            score_thr: Threshold that scores must exceed.
            views: Views to see each image or window in; None: as it is.
            labels: Labels of the classes that are wanted; None: all.
            merge_rule: Rule by which what several windows show counts once, of `rotx.tiling.rules`.

        Raises:
            ValueError: If the window options are impossible or the merge rule is unknown.
        """
        check_rule(merge_rule)
        side = window if window is not None else max(scale) if scale else WINDOW
        return cls(*window_and_gap(side, gap), batch_size, score_thr, views, labels, merge_rule)

    def windows(self, image: WindowedImage) -> NDArray[np.int64]:
        """The windows (W, 4) of an image; one if it is not too large."""
        return grid(image.width, image.height, self.window, self.gap)

    def wanted(self, found: Instances) -> Instances:
        """The detections that are wanted."""
        keep = found.scores > self.score_thr
        if self.labels is not None:
            keep &= np.isin(found.labels, self.labels)
        return found[keep]


def find_whole(detect: Detect, images: Sequence[Image], options: WindowOptions) -> list[Instances]:
    """What is found in images that are seen at once."""
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
    """What is found in the windows of an image, batch by batch.

    Args:
        detect: Finds the objects of a batch of images.
        image: The image.
        windows: Its windows (W, 4).
        options: The size of a batch, and what is wanted.
        first: Number of the batch to begin with.
        progress: Whether to show a bar.

    Raises:
        UnreadableImage: If the file ends before.
    """
    step = options.batch_size
    with tqdm(total=len(windows), initial=first * step, unit="window", leave=False, disable=not progress) as bar:
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
    """What was found in an image, from what was found in all its windows: each object once, best first.

    Args:
        batches: What was found in the windows, in their order.
        windows: The windows (W, 4).
        image: The image.
        rule: Name of the rule.
        iou_threshold: Of two detections of a class with a greater IoU the better one stays.
    """
    found = concatenate([instances for instances, _ in batches])
    window = np.repeat(np.arange(len(windows)), [count for _, counts in batches for count in counts])
    cut = WindowSet.of_image(windows, (image.width, image.height))
    arrays = (found.boxes, found.kind, found.scores, found.labels, window, cut)
    rows = merge_rows(*arrays, rule=rule, iou_threshold=iou_threshold)
    return found[rows].paste(image.height, image.width)
