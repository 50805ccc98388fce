"""Evaluation protocols as records of rules.

Where two tools give different scores for the same files, their protocols differ in a field here.
`rotx.evaluation.explain` changes one field after the other to show the effect of each.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rotx.annotations.classes import DOTA_V1_0, DOTA_V1_5, DOTA_V2_0

COCO_IOU = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Rules for scoring detections. The defaults are those of the DOTA devkit (task 1)."""

    name: str
    #: Classes to score; None: those of the annotations and results.
    classes: tuple[str, ...] | None = None
    #: IoU thresholds.
    iou: tuple[float, ...] = (0.5,)
    #: Whether the IoU must exceed the threshold; otherwise it may also equal it.
    strict: bool = True
    #: "devkit": use the devkit's arithmetic where rounding decides or a quad is not convex; "exact": never use it.
    rounding: Literal["devkit", "exact"] = "devkit"
    #: Shape to compare: the quads themselves, or their minimum-area rectangles.
    boxes: Literal["quad", "min-area-rect"] = "quad"
    #: Difficult objects: ignored together with the detections on them, or counted like any other.
    difficult: Literal["ignore", "count"] = "ignore"
    #: Whether a detection whose best object is already matched may match the next best (COCO), or is false (VOC, DOTA).
    second_choice: bool = False
    #: Maximum number of detections per image and class, best first; None: all.
    max_detections: int | None = None
    #: Average of the precision-recall curve: at 11 points, area under the curve, or at 101 points.
    average: Literal["voc07", "area", "coco"] = "voc07"
    #: A class without objects: counts as 0 in the mean, or is left out.
    empty_class: Literal["zero", "skip"] = "zero"
    #: Task 2: whether widths count whole pixels, x2 − x1 + 1, and coordinates of objects are truncated to integers.
    pixels: bool = True


_RECORDS = (
    Protocol(name="dota-v1.0", classes=DOTA_V1_0),
    Protocol(name="dota-v1.5", classes=DOTA_V1_5, difficult="count"),
    Protocol(name="dota-v2.0", classes=DOTA_V2_0, difficult="count"),
    Protocol(name="voc07"),
    Protocol(name="voc12", average="area"),
    Protocol(
        name="coco",
        iou=COCO_IOU,
        strict=False,
        rounding="exact",
        second_choice=True,
        max_detections=100,
        average="coco",
        empty_class="skip",
        pixels=False,
    ),
    # MMRotate's DOTAMetric with its default settings (diff_thr=100, eval_mode="11points").
    Protocol(
        name="mmrotate",
        strict=False,
        rounding="exact",
        boxes="min-area-rect",
        difficult="count",
        empty_class="skip",
        pixels=False,
    ),
)

PROTOCOLS: dict[str, Protocol] = {record.name: record for record in _RECORDS}

#: Protocol for results without scores; see `rotx.evaluation.icdar`.
ICDAR2015 = "icdar2015"


def get_protocol(name: str) -> Protocol:
    """Returns a protocol by its name.

    Raises:
        ValueError: If there is no such name; the message suggests the nearest one.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    near = difflib.get_close_matches(name, PROTOCOLS, n=1, cutoff=0.3)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ValueError(f"unknown protocol '{name}'{hint} There are: {', '.join(PROTOCOLS)}, {ICDAR2015}")


def iou_thresholds(given: float | Sequence[float] | None) -> tuple[float, ...] | None:
    """Checks the IoU thresholds of a config; None if none are given.

    Raises:
        ValueError: Unless there are 1 to 32 thresholds in (0, 1].
    """
    if given is None:
        return None
    thresholds = tuple(given) if isinstance(given, Sequence) else (given,)
    numbers = all(isinstance(t, int | float) for t in thresholds)
    if not numbers or not 0 < len(thresholds) <= 32 or not all(0 < t <= 1 for t in thresholds):
        raise ValueError(f"iou_thrs: need 1 to 32 thresholds in (0, 1], got {given!r}")
    return thresholds
