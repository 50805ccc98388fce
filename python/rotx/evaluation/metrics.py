"""The evaluators that configs name: MMRotate's keys, scored by our protocols.

``val_evaluator`` and ``test_evaluator`` of a config become one of these; both score the annotations of a data
set, as its files hold them, against detections in pixels of the files.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rotx.annotations.classes import DOTA_V1_5, DOTA_V2_0
from rotx.compat import build
from rotx.evaluation.protocols import Protocol, get_protocol
from rotx.evaluation.score import Evaluation, evaluate_boxes
from rotx.records import InstanceTable
from rotx.tiling.merging import MERGE_IOU


class Metric(typing.Protocol):
    """What an evaluator has; one of the user's, registered as a plug-in, needs no more."""

    def evaluate(self, annotations: InstanceTable, detections: InstanceTable) -> Any:
        """Scores detections: an `Evaluation`, or a `rotx.evaluation.CocoEvaluation`."""

    def headline(self, evaluation: Any) -> dict[str, float]:
        """The few numbers for logs, the first of them to choose the best checkpoint by."""


class DOTAMetric:
    """Average precision by the rules of the DOTA devkit, or by those that ``protocol`` names.

    Without ``protocol`` they are those of DOTA-v1.5 or v2.0 for the classes of these sets, else of v1.0: quads as
    annotated, difficult objects ignored, a class without objects counts 0. MMRotate takes the least rectangles
    around the quads, counts difficult objects and leaves such classes out: ``protocol='mmrotate'``.

    Args:
        iou_thrs: IoU threshold, or several.
        eval_mode: ``"11points"`` (VOC07) or ``"area"`` (VOC12); None: as the protocol says.
        protocol: Name in `rotx.evaluation.PROTOCOLS`; None: the default described above.
        merge_patches: ``rotx-eval model`` merges patches into whole images, as with ``--merge``.
        iou_thr: IoU above which NMS suppresses detections when patches are merged.
        format_only: ``rotx-eval model`` writes the detections and scores nothing.
        outfile_prefix: Prefix of the files that ``rotx-eval model`` writes if ``--out`` is not given.
        prefix: Prefix of the names of the headline numbers, followed by a slash.
    """

    def __init__(
        self,
        *,
        iou_thrs: float | Sequence[float] | None = None,
        eval_mode: str | None = None,
        protocol: str | None = None,
        merge_patches: bool = False,
        iou_thr: float = MERGE_IOU,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        prefix: str | None = None,
    ) -> None:
        if eval_mode not in (None, "11points", "area"):
            raise ValueError(f"eval_mode: need '11points' or 'area', got {eval_mode!r}")
        if not 0 <= iou_thr <= 1:
            raise ValueError(f"iou_thr: need a number in [0, 1], got {iou_thr}")
        if format_only and not outfile_prefix:
            raise ValueError("format_only: needs outfile_prefix, the folder to write to")
        self.iou_thrs = _thresholds(iou_thrs)
        self.eval_mode = eval_mode
        self.protocol = None if protocol is None else get_protocol(protocol)
        self.merge_patches = merge_patches
        self.iou_thr = iou_thr
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.prefix = prefix

    def rules(self, classes: Sequence[str]) -> Protocol:
        """The protocol by which detections of these classes are scored."""
        versions = {DOTA_V1_5: "dota-v1.5", DOTA_V2_0: "dota-v2.0"}
        rules = self.protocol or get_protocol(versions.get(tuple(classes), "dota-v1.0"))
        if self.eval_mode is not None:
            rules = replace(rules, average="voc07" if self.eval_mode == "11points" else "area")
        return replace(rules, iou=self.iou_thrs or rules.iou, classes=tuple(classes))

    def evaluate(self, annotations: InstanceTable, detections: InstanceTable) -> Evaluation:
        """Scores detections against annotations of the same images, for the classes of the annotations."""
        return evaluate_boxes(annotations, detections, self.rules(annotations.classes))

    def headline(self, evaluation: Evaluation) -> dict[str, float]:
        """``mAP``, over all IoU thresholds, and ``AP50`` and so on at each."""
        return _prefixed(self.prefix, {"mAP": evaluation.map, **_at_thresholds("AP", evaluation)})


