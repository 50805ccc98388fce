"""Merging results on patches into whole images: names, coordinates, and objects on several patches.

Patches are named ``<image>__<size>__<x>___<y>`` (MMRotate, Ultralytics) or ``<image>__<rate>__<x>___<y>`` (the DOTA
devkit of 2019). `parse_patches` reads such names; code that cuts windows itself makes `Patches` without names.
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

#: A number up to the first is a rate of the devkit; from the second on, it is a size in pixels of MMRotate.
MOST_RATE, LEAST_SIZE = 4.0, 64.0

#: Greatest position of a patch in pixels; also the largest coordinate that `rotx.annotations.formats` reads.
_FARTHEST = 1e9

#: IoU threshold of MMRotate and the devkit for merging detections on patches.
MERGE_IOU = 0.1
#: Annotated objects on two patches with a greater IoU are one object.
SAME_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Patches:
    """Positions of patches in their images.

    Attributes:
        images: Names of the whole images.
        image: Index into ``images`` of each patch, (P,).
        rate: Factor by which the whole image was resized before cutting, (P,).
        corner: Position of each patch's top left corner in the resized image, (P, 2), in pixels.
        notices: Assumptions about the names, one sentence each.
        side: Sides of the patches in pixels, (P,); NaN where the names do not give them; None: unknown.
    """

    images: list[str]
    image: NDArray[np.int32]
    rate: Floats
    corner: Floats
    notices: tuple[str, ...] = ()
    side: Floats | None = None

    def windows(self) -> WindowSet:
        """Windows of the patches, NaN where the names do not give them; an image ends at its last patch."""
        sides = np.full(len(self.image), np.nan) if self.side is None else self.side
        low, side = self.corner / self.rate[:, None], (sides / self.rate)[:, None]
        sizes = np.zeros((len(self.images), 2))
        np.maximum.at(sizes, self.image, low + side)
        return WindowSet(np.concatenate([low, low + side], axis=1), self.image.astype(np.int64), sizes)

    def to_whole(self, quads: Floats, patch: NDArray[np.int32]) -> Floats:
        """Maps quads (N, 8) from pixels of their patches ``patch`` (N,) to pixels of the whole images."""
        corners = quads.reshape(-1, 4, 2) + self.corner[patch, None]
        corners /= self.rate[patch, None, None]
        return corners.reshape(-1, 8)


def parse_patches(names: Sequence[str]) -> Patches:
    """Parses the positions of patches from their names (P,).

    Raises:
        ValueError: For the first name that is not a patch name, whose number could be a size or a rate, or whose
            position is outside any image.
    """
    images: dict[str, int] = {}
    image = np.empty(len(names), np.int32)
    numbers, corner = np.empty(len(names)), np.empty((len(names), 2))
    for i, name in enumerate(names):
        match = PATCH.match(name)
        if match is None:
            raise ValueError(
                f"not made of patches: image '{name}'; need names of patches such as P0001__1024__824___0 "
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
    # The devkit resizes the image by the rate before cutting; x and y are pixels of the resized image.
    rate = np.where(rated, numbers, 1.0)
    far = np.abs(corner).max(axis=1) > _FARTHEST * rate
    if far.any():
        raise ValueError(f"patch '{names[int(far.argmax())]}': lies beyond {_FARTHEST:,.0f} pixels, outside any image")
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
        patches: Positions of the patches ``detections.images``.
        iou_threshold: A detection is dropped if its IoU with a better one is greater.
        rule: ``"nms"``: suppression only; ``"seams"``: first drop detections cut off by a window that another sees
            whole.

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
    """Moves annotated objects to the whole images and merges the copies of one object on several patches.

    Two objects of a class are copies if they are on different patches of an image and their IoU is above `SAME_IOU`;
    each object has at most one copy per patch, the one that overlaps most. Of the copies, the largest one that is not
    truncated (difficulty 2) is kept. If all copies are truncated, the object stays truncated; only annotations of the
    whole image would give all of it.

    Args:
        annotations: Annotations of patches.
        patches: Positions of the patches ``annotations.images``.

    Raises:
        ValueError: Unless there is one patch for each of ``annotations.images``.
    """
    _check(annotations.images, patches)
    quads = patches.to_whole(annotations.quads, annotations.image)
    image = patches.image[annotations.image]
    # Prefer larger copies, and complete copies to truncated ones.
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
    """Selects the annotations of images, in the given order; those of other images are left out and counted.

    Raises:
        ValueError: For an image without annotations; names ``source``.
    """
    known = {name: i for i, name in enumerate(annotations.images)}
    for name in images:
        if name not in known:
            raise ValueError(f"{source}: has no annotations of image '{name}', which has patches")
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
    """Returns the rows of a table of patches as objects of the whole images, without masks."""
    merged = replace(table, images=images, boxes=quads, kind="quad", image=image, masks=None)
    merged.paths, merged.sizes, merged.files, merged.image_files = [], [], [], []  # those of the patches
    which = np.zeros(len(quads), np.bool_)
    which[rows] = True
    merged.keep_objects(which)
    return merged


def _without_copies(rows: Rows, quads: Floats, rank: Floats, patch: NDArray[np.int32]) -> Rows:
    """Returns the best copy of each object of one class and image; the rows are sorted by patch."""
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
    """Returns the quads (N, 8) that meet the bounding rectangle of all other quads (M, 8)."""
    x, y, x_, y_ = quads[:, 0::2], quads[:, 1::2], others[:, 0::2], others[:, 1::2]
    meets = (x.max(1) > x_.min()) & (x.min(1) < x_.max()) & (y.max(1) > y_.min()) & (y.min(1) < y_.max())
    return np.flatnonzero(meets)


def _runs(rows: Rows, key: NDArray[np.integer]) -> list[Rows]:
    """Splits sorted rows where their key changes."""
    return np.split(rows, np.flatnonzero(np.diff(key[rows])) + 1) if len(rows) else []


def _check(names: Sequence[str], patches: Patches) -> None:
    if len(names) != len(patches.image):
        raise ValueError(f"patches: need one for each of {len(names):,} images, got {len(patches.image):,}")
