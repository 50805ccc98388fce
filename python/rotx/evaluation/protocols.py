"""Evaluation protocols as records of rules.

Two tools that score the same files differently differ in a field here; `rotx.evaluation.explain` walks from
one record to the other, field by field.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from rotx.annotations.classes import DOTA_V1_0, DOTA_V1_5, DOTA_V2_0

COCO_IOU = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The rules by which detections are scored. The defaults are those of the DOTA devkit (task 1)."""

    name: str
    #: The classes that count; None: those of the annotations and results.
    classes: tuple[str, ...] | None = None
    #: IoU thresholds.
    iou: tuple[float, ...] = (0.5,)
    #: Whether the IoU must be above the threshold, not just equal to it.
    strict: bool = True
    #: "devkit": where rounding decides, or a quad is not convex, the devkit's own arithmetic; "exact": never.
    rounding: Literal["devkit", "exact"] = "devkit"
    #: The shape that quads are given: as they are, or the least rectangle around them.
    boxes: Literal["quad", "min-area-rect"] = "quad"
    #: Difficult objects: ignored (and detections on them do not count), or objects like any other.
    difficult: Literal["ignore", "count"] = "ignore"
    #: Whether a detection whose best object is taken may have the next best (COCO), or is false (VOC, DOTA).
    second_choice: bool = False
    #: How many detections of an image and class count, best first; None: all.
    max_detections: int | None = None
    #: How the precision-recall curve becomes a number: 11 points, area, 101 points.
    average: Literal["voc07", "area", "coco"] = "voc07"
    #: A class without objects: counts 0 in the mean, or is left out of it.
    empty_class: Literal["zero", "skip"] = "zero"
    #: Task 2: horizontal boxes count whole pixels, x2 − x1 + 1, and objects are truncated to integers.
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

#: The protocol for results without scores; see `rotx.evaluation.icdar`.
ICDAR2015 = "icdar2015"


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ValueError: If there is no such name; the message suggests the nearest one.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    near = difflib.get_close_matches(name, PROTOCOLS, n=1, cutoff=0.3)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ValueError(f"unknown protocol '{name}'{hint} There are: {', '.join(PROTOCOLS)}, {ICDAR2015}")