class RotatedCocoMetric:
    """COCO's average precision over rotated boxes: protocol ``coco``.

    The overlaps are exact, of the quads as annotated; MMRotate compares least rectangles in single precision.

    Args:
        iou_thrs: IoU threshold, or several; None: 0.5 to 0.95.
        proposal_nums: Limits of the number of detections per image and class; only the first one is used.
        format_only: ``rotx-eval model`` writes the detections and scores nothing.
        outfile_prefix: Prefix of the files that ``rotx-eval model`` writes if ``--out`` is not given.
        prefix: Prefix of the names of the headline numbers, followed by a slash.
    """

    def __init__(
        self,
        *,
        iou_thrs: float | Sequence[float] | None = None,
        proposal_nums: Sequence[int] = (100, 300, 1000),
        format_only: bool = False,
        outfile_prefix: str | None = None,
        prefix: str | None = None,
    ) -> None:
        if not proposal_nums or min(proposal_nums) < 1:
            raise ValueError(f"proposal_nums: need numbers of at least 1, got {proposal_nums}")
        if format_only and not outfile_prefix:
            raise ValueError("format_only: needs outfile_prefix, the folder to write to")
        rules = get_protocol("coco")
        self.protocol = replace(rules, iou=_thresholds(iou_thrs) or rules.iou, max_detections=proposal_nums[0])
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.prefix = prefix

    def evaluate(self, annotations: InstanceTable, detections: InstanceTable) -> Evaluation:
        """Scores detections against annotations of the same images, for the classes of the annotations."""
        return evaluate_boxes(annotations, detections, self.protocol, classes=annotations.classes)

    def headline(self, evaluation: Evaluation) -> dict[str, float]:
        """``bbox_mAP``, ``bbox_mAP_50`` and ``_75`` where they are among the thresholds, ``_s``, ``_m``, ``_l``."""
        numbers = {"bbox_mAP": evaluation.map}
        at = _at_thresholds("bbox_mAP_", evaluation)
        numbers |= {name: at[name] for name in ("bbox_mAP_50", "bbox_mAP_75") if name in at}
        return _prefixed(self.prefix, numbers | {f"bbox_mAP_{n[0]}": s.map for n, s in evaluation.sizes.items()})


class Several:
    """Several metrics for the same detections, such as the VOC07 and VOC12 averages of HRSC2016.

    The evaluation, for tables and reports, is that of the first; the headline has the numbers of all. Where
    detections are merged or written, the first that says so is obeyed.

    Args:
        metrics: Metrics, at least one.

    Raises:
        ValueError: If two metrics would report numbers of the same name.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        names = [(type(metric), getattr(metric, "prefix", None)) for metric in metrics]
        if len(set(names)) < len(names):
            raise ValueError("several metrics call their numbers alike: give each another prefix='...'")
        self.metrics = list(metrics)
        self.merge_patches = any(getattr(metric, "merge_patches", False) for metric in metrics)
        self.iou_thr = next((m.iou_thr for m in metrics if isinstance(m, DOTAMetric)), MERGE_IOU)
        self.format_only = all(getattr(metric, "format_only", False) for metric in metrics)
        folders = (getattr(metric, "outfile_prefix", None) for metric in metrics)
        self.outfile_prefix: str | None = next(filter(None, folders), None)

    def evaluate(self, annotations: InstanceTable, detections: InstanceTable) -> Any:
        """Scores detections as the first metric does."""
        return self.metrics[0].evaluate(annotations, detections)

    def headline(self, evaluation: Any) -> dict[str, float]:
        """The numbers of all metrics."""
        numbers = self.metrics[0].headline(evaluation)
        for metric in self.metrics[1:]:
            numbers |= metric.headline(metric.evaluate(evaluation.annotations, evaluation.results))
        return numbers


def build_metric(config: Any, where: str) -> Metric:
    """The metric that ``val_evaluator`` or ``test_evaluator`` of a config describes, or a list of such.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(config, list | tuple) and config:
        metrics = [build_metric(one, f"{where}.{i}") for i, one in enumerate(config)]
        try:
            return metrics[0] if len(metrics) == 1 else Several(metrics)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if not isinstance(config, Mapping):
        raise ValueError(f"{where}: need a metric, such as dict(type='DOTAMetric'), or several, got {config!r}")
    metric: Metric = build(config, where)
    return metric


def _thresholds(given: float | Sequence[float] | None) -> tuple[float, ...] | None:
    if given is None:
        return None
    thresholds = tuple(given) if isinstance(given, Sequence) else (given,)
    if not 0 < len(thresholds) <= 32 or not all(0 < t <= 1 for t in thresholds):
        raise ValueError(f"iou_thrs: need 1 to 32 thresholds in (0, 1], got {given!r}")
    return thresholds


def _at_thresholds(name: str, evaluation: Evaluation) -> dict[str, float]:
    return {f"{name}{100 * t:g}": float(m) for t, m in zip(evaluation.protocol.iou, evaluation.maps, strict=True)}


def _prefixed(prefix: str | None, numbers: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}/{name}": value for name, value in numbers.items()} if prefix else numbers
