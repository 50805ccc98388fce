"""HTML report of ``rotx-eval score --report``: one self-contained page.

This module prepares texts and numbers; the template ``report.html.jinja`` lays them out and escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.atomic import write_text
from rotx.evaluation import confusion, plots
from rotx.evaluation.icdar import FALSE, HIT, TextEvaluation
from rotx.evaluation.protocols import Protocol
from rotx.evaluation.report import UNDEFINED, shown
from rotx.evaluation.score import SIZES, Evaluation

TEMPLATE = "report.html.jinja"
NO_PLOTS = "plots left out: pip install 'rotx[plots]'"
#: Number of images in the list of the worst.
WORST = 20


@dataclass(frozen=True)
class _Summary:
    """Top of the page: the score, the measure, and named facts, each a text or several sentences."""

    score: str
    measure: str
    facts: list[tuple[str, str | list[str]]]
    note: str = ""


@dataclass(frozen=True)
class _Section:
    """Section of the page with a title and a plot, a table or a text.

    Attributes:
        key: Legend of the plot: colours and labels.
        drawing: Plot as SVG; the only value that the template does not escape.
        head, rows, foot: Texts of the table's cells; the first cell of a row is its name.
        shares: Shade of each cell after the names, from 0 to 1, for a table of counts.
    """

    title: str
    note: str = ""
    key: Sequence[tuple[str, str]] = ()
    drawing: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    foot: Sequence[str] = ()
    shares: Sequence[Sequence[float]] = ()
    text: str = ""


def write_report(
    evaluation: Evaluation | TextEvaluation,
    folder: str | Path,
    interval: tuple[float, float] | None = None,
    score: float = confusion.SCORE,
) -> list[str]:
    """Writes ``folder/index.html``: a summary, tables, curves, and the worst images.

    The page replaces an older one only when it is complete, and needs no other file.

    Args:
        evaluation: Scored detections to show.
        folder: Folder for the page, created if it does not exist.
        interval: 95 % confidence interval of mAP (`Evaluation.interval`), if known.
        score: Lowest score of the detections in the confusion matrix and in the list of the worst images.

    Returns:
        Notices, such as that there are no plots because matplotlib is not installed.

    Raises:
        OSError: If the folder cannot be created or written to.
    """
    notices: list[str] = []
    if isinstance(evaluation, TextEvaluation):
        summary, sections = _text_summary(evaluation), [_thresholds(evaluation), _text_images(evaluation)]
    else:
        try:
            curves, histogram = plots.curves(evaluation), plots.histogram(evaluation)
        except ImportError:
            curves = histogram = ""
            notices.append(NO_PLOTS)
        summary, sections = _summary(evaluation, interval), [_classes(evaluation)]
        if curves:
            sections.append(_curves(evaluation, curves))
        sections.append(_confusion(evaluation, score))
        if histogram:
            sections.append(_Section("Scores", _SCORES, drawing=histogram))
        sections += [_sizes(evaluation), _images(evaluation, score)]
    page = _render(summary=summary, notices=notices, sections=sections)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "index.html", page)
    return notices


def _render(**values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only reports need it

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(values)


def rules(protocol: Protocol, task: int) -> list[str]:
    """Describes the rules of a protocol that apply to a task, one sentence each."""
    matched = f"{'above' if protocol.strict else 'at least'} {', '.join(f'{t:g}' for t in protocol.iou)}"
    shape = {"quad": "Quads as they are written", "min-area-rect": "The minimum-area rectangle around each quad"}
    pixels = "whole pixels, x2 − x1 + 1 wide" if protocol.pixels else "x2 − x1 wide"
    sentences = [
        f"{shape[protocol.boxes]}." if task == 1 else f"Horizontal boxes around the quads, {pixels}.",
        f"A detection matches an object of its class if their IoU is {matched}.",
        {
            True: "If the object that it overlaps most is already matched, it may match the next best.",
            False: "If the object that it overlaps most is already matched, it is a false positive.",
        }[protocol.second_choice],
        {
            "ignore": "Difficult objects are ignored, and so are the detections on them.",
            "count": "Difficult objects count like all others.",
        }[protocol.difficult],
        {
            "voc07": "AP is the mean of the interpolated precision at 11 recalls (PASCAL VOC 2007).",
            "area": "AP is the area under the precision-recall curve (PASCAL VOC 2010 and later).",
            "coco": "AP is the mean of the interpolated precision at 101 recalls (COCO).",
        }[protocol.average],
        {
            "zero": "A class without objects counts as 0 in the mean.",
            "skip": "A class without objects is left out of the mean.",
        }[protocol.empty_class],
    ]
    if task == 1 and protocol.rounding == "devkit":
        sentences.append("Rounding follows the DOTA devkit's arithmetic.")
    if protocol.max_detections:
        sentences.append(f"The {protocol.max_detections} best detections of each class in each image count.")
    return sentences


def _summary(evaluation: Evaluation, interval: tuple[float, float] | None) -> _Summary:
    problem, protocol = evaluation.problem, evaluation.protocol
    ignored = int(problem.ignore.sum())
    facts: list[tuple[str, str | list[str]]] = [
        ("protocol", f"{protocol.name}, task {evaluation.task}"),
        ("IoU", ", ".join(f"{t:g}" for t in protocol.iou)),
        ("images", f"{problem.images:,}"),
        ("objects", f"{evaluation.gts.sum():,}" + (f" and {ignored:,} ignored" if ignored else "")),
        ("detections", f"{evaluation.dets.sum():,}"),
        ("rules", rules(protocol, evaluation.task)),
    ]
    if evaluation.notices:
        facts.append(("notices", list(evaluation.notices)))
    score = shown(evaluation.map, evaluation.defined)
    if interval is None:
        return _Summary(score, "mAP", facts)
    measure = f"mAP, 95 % between {interval[0]:.4f} and {interval[1]:.4f}"
    return _Summary(score, measure, facts, "The interval is a bootstrap over the images.")


def _classes(evaluation: Evaluation) -> _Section:
    iou = evaluation.protocol.iou
    several = len(iou) > 1
    columns = [evaluation.ap.mean(0), *evaluation.ap] if several else [evaluation.ap[0]]
    names = ["AP", *(f"AP{t * 100:g}" for t in iou)] if several else ["AP"]
    recall, counted = evaluation.recall.mean(0), evaluation.counted
    rows = []
    for i, (name, best) in enumerate(zip(evaluation.classes, best_f1(evaluation), strict=True)):
        aps = [shown(value[i], counted[i]) for value in (recall, *columns)]
        f1 = [UNDEFINED] * 2 if best is None else [f"{best[0]:.4f}", f"{best[1]:.4f}"]
        rows.append([name, str(evaluation.gts[i]), str(evaluation.dets[i]), *aps, *f1])
    means = [
        shown(value, evaluation.defined)
        for value in ([evaluation.map, *evaluation.maps] if several else [evaluation.map])
    ]
    foot = ["mAP", str(evaluation.gts.sum()), str(evaluation.dets.sum()), "", *means, "", ""]
    head = ["class", "objects", "detections", "recall", *names, "best F1", "at score"]
    note = (
        "Recall is that of all detections."
        f"{' Recall and AP are means over the IoU thresholds.' if several else ''} Best F1 is the greatest harmonic "
        f"mean of precision and recall at IoU {iou[0]:g}; detections of at least the score beside it reach it."
    )
    return _Section("Classes", note, head=head, rows=rows, foot=foot)


def best_f1(evaluation: Evaluation) -> list[tuple[float, float] | None]:
    """Returns the best F1 of each class at the first IoU threshold, and the score threshold that reaches it.

    Classes without true positives have None.
    """
    matches, scores = evaluation.matches, evaluation.problem.scores
    order, starts, ignored = matches.order, matches.starts, matches.ignored
    best: list[tuple[float, float] | None] = []
    for label in range(len(evaluation.classes)):
        rows = order[starts[label] : starts[label + 1]]
        falling = scores[rows[ignored[rows] & 1 == 0]]
        recall, precision = evaluation.curve(label)
        if not len(recall) or recall[-1] == 0:
            best.append(None)
            continue
        f1 = 2 * recall * precision / np.maximum(recall + precision, 1e-300)
        # A threshold cannot separate detections with equal scores: only the last of them is a valid cut.
        stops = np.flatnonzero(np.append(falling[1:] < falling[:-1], True))
        at = stops[f1[stops].argmax()]
        best.append((float(f1[at]), float(falling[at])))
    return best


def _curves(evaluation: Evaluation, drawing: str) -> _Section:
    iou = evaluation.protocol.iou
    key = [(colour, f"IoU {iou[t]:g}") for t, colour in plots.shown_thresholds(evaluation)]
    empty = [name for name, gts in zip(evaluation.classes, evaluation.gts, strict=True) if not gts]
    note = f"No objects, so no curve: {', '.join(empty)}." if empty else ""
    return _Section("Precision and recall", note, key, drawing)


_SCORES = (
    "Number of detections by score at the first IoU threshold, on a logarithmic scale. Ignored detections lie on "
    "difficult objects or exceed the number that counts."
)


def _confusion(evaluation: Evaluation, score: float) -> _Section:
    matrix = confusion.confusion_matrix(evaluation, score)
    names = [*evaluation.classes, "background"]
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    rows = [[name, *map(str, counts)] for name, counts in zip(names, matrix.tolist(), strict=True)]
    note = (
        f"Detections of at least score {score:g}, each matched with the object of any class that it overlaps "
        f"most, from IoU {confusion.IOU:g} on. The last column counts missed objects; the last row counts "
        "detections without an object. Ignored objects and the detections on them are left out. The shade is the "
        "share of the row."
    )
    head = ["object, detected as", *names]
    return _Section("Confusion", note, head=head, rows=rows, shares=shares.tolist())


def _sizes(evaluation: Evaluation) -> _Section:
    sizes = evaluation.sizes
    head = ["class", *(f"{what}, {name}" for name in sizes for what in ("objects", "AP"))]
    rows = []
    for i, name in enumerate(evaluation.classes):
        cells = [name]
        for size in sizes.values():
            cells += [str(size.gts[i]), shown(size.ap[:, i].mean(), size.counted[i])]
        rows.append(cells)
    foot = ["mAP"]
    for size in sizes.values():
        foot += [str(size.gts.sum()), shown(size.map, size.defined)]
    limits = [f"{low:g} to {high:g}" for low, high in list(SIZES.values())[:-1]]
    note = f"Small: {limits[0]} square pixels; medium: {limits[1]}; large: above. Other sizes are ignored."
    if len(evaluation.protocol.iou) > 1:
        note += " AP is the mean over the IoU thresholds."
    note += " Classes without objects of a size are left out of its mean."
    return _Section("Sizes", note, head=head, rows=rows, foot=foot)


def _images(evaluation: Evaluation, score: float) -> _Section:
    problem, matches = evaluation.problem, evaluation.matches
    image = problem.detections[1]
    high = problem.scores >= score
    hit, ignored = matches.hit & 1 > 0, matches.ignored & 1 > 0
    objects = np.bincount(problem.truth[1][~problem.ignore], minlength=problem.images)
    found = np.bincount(image[high & hit], minlength=problem.images)
    false = np.bincount(image[high & ~hit & ~ignored], minlength=problem.images)
    names = max(evaluation.annotations.images, evaluation.results.images, key=len)
    at = f"IoU {evaluation.protocol.iou[0]:g} and scores of at least {score:g}"
    return _worst(at, names, objects, found, false)


def _worst(
    at: str,
    names: Sequence[str],
    objects: NDArray[np.int64],
    found: NDArray[np.int64],
    false: NDArray[np.int64],
) -> _Section:
    """Lists the images with the most missed objects and false detections; ``at`` describes the thresholds."""
    missed = objects - found
    order = np.argsort(-(missed + false), kind="stable")[:WORST].tolist()
    rows = [
        [names[i], *(str(count[i]) for count in (objects, found, missed, false))] for i in order if missed[i] + false[i]
    ]
    if not rows:
        return _Section("Worst images", text="Nothing is missed or false.")
    note = f"Sorted by the number of missed objects and false detections at {at}."
    return _Section("Worst images", note, head=["image", "objects", "found", "missed", "false"], rows=rows)


def _text_summary(evaluation: TextEvaluation) -> _Summary:
    annotations = evaluation.annotations
    facts: list[tuple[str, str | list[str]]] = [
        ("protocol", "icdar2015"),
        ("images", f"{len(annotations.images):,}"),
        ("objects", f"{evaluation.gts:,} and {int((annotations.difficult > 0).sum()):,} that need not be found"),
        ("detections", f"{len(evaluation.results.scores):,}"),
    ]
    if evaluation.notices:
        facts.append(("notices", list(evaluation.notices)))
    return _Summary(shown(evaluation.hmean[0]), f"Hmean at IoU {evaluation.iou[0]:g}", facts)


def _thresholds(evaluation: TextEvaluation) -> _Section:
    columns = (evaluation.dets, evaluation.hits, evaluation.precision, evaluation.recall, evaluation.hmean)
    rows = [
        [f"{iou:g}", str(dets), str(hits), *map(shown, numbers)]
        for iou, dets, hits, *numbers in zip(evaluation.iou, *columns, strict=True)
    ]
    head = ["IoU", "detections that count", "found", "precision", "recall", "Hmean"]
    return _Section("Thresholds", head=head, rows=rows)


def _text_images(evaluation: TextEvaluation) -> _Section:
    annotations, results = evaluation.annotations, evaluation.results
    images = max(len(annotations.images), len(results.images))
    verdict = evaluation.verdict[0]
    objects = np.bincount(annotations.image[annotations.difficult == 0], minlength=images)
    found = np.bincount(results.image[verdict == HIT], minlength=images)
    false = np.bincount(results.image[verdict == FALSE], minlength=images)
    names = max(annotations.images, results.images, key=len)
    return _worst(f"IoU {evaluation.iou[0]:g}", names, objects, found, false)
