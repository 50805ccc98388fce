"""From patches back to the images that they were cut from: names, coordinates, and what stands in several of them.

A set of patches names them ``<image>__<size>__<x>___<y>`` (MMRotate, Ultralytics) or ``<image>__<rate>__<x>___<y>``
(the DOTA devkit of 2019). `parse_patches` reads such names; whoever cuts windows makes `Patches` without names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rotx import geometry
from rotx.records import InstanceTable
from rotx.tiling.rules import MergeRule, WindowSet, merge_rows
from rotx.tiling.windows import PATCH, TRUNCATED

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: A number up to the first is the devkit's rate, from the second on it is MMRotate's size in pixels.
MOST_RATE, LEAST_SIZE = 4.0, 64.0

#: No patch lies further out, in pixels of the image: `rotx.annotations.formats` reads no larger coordinates.
_FARTHEST = 1e9

#: Detections of one object in several patches: MMRotate and the devkit suppress from this IoU on.
MERGE_IOU = 0.1
#: Annotated objects of two patches whose boxes overlap more are one object.
SAME_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Patches:
    """Where each patch of a set lies.

    Attributes:
        images: names of the whole images.
        image: (P,) index of each patch's into ``images``.
        rate: (P,) by which the whole image was resized before it was cut: pixels of the patch for one of the image.
        corner: (P, 2) the point of the resized image, in its pixels, where the patch has (0, 0).
        notices: what was assumed, a sentence each.
        side: (P,) sides of the patches in pixels; NaN where the names do not say it; None: unknown.
    """

    images: list[str]
    image: NDArray[np.int32]
    rate: Floats
    corner: Floats
    notices: tuple[str, ...] = ()
    side: Floats | None = None

    def windows(self) -> WindowSet:
        """The windows that the patches are, NaN where the names do not say it; an image ends where they do."""
        sides = np.full(len(self.image), np.nan) if self.side is None else self.side
        low, side = self.corner / self.rate[:, None], (sides / self.rate)[:, None]
        sizes = np.zeros((len(self.images), 2))
        np.maximum.at(sizes, self.image, low + side)
        return WindowSet(np.concatenate([low, low + side], axis=1), self.image.astype(np.int64), sizes)

    def to_whole(self, quads: Floats, patch: NDArray[np.int32]) -> Floats:
        """Quads (N, 8) in pixels of their patches ``patch`` (N,) → in pixels of the whole images."""
        corners = quads.reshape(-1, 4, 2) + self.corner[patch, None]
        corners /= self.rate[patch, None, None]
        return corners.reshape(-1, 8)


def parse_patches(names: Sequence[str]) -> Patches:
    """Reads where patches lie from their names (P,).

    Raises:
        ValueError: for the first name that is not a patch's, whose number could be a size or a rate, or that says
            that the patch lies where no image is.
    """
    images: dict[str, int] = {}
    image = np.empty(len(names), np.int32)
    numbers, corner = np.empty(len(names)), np.empty((len(names), 2))
    for i, name in enumerate(names):
        match = PATCH.match(name)
        if match is None:
            raise ValueError(
                f"not made of patches: image '{name}'; names of patches are such as P0001__1024__824___0 "
                "(image, size, x, y) or P0001__0.5__824___0 (image, rate, x, y)"
            )
        image[i] = images.setdefault(match["image"], len(images))
        numbers[i], corner[i] = float(match["number"]), (float(match["x"]), float(match["y"]))
    rated = numbers <= MOST_RATE
    unclear = (numbers == 0) | (~rated & (numbers < LEAST_SIZE))
    if unclear.any():
        first = int(unclear.argmax())
        raise ValueError(
            f"patch '{names[first]}': {numbers[first]:g} is neither a rate (up to {MOST_RATE:g}) nor a size "
            f"(from {LEAST_SIZE:g} pixels): where in the image does it lie?"
        )
    # The devkit resizes by the rate before it cuts, and its x and y are pixels of the resized image.
    rate = np.where(rated, numbers, 1.0)
    far = np.abs(corner).max(axis=1) > _FARTHEST * rate
    if far.any():
        raise ValueError(
            f"patch '{names[int(far.argmax())]}': lies beyond {_FARTHEST:,.0f} pixels: no image is so large"
        )
    side = np.where(rated, np.nan, numbers)
    return Patches(list(images), image, rate, corner, tuple(_conventions(rated)), side)


def _conventions(rated: NDArray[np.bool_]) -> Iterator[str]:
    devkit, mmrotate = np.count_nonzero(rated), np.count_nonzero(~rated)
    if mmrotate:
        yield f"{mmrotate:,} patches named as MMRotate does: <image>__<size>__<x>___<y>, in pixels of the image"
    if devkit:
        yield f"{devkit:,} patches named as the DOTA devkit does: <image>__<rate>__<x>___<y>, in pixels at that rate"


def merge_detections(
    detections: InstanceTable, patches: Patches, iou_threshold: float = MERGE_IOU, rule: MergeRule = "nms"
) -> InstanceTable:
    """Moves detections to the whole images and keeps each object once, by a rule of `rotx.tiling.rules`.

    Suppression is greedy and exact, over quads, within each image and class, by `rotx.geometry.nms`.

    Args:
        detections: Detections on patches.
        patches: Where each of ``detections.images`` lies.
        iou_threshold: A detection is dropped if its IoU with a better one is greater.
        rule: ``"nms"``: that alone; ``"seams"``: first what windows cut off is left to those that see it whole.

    Raises:
        ValueError: Unless there is one patch for each of ``detections.images``; for an unknown rule; for ``seams``
            if the patches do not say how large they are.
    """
    _check(detections.images, patches)
    quads = patches.to_whole(detections.quads, detections.image)
    image = patches.image[detections.image]
    patch, label = detections.image, detections.label
    windows, scores = patches.windows(), detections.scores
    rows = merge_rows(quads, "quad", scores, label, patch, windows, rule=rule, iou_threshold=iou_threshold)
    # In the order of the file: the same detections merge to the same rows whatever the scores are.
    keep = np.sort(rows)
    return _on_whole_images(detections, patches.images, quads, image, keep)


def merge_annotations(annotations: InstanceTable, patches: Patches) -> InstanceTable:
    """Moves objects to the whole images and counts the copies of one object in several patches once.

    Two objects of a class are copies if they come from different patches of an image and their boxes overlap by
    an IoU above `SAME_IOU`; within one patch each object has one copy at most, the one that overlaps most. Of
    the copies the one stands that is not truncated (difficulty 2), and of those the largest. Where every copy
    is cut off, the object stays truncated; only the whole image's annotations know better.

    Args:
        annotations: of patches.
        patches: where each of ``annotations.images`` lies.

    Raises:
        ValueError: unless there is one patch for each of ``annotations.images``.
    """
    _check(annotations.images, patches)
    quads = patches.to_whole(annotations.quads, annotations.image)
    image = patches.image[annotations.image]
    # The larger the better as a stand-in, and any that is complete before any that is truncated.
    rank = geometry.area(quads)
    rank[annotations.difficult != TRUNCATED] += 1 + rank.max(initial=0)
    # By image and class, and by patch within.
    group = image.astype(np.int64) * len(annotations.classes) + annotations.label
    order = np.lexsort((annotations.image, group))
    kept = [_without_copies(rows, quads, rank, annotations.image) for rows in _runs(order, group)]
    keep = np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)
    objects = f"{len(quads):,} objects on {len(annotations.images):,} patches are {len(keep):,}"
    notice = (
        f"{objects} on {len(patches.images):,} images: boxes of a class on different patches with an IoU above "
        f"{SAME_IOU:g} count as one object, by its complete copy if there is one"
    )
    merged = _on_whole_images(annotations, patches.images, quads, image, keep)
    merged.notices = [*annotations.notices, notice]
    return merged


def of_images(annotations: InstanceTable, images: Sequence[str], source: str) -> InstanceTable:
    """The annotations of some images, in their order; those of others are left out and counted.

    Raises:
        ValueError: for an image that has none; names ``source``.
    """
    known = {name: i for i, name in enumerate(annotations.images)}
    for name in images:
        if name not in known:
            raise ValueError(f"{source}: has no annotations of image '{name}', which there are patches of")
    place = np.full(len(known), -1, np.int32)
    place[[known[name] for name in images]] = np.arange(len(images), dtype=np.int32)
    keep = place[annotations.image] >= 0
    notices = list(annotations.notices)
    if len(known) > len(images):
        notices.append(
            f"{source}: {len(known) - len(images):,} of {len(known):,} images have no patches: they and their "
            f"{np.count_nonzero(~keep):,} objects are left out"
        )
    wanted = replace(annotations, images=list(images), image=place[annotations.image], notices=notices)
    for field in ("paths", "sizes", "files", "image_files"):
        values = getattr(annotations, field)
        setattr(wanted, field, [values[known[name]] for name in images] if values else [])
    wanted.keep_objects(keep)
    return wanted


def _on_whole_images(
    table: InstanceTable, images: list[str], quads: Floats, image: NDArray[np.int32], rows: Rows
) -> InstanceTable:
    """The objects in some rows of a table of patches, on the whole images; masks stay behind."""
    merged = replace(table, images=images, boxes=quads, kind="quad", image=image, masks=None)
    merged.paths, merged.sizes, merged.files, merged.image_files = [], [], [], []  # those of the patches
    which = np.zeros(len(quads), np.bool_)
    which[rows] = True
    merged.keep_objects(which)
    return merged


def _without_copies(rows: Rows, quads: Floats, rank: Floats, patch: NDArray[np.int32]) -> Rows:
    """Of the objects of one class and image, sorted by patch, the best copy of each."""
    kept = np.zeros(0, np.int64)
    for here in _runs(rows, patch):
        near = _near(quads[kept], quads[here])
        overlaps = geometry.box_iou(quads[here], quads[kept[near]], jobs=1)
        mine, theirs = np.nonzero(overlaps > SAME_IOU)
        best_first = np.argsort(-overlaps[mine, theirs], kind="stable")
        partner: dict[int, int] = {}
        taken: set[int] = set()
        for i, j in zip(mine[best_first].tolist(), theirs[best_first].tolist(), strict=True):
            if i not in partner and j not in taken:
                partner[i] = int(near[j])
                taken.add(j)
        for i, j in partner.items():
            if rank[here[i]] > rank[kept[j]]:
                kept[j] = here[i]
        new = [i for i in range(len(here)) if i not in partner]
        kept = np.concatenate([kept, here[new]])
    return kept


def _near(quads: Floats, others: Floats) -> Rows:
    """The quads (N, 8) that meet the upright rectangle around all the others (M, 8)."""
    x, y, x_, y_ = quads[:, 0::2], quads[:, 1::2], others[:, 0::2], others[:, 1::2]
    meets = (x.max(1) > x_.min()) & (x.min(1) < x_.max()) & (y.max(1) > y_.min()) & (y.min(1) < y_.max())
    return np.flatnonzero(meets)


def _runs(rows: Rows, key: NDArray[np.integer]) -> list[Rows]:
    """Rows that stand together by a key, split where it changes."""
    return np.split(rows, np.flatnonzero(np.diff(key[rows])) + 1) if len(rows) else []


def _check(names: Sequence[str], patches: Patches) -> None:
    if len(names) != len(patches.image):
        raise ValueError(f"patches: need one for each of {len(names):,} images, got {len(patches.image):,}")
