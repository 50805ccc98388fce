"""Detection metrics under the protocols DOTA, VOC, COCO, MMRotate and ICDAR. Works without torch.

Three steps: match detections per image (in Rust), accumulate average precision, report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotx.annotations.task1 import write_task1, write_task1_zip
from rotx.evaluation.coco import CocoEvaluation
from rotx.evaluation.icdar import TextEvaluation, evaluate_text
from rotx.evaluation.inputs import read_results, read_truth
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
        annotations: Annotations in any format that `rotx.annotations.convert.read` reads, COCO's JSON among them.
        results: Folder or archive of ``Task1_<class>.txt`` (task 2: ``Task2_<class>.txt``) or, for
            ``icdar2015``, of ``res_<image>.txt``; or a JSON file of results, COCO's or Ultralytics'.
        protocol: Name in `PROTOCOLS`, or ``"icdar2015"``.
        task: DOTA task: 1, rotated boxes (quads); 2, horizontal boxes.
        iou: IoU thresholds; None: those of the protocol.
        classes: Class names; None: those of the protocol, or else those found in the files.
        also: Further classes to read but not score, for `rotx.evaluation.explain`.
        images: File with the names of the images to score; None: all images with annotations.
        lenient: Whether to skip and count invalid lines instead of raising.
        jobs: Number of threads; None: one per core.

    Raises:
        ValueError: If the protocol, an option or a class is unknown, or there is no object to find.
        FormatError: If a file cannot be read; the message gives file, line and reason.
    """
    record = None if protocol == ICDAR2015 else get_protocol(protocol)
    if classes is None and record is not None:
        classes = record.classes
    read = None if classes is None else tuple(dict.fromkeys((*classes, *also)))
    truth = read_truth(Path(annotations), classes=read, images=images, lenient=lenient, jobs=jobs)
    found = read_results(Path(results), truth, Path(annotations), classes=read, task=task, lenient=lenient, jobs=jobs)
    if record is None:
        text = evaluate_text(truth, found, iou=iou)
        if not text.gts:
            raise ValueError(f"{annotations}: nothing to score: no object need be found")
        return text
    evaluation = evaluate_boxes(truth, found, record, task=task, iou=iou, classes=classes, jobs=jobs)
    if not evaluation.gts.any():
        raise ValueError(f"{annotations}: nothing to score: {_why_nothing(evaluation, protocol)}")
    return evaluation


def _why_nothing(evaluation: Evaluation, protocol: str) -> str:
    """Says why there is no object to find, and what to do."""
    others = [name for name, count in evaluation.annotations.other_classes.items() if count]
    if len(evaluation.problem.truth_rows):
        return f"all objects are difficult, and {protocol} ignores them; --protocol dota-v1.5 counts them"
    if not others:
        return f"no objects in {len(evaluation.annotations.images):,} images"
    names = ",".join(others[:20])
    return (
        f"no object is of the classes of {protocol}; use --protocol voc12, which takes any class, or name the classes:"
        f" --classes {names}"
    )
