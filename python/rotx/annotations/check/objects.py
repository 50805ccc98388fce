"""Faults of objects, from their corners and classes alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.check.sets import CheckedSet
from rotx.annotations.limits import HUGE, LEAST_SIDE
from rotx.annotations.sniff import nearest
from rotx.geometry import box_iou, box_iou_aligned, nms, quad_to_rbox, rbox_to_quad

#: Two objects of a class with a greater IoU are one object annotated twice.
SAME = 0.95
#: Share of an object beyond the image from which on it is a fault: splitting drops it (``iof_thr`` 0.7).
BEYOND = 0.3
#: Precision of annotations in pixels: smaller distances do not count.
_NEAR = 1.0

Points = NDArray[np.float64]


def check_objects(checked: CheckedSet, tiny: float) -> None:
    """Adds the faults of objects that do not depend on the image.

    Args:
        checked: The dataset; faults are added to it.
        tiny: Length in pixels; objects with a shorter side are faults.
    """
    finite = np.asarray((np.abs(checked.quads) <= HUGE).all(axis=1))  # False for NaN
    for row in np.flatnonzero(~finite).tolist():
        checked.add("unreadable", row, f"a coordinate is not finite, or beyond {HUGE:.0e} pixels")
    rboxes = quad_to_rbox(checked.quads)
    side = rboxes[:, 2:4].min(axis=1, initial=np.inf)
    for row in np.flatnonzero(finite & (side < LEAST_SIDE)).tolist():
        checked.add("zero area", row, f"{_class(checked, row)}: {rboxes[row, 2]:.4g} × {side[row]:.3g} pixels")
    for row in np.flatnonzero(finite & (side >= LEAST_SIDE) & crossing(checked.quads)).tolist():
        checked.add("self-crossing", row, f"{_class(checked, row)}: two of its sides cross")
    for row in np.flatnonzero(finite & (side >= LEAST_SIDE) & (side < tiny)).tolist():
        text = f"{_class(checked, row)}: {rboxes[row, 2]:.4g} × {side[row]:.4g} pixels, a side below {tiny:g}"
        checked.add("tiny", row, text)
    for row, other, overlap in _duplicates(checked):
        same = np.array_equal(checked.quads[row], checked.quads[other])
        how = "the same as" if same else f"IoU {overlap:.3f} with"
        checked.add("duplicate", row, f"{_class(checked, row)}: {how} that of {checked.place(other)}")
    _check_classes(checked)


def check_inside(checked: CheckedSet, sizes: Sequence[tuple[int, int] | None]) -> None:
    """Adds objects that reach beyond their image.

    Args:
        checked: The dataset; faults are added to it.
        sizes: Height and width of each image; None if unknown.
    """
    if not len(checked.quads):
        return
    known = np.array([size or (np.inf, np.inf) for size in sizes], np.float64)
    height, width = known[checked.table.image].T
    x, y = checked.quads[:, 0::2], checked.quads[:, 1::2]
    reach = np.max([-x.min(1), -y.min(1), x.max(1) - width, y.max(1) - height], axis=0)
    rboxes = quad_to_rbox(checked.quads)
    # Use rectangles: a self-crossing quad has less area than it covers, and one without area overlaps nothing.
    rows = np.flatnonzero(np.isfinite(reach) & (reach > 0) & (rboxes[:, 2:4].min(axis=1) >= LEAST_SIDE))
    none = np.zeros(len(rows))
    image = np.stack([none, none, width[rows], none, width[rows], height[rows], none, height[rows]], axis=1)
    # An image of unknown size has no right and bottom border.
    image[~np.isfinite(image)] = 1e9
    outside = 1 - box_iou_aligned(rbox_to_quad(rboxes[rows]), image, "iof")
    for row, share in zip(rows.tolist(), outside.tolist(), strict=True):
        if share > BEYOND:
            part = "all" if share > 1 - 1e-9 else f"{100 * share:.0f} %"
            size = sizes[checked.table.image[row]]
            where = f"image of {size[1]} × {size[0]}" if size else "image"
            text = f"{_class(checked, row)}: {part} of it is beyond the {where}, by {reach[row]:.4g} pixels"
            checked.add("outside", row, text)
    count = int((reach[rows] > _NEAR).sum())
    if count:
        text = f"{count:,} objects reach beyond their image, by up to {reach[rows].max():.4g} pixels"
        checked.notices.append(f"{checked.name}: {text}")


def crossing(quads: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether opposite sides of each quad (N, 8) cross; touching does not count. Returns (N,) bool."""
    a, b, c, d = quads.reshape(-1, 4, 2).swapaxes(0, 1)
    return np.asarray(_cross(a, b, c, d) | _cross(b, c, d, a))


def _cross(a: Points, b: Points, c: Points, d: Points) -> NDArray[np.bool_]:
    """Whether the segments a–b and c–d, each (N, 2), cross."""

    def side(p: Points, q: Points, r: Points) -> NDArray[np.float64]:
        """Positive or negative by the side of the line p–q on which the point r lies."""
        u, v = q - p, r - p
        return np.asarray(np.sign(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]))

    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0))


def _duplicates(checked: CheckedSet) -> Iterator[tuple[int, int, float]]:
    """Yields duplicates within an image and class: the later object, the earlier one, and their IoU."""
    key = checked.table.image.astype(np.int64) * max(len(checked.table.classes), 1) + checked.table.label
    # Equal scores keep the first, so a suppressed object duplicates an earlier one.
    kept = nms(checked.quads, np.zeros(len(key)), SAME, key)
    single = np.zeros(len(key), np.bool_)
    single[kept] = True
    x = checked.quads[:, 0::2]
    centre, width = (x.min(axis=1) + x.max(axis=1)) / 2, np.ptp(x, axis=1)
    kept = kept[np.lexsort((centre[kept], key[kept]))]
    keys, centres = key[kept], centre[kept]
    for row in np.flatnonzero(~single).tolist():
        group = slice(*np.searchsorted(keys, (key[row], key[row] + 1)).tolist())
        # Near-duplicates have almost the same centre; for irregular shapes all objects of the group are compared.
        reach = centre[row] - width[row] / 4, centre[row] + width[row] / 4
        near = slice(*(group.start + np.searchsorted(centres[group], reach)).tolist())
        for part in (near, group):
            others = np.sort(kept[part])
            overlaps = box_iou(checked.quads[row][None], checked.quads[others], jobs=1)[0]
            if (overlaps > SAME).any():
                best = int((overlaps > SAME).argmax())
                yield row, int(others[best]), float(overlaps[best])
                break


def _check_classes(checked: CheckedSet) -> None:
    """Adds objects of classes that are not expected."""
    if checked.wanted is None:
        return
    for label, name in enumerate(checked.table.classes):
        if name not in checked.wanted:
            text = f"unknown class '{name}'{nearest(name, checked.wanted)}"
            for row in np.flatnonzero(checked.table.label == label).tolist():
                checked.add("unknown class", row, text)


def _class(checked: CheckedSet, row: int) -> str:
    return checked.table.classes[int(checked.table.label[row])]
