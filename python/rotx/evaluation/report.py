"""Formats scores as text: tables for the terminal, JSON, CSV, and the verdict on every detection."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from rotx.evaluation.coco import CocoEvaluation
from rotx.evaluation.explain import Step
from rotx.evaluation.icdar import HIT, IGNORED, TextEvaluation
from rotx.evaluation.score import Evaluation
from rotx.records import InstanceTable

#: With more IoU thresholds than this, the table shows only their mean, 0.5 and 0.75.
MOST_COLUMNS = 4


#: Cell of a score that is undefined, such as the AP of a class without objects that is not in the mean.
UNDEFINED = "–"


def shown(value: float, defined: bool = True) -> str:
    """A score as a cell of a table."""
    return f"{value:.4f}" if defined and not np.isnan(value) else UNDEFINED


def table(rows: Sequence[Sequence[str]], footer: int = 0) -> str:
    """Formats rows of cells as a table; the first row is the header, the last ``footer`` rows are set apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    line = "+" + "+".join("-" * (w + 2) for w in widths) + "+"
    text = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    body = [line, text[0], line, *text[1 : len(text) - footer], line]
    if footer:
        body += [*text[len(text) - footer :], line]
    return "\n".join(body)


def score_table(evaluation: Evaluation | TextEvaluation | CocoEvaluation) -> str:
    """Returns the table that ``rotx-eval`` prints."""
    if isinstance(evaluation, CocoEvaluation):
        return table(evaluation.table(), footer=1)
    if isinstance(evaluation, TextEvaluation):
        return _text_table(evaluation)
    names, columns = _ap_columns(evaluation)
    recall = evaluation.recall.mean(0)
    rows = [["class", "gts", "dets", "recall", *names]]
    for i, name in enumerate(evaluation.classes):
        cells = [shown(value[i], evaluation.counted[i]) for value in (recall, *columns)]
        rows.append([name, str(evaluation.gts[i]), str(evaluation.dets[i]), *cells])
    counted = evaluation.counted
    means = [shown(ap[counted].mean()) if evaluation.defined else UNDEFINED for ap in columns]
    rows.append(["mAP", str(evaluation.gts.sum()), str(evaluation.dets.sum()), "", *means])
    return table(rows, footer=1)


def _ap_columns(evaluation: Evaluation) -> tuple[list[str], list[np.ndarray]]:
    iou = evaluation.protocol.iou
    if len(iou) == 1:
        return ["ap"], [evaluation.ap[0]]
    shown = range(len(iou)) if len(iou) <= MOST_COLUMNS else [i for i, t in enumerate(iou) if t in (0.5, 0.75)]
    names = [f"ap{iou[i] * 100:g}" for i in shown]
    return ["ap", *names], [evaluation.ap.mean(0), *(evaluation.ap[i] for i in shown)]


def _text_table(evaluation: TextEvaluation) -> str:
    rows = [["iou", "gts", "dets", "precision", "recall", "hmean"]]
    columns = (evaluation.dets, evaluation.precision, evaluation.recall, evaluation.hmean)
    for iou, dets, *numbers in zip(evaluation.iou, *columns, strict=True):
        rows.append([f"{iou:g}", str(evaluation.gts), str(dets), *map(shown, numbers)])
    return table(rows)


def size_table(evaluation: Evaluation) -> str:
    """Returns a table of mAP and average recall of small, medium and large objects."""
    rows = [["objects", "gts", "mAP", "recall"]]
    for name, size in [("all", evaluation), *evaluation.sizes.items()]:
        rows.append(
            [name, str(size.gts.sum()), shown(size.map, size.defined), shown(size.average_recall, size.defined)]
        )
    return table(rows)


def merge_table(patched: InstanceTable, merged: InstanceTable) -> str:
    """Returns a table of the numbers of detections of each class on the patches and on the whole images."""
    sets = (patched, merged)
    counts = [np.bincount(found.label, minlength=len(found.classes)).tolist() for found in sets]
    rows = [["class", "on patches", "merged"]]
    rows += [[name, f"{many:,}", f"{few:,}"] for name, many, few in zip(patched.classes, *counts, strict=True)]
    rows.append(["all", *(f"{sum(column):,}" for column in counts)])
    return table(rows, footer=1)


