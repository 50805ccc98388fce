"""Evaluators of configs, with MMRotate's keys, scored by rotx's protocols.

They are built from ``val_evaluator`` and ``test_evaluator`` of a config. They score detections in pixels of the image
files against the dataset's annotations, as they are in the annotation files.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rotx.annotations.classes import DOTA_V1_5, DOTA_V2_0
from rotx.compat import build
from rotx.evaluation.protocols import Protocol, get_protocol, iou_thresholds
from rotx.evaluation.score import Evaluation, evaluate_boxes
from rotx.records import InstanceTable
from rotx.registry import unscoped
from rotx.tiling.merging import MERGE_IOU


class Metric(typing.Protocol):
    """Interface of evaluators; one registered by a plug-in needs only these methods."""

    def evaluate(self, annotations: InstanceTable, detections: InstanceTable) -> Any:
        """Scores detections; returns an `Evaluation` or a `rotx.evaluation.CocoEvaluation`."""

    def headline(self, evaluation: Any) -> dict[str, float]:
        """Returns the main numbers for logs; the first one selects the best checkpoint."""


class DOTAMetric:
    """Average precision by the rules of the DOTA devkit, or of another protocol.

    Without ``protocol``, the rules are those of DOTA-v1.5 or v2.0 for the classes of these datasets, and of v1.0
    otherwise: quads as annotated, difficult objects ignored, AP 0 for classes without objects. MMRotate compares the
    minimum-area rectangles of the quads, counts difficult objects and skips classes without objects:
    ``protocol='mmrotate'``.

    Args:
        iou_thrs: IoU threshold or thresholds; None: those of the protocol.
        eval_mode: Average of the precision: ``"11points"`` (VOC07) or ``"area"`` (VOC12); None: as in the protocol.
        protocol: Name in `rotx.evaluation.PROTOCOLS`; None: the default described above.
        merge_patches: Whether ``rotx-eval model`` merges patches into whole images, as with ``--merge``.
        iou_thr: IoU above which NMS suppresses detections when patches are merged.
        format_only: Whether ``rotx-eval model`` only writes the detections, without scoring them.
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
        self.iou_thrs = iou_thresholds(iou_thrs)
        self.eval_mode = eval_mode
        self.protocol = None if protocol is None else get_protocol(protocol)
        self.merge_patches = merge_patches
        self.iou_thr = iou_thr
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.prefix = prefix

    def rules(self, classes: Sequence[str]) -> Protocol:
        """Returns the protocol for detections of these classes."""
        versions = {DOTA_V1_5: "dota-v1.5", DOTA_V2_0: "dota-v2.0"}
        rules = self.protocol or get_protocol(versions.get(tuple(classes), "dota-v1.0"))
        if self.eval_mode is not None:
            rules = replace(rules, average="voc07" if self.eval_mode == "11points" else "area")
        return replace(rules, iou=self.iou_thrs or rules.iou, classes=tuple(classes))

    def evaluate(self, annotations: InstanceTable, detections: InstanceTable) -> Evaluation:
        """Scores detections against annotations of the same images, over the classes of the annotations."""
        return evaluate_boxes(annotations, detections, self.rules(annotations.classes))

    def headline(self, evaluation: Evaluation) -> dict[str, float]:
        """Returns ``mAP``, the mean over all IoU thresholds, and ``AP50`` etc. for each threshold."""
        return _prefixed(self.prefix, {"mAP": evaluation.map, **_at_thresholds("AP", evaluation)})


class RotatedCocoMetric:
    """COCO's average precision of rotated boxes: protocol ``coco``.

    The IoU is exact and uses the quads as annotated; MMRotate compares minimum-area rectangles in single precision.

    Args:
        iou_thrs: IoU threshold or thresholds; None: 0.5 to 0.95.
        proposal_nums: Limits of the number of detections per image and class; only the first one is used.
        format_only: Whether ``rotx-eval model`` only writes the detections, without scoring them.
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
        self.protocol = replace(rules, iou=iou_thresholds(iou_thrs) or rules.iou, max_detections=proposal_nums[0])
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.prefix = prefix

    def evaluate(self, annotations: InstanceTable, detections: InstanceTable) -> Evaluation:
        """Scores detections against annotations of the same images, over the classes of the annotations."""
        return evaluate_boxes(annotations, detections, self.protocol, classes=annotations.classes)

    def headline(self, evaluation: Evaluation) -> dict[str, float]:
        """Returns ``bbox_mAP``, ``bbox_mAP_50`` and ``_75`` if these are thresholds, ``_s``, ``_m`` and ``_l``.

        The number of a size without objects is NaN.
        """
        numbers = {"bbox_mAP": evaluation.map}
        at = _at_thresholds("bbox_mAP_", evaluation)
        numbers |= {name: at[name] for name in ("bbox_mAP_50", "bbox_mAP_75") if name in at}
        sizes = {f"bbox_mAP_{n[0]}": s.map if s.defined else math.nan for n, s in evaluation.sizes.items()}
        return _prefixed(self.prefix, numbers | sizes)


class Several:
    """Several metrics for the same detections, such as the VOC07 and VOC12 averages of HRSC2016.

    Tables and reports show the evaluation of the first metric; the headline contains the numbers of all. The first
    metric that sets how detections are merged or written decides.

    Args:
        metrics: Metrics, at least one.

    Raises:
        ValueError: If two metrics would report numbers of the same name.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        names = [(type(metric), getattr(metric, "prefix", None)) for metric in metrics]
        if len(set(names)) < len(names):
            raise ValueError("several metrics have the same type and prefix: give each a different prefix='...'")
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
        """Returns the numbers of all metrics."""
        numbers = self.metrics[0].headline(evaluation)
        for metric in self.metrics[1:]:
            numbers |= metric.headline(metric.evaluate(evaluation.annotations, evaluation.results))
        return numbers


def merge_iou(settings: Mapping[str, Any], detector_iou: float | None) -> float:
    """IoU above which detections of overlapping windows or patches are merged, the same for prediction and evaluation.

    Args:
        settings: Config; the ``iou_thr`` of a `DOTAMetric` in its evaluators applies.
        detector_iou: IoU of the detector's own suppression, which applies otherwise; None: `MERGE_IOU` applies.
    """
    for name in ("test_evaluator", "val_evaluator"):
        evaluators = settings.get(name) or ()
        for one in (evaluators,) if isinstance(evaluators, Mapping) else evaluators:
            if isinstance(one, Mapping) and unscoped(str(one.get("type"))) == "DOTAMetric":
                return float(one.get("iou_thr", MERGE_IOU))
    return MERGE_IOU if detector_iou is None else detector_iou


def build_metric(config: Any, where: str) -> Metric:
    """Builds the metric of ``val_evaluator`` or ``test_evaluator`` of a config.

    Args:
        config: Dict of a metric, or a list of dicts.
        where: Path in the config, for error messages.

    Raises:
        ValueError: If ``config`` does not describe a metric.
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


def _at_thresholds(name: str, evaluation: Evaluation) -> dict[str, float]:
    return {f"{name}{100 * t:g}": float(m) for t, m in zip(evaluation.protocol.iou, evaluation.maps, strict=True)}


def _prefixed(prefix: str | None, numbers: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}/{name}": value for name, value in numbers.items()} if prefix else numbers
