"""Detection metrics under the protocols DOTA, VOC, COCO, MMRotate and ICDAR. Works without torch.

Three steps: match detections per image (in Rust), accumulate average precision, report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotx.annotations.formats import read_annotations, read_detections
from rotx.annotations.task1 import write_task1, write_task1_zip
from rotx.evaluation.coco import CocoEvaluation
from rotx.evaluation.icdar import TextEvaluation, evaluate_text
from rotx.evaluation.metric import DetectionMetric
from rotx.evaluation.protocols import ICDAR2015, PROTOCOLS, Protocol, get_protocol
from rotx.evaluation.score import Evaluation, evaluate_boxes
from rotx.tiling.merging import Patches, merge_annotations, merge_detections, parse_patches

__all__ = [
    "ICDAR2015",
    "PROTOCOLS",
    "CocoEvaluation",
    "DetectionMetric",
    "Evaluation",
    "Patches",
    "Protocol",
    "TextEvaluation",
    "evaluate",
    "evaluate_boxes",
    "evaluate_text",
    "get_protocol",
    "merge_annotations",
    "merge_detections",
    "parse_patches",
    "write_task1",
    "write_task1_zip",
]


def evaluate(
    annotations: str | Path,
    results: str | Path,
    protocol: str = "dota-v1.0",
    *,
    task: int = 1,
    iou: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    also: Sequence[str] = (),
    images: str | Path | None = None,
    lenient: bool = False,
    jobs: int | None = None,
) -> Evaluation | TextEvaluation:
    """Scores result files against annotation files, like ``rotx-eval score``.

    Args:
        annotations: Folder or archive of DOTA ``labelTxt``, VOC-style XML or ICDAR files, or one file with a
            line for each object or image.
        results: Folder or archive of ``Task1_<class>.txt`` (task 2: ``Task2_<class>.txt``) or, for
            ``icdar2015``, of ``res_<image>.txt``.
        protocol: Name in `PROTOCOLS`, or ``"icdar2015"``.
        task: DOTA task: 1, rotated boxes (quads); 2, horizontal boxes.
        iou: IoU thresholds; None: those of the protocol.
        classes: Class names; None: those of the protocol, or else those found in the files.
        also: Further classes to read but not score, for `rotx.evaluation.explain`.
        images: File with the names of the images to score; None: all images with annotations.
        lenient: Whether to skip and count invalid lines instead of raising.
        jobs: Number of threads; None: one per core.

    Raises:
        ValueError: If the protocol, an option or a class is unknown.
        FormatError: If a file cannot be read; the message gives file, line and reason.
    """
    record = None if protocol == ICDAR2015 else get_protocol(protocol)
    if classes is None and record is not None:
        classes = record.classes
    read = None if classes is None else tuple(dict.fromkeys((*classes, *also)))
    truth = read_annotations(annotations, classes=read, images=images, lenient=lenient, jobs=jobs)
    found = read_detections(
        results,
        images=truth.images,
        other_images=truth.other_images,
        classes=read,
        other_classes=truth.other_classes,
        task=task,
        lenient=lenient,
        jobs=jobs,
    )
    if record is None:
        return evaluate_text(truth, found, iou=iou)
    return evaluate_boxes(truth, found, record, task=task, iou=iou, classes=classes, jobs=jobs)