def explain_table(steps: Sequence[Step], base: str, start: float, target: str) -> str:
    """Returns a table of the steps from one protocol to another, in percentage points of mAP."""
    rows = [
        ["rule", "from", "to", "alone", "in turn", "mAP"],
        [f"({base})", "", "", "", "", f"{100 * start:.2f}"],
    ]
    for s in steps:
        rows.append(
            [
                s.rule,
                s.before,
                s.after,
                f"{100 * s.alone:+.2f}",
                f"{100 * s.in_turn:+.2f}",
                f"{100 * s.map:.2f}",
            ]
        )
    end = steps[-1].map if steps else start
    rows.append([f"({target})", "", "", "", f"{100 * (end - start):+.2f}", f"{100 * end:.2f}"])
    return table(rows, footer=1)


def to_json(evaluation: Evaluation | TextEvaluation | CocoEvaluation) -> str:
    """Returns the records of ``to_dict`` as JSON, with numbers in full precision."""
    return json.dumps(evaluation.to_dict(), indent=2) + "\n"


def to_csv(evaluation: Evaluation | TextEvaluation | CocoEvaluation) -> str:
    """Returns CSV with a line for each class and IoU threshold, with numbers in full precision.

    For text, there is a line for each threshold; for COCO's numbers, for each kind and class.
    """
    if isinstance(evaluation, CocoEvaluation):
        return _csv(evaluation.rows())
    records = evaluation.to_dict()
    records = records if isinstance(records, list) else [records]
    if isinstance(evaluation, TextEvaluation):
        return _csv([list(records[0]), *(list(r.values()) for r in records)])
    rows: list[list[object]] = [["iou", "class", "gts", "dets", "recall", "ap"]]
    for record in records:
        for name, c in record["classes"].items():
            rows.append([record["iou"], name, c["gts"], c["dets"], c["recall"], c["ap"]])
        rows.append([record["iou"], "mAP", "", "", "", record["map"]])
    return _csv(rows)


def verdicts(evaluation: Evaluation | TextEvaluation) -> Iterator[str]:
    """Yields CSV lines with the verdict on every detection at the first IoU threshold.

    Columns: image, class, score, verdict (tp, fp, ignored), gt (number of the matched object, or else of the one with
    the greatest IoU, from 1 within its image's annotations; empty: none), gt_class, iou, difficult (of that object),
    x1 … y4. Detections are sorted by image, class and descending score.
    """
    annotations, results = evaluation.annotations, evaluation.results
    if isinstance(evaluation, TextEvaluation):
        rows, truth, overlap = np.arange(len(results.scores)), evaluation.truth, evaluation.overlap
        verdict = evaluation.verdict[0]
        words = np.where(verdict == HIT, "tp", np.where(verdict == IGNORED, "ignored", "fp"))
    else:
        problem, matches = evaluation.problem, evaluation.matches
        rows, overlap = problem.detection_rows, matches.iou
        truth = np.where(matches.truth >= 0, _take(problem.truth_rows, matches.truth), -1)
        words = np.where(matches.hit & 1, "tp", np.where(matches.ignored & 1, "ignored", "fp"))
    number = _number_in_image(annotations.image)
    order = np.lexsort((-results.scores[rows], results.label[rows], results.image[rows]))
    head = ["image", "class", "score", "verdict", "gt", "gt_class", "iou", "difficult"]
    yield _csv([head + [f"{axis}{i}" for i in range(1, 5) for axis in "xy"]])
    for i in order.tolist():
        row, gt = rows[i], int(truth[i])
        cells: list[object] = [
            results.images[results.image[row]],
            results.classes[results.label[row]],
            float(results.scores[row]),
            words[i],
        ]
        if gt < 0:
            cells += ["", "", 0.0, ""]
        else:
            name = annotations.classes[annotations.label[gt]]
            cells += [int(number[gt]), name, float(overlap[i]), int(annotations.difficult[gt])]
        yield _csv([[*cells, *results.quads[row].tolist()]])


def _take(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    return values[np.maximum(index, 0)] if len(values) else np.full(len(index), -1)


def _number_in_image(image: np.ndarray) -> np.ndarray:
    """Numbers the objects of each image 1, 2, … in the order of its file."""
    order = np.argsort(image, kind="stable")
    starts = np.searchsorted(image[order], image[order])
    number = np.empty(len(image), dtype=np.int64)
    number[order] = np.arange(len(image)) - starts + 1
    return number


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
