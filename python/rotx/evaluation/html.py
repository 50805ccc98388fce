"""The report: one HTML page that needs no other file, for ``rotx-eval score --report``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rotx.atomic import write_text
from rotx.evaluation import confusion, plots
from rotx.evaluation.icdar import FALSE, HIT, TextEvaluation
from rotx.evaluation.protocols import Protocol
from rotx.evaluation.score import SIZES, Evaluation

NO_PLOTS = "plots left out: pip install 'rotx[plots]'"
#: So many images are listed as the worst.
WORST = 20

_CSS = """
:root { color-scheme: light dark; --line: #8886; --faint: #7a7a7a; --shade: #8882; --hue: 59, 130, 196; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  background: Canvas; color: CanvasText; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p { margin: .3rem 0 .8rem; max-width: 48rem; } p.note { color: var(--faint); font-size: .87rem; }
.score { font-size: 2.2rem; font-weight: 600; } .score small { font-size: 1rem; font-weight: 400; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.2rem; } dd { margin: 0; }
dt { color: var(--faint); } ul { margin: .2rem 0; padding-left: 1.2rem; }
.wide { overflow-x: auto; } .small { font-size: .8rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--faint); font-size: .87rem; padding-bottom: .3rem; }
th, td { padding: .12rem .55rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; } tbody th { font-weight: 400; } th:first-child { text-align: left; }
thead th { border-bottom: 1px solid var(--line); vertical-align: bottom; }
tfoot > tr > * { border-top: 1px solid var(--line); font-weight: 600; }
.small th, .small td { padding: .1rem .35rem; }
tbody tr:nth-child(even) { background: var(--shade); }
.matrix tbody tr { background: none; }
.matrix td { border: 1px solid var(--shade); min-width: 1.6rem; padding: .12rem .3rem; }
.matrix thead th:not(:first-child) { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left;
  border: 0; padding: .3rem .15rem; } .matrix td.zero { color: var(--faint); }
svg { max-width: 100%; height: auto; } svg text { font-family: inherit !important; }
@media print { body { max-width: none; margin: 0; font-size: 10pt; } .wide { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } h2, p { break-after: avoid; }
  tr, svg { break-inside: avoid; } .small { font-size: .6rem; } }
"""


def write_report(
    evaluation: Evaluation | TextEvaluation,
    folder: str | Path,
    interval: tuple[float, float] | None = None,
    score: float = confusion.SCORE,
) -> list[str]:
    """Writes ``folder/index.html``: a summary, tables, curves, and the images that went worst.

    The folder is made if it is not there. The page replaces an older one only when it is complete. It refers
    to nothing outside itself.

    Args:
        evaluation: what to show.
        folder: where the page goes.
        interval: the 95 % confidence interval of mAP (`Evaluation.interval`), if it is known.
        score: detections below it are left out of the confusion matrix and of the list of worst images.

    Returns:
        Notices: that the plots were left out, where matplotlib is not installed.

    Raises:
        OSError: if the folder cannot be made or written to.
    """
    notices: list[str] = []
    if isinstance(evaluation, TextEvaluation):
        sections = [_text_summary(evaluation), _text_images(evaluation)]
    else:
        try:
            drawings = (plots.curves(evaluation), plots.histogram(evaluation))
        except ImportError:
            drawings = ("", "")
            notices.append(NO_PLOTS)
        sections = [
            _summary(evaluation, interval),
            f'<p class="note">{escape(notices[0])}</p>\n' if notices else "",
            _classes(evaluation),
            _curves(evaluation, drawings[0]),
            _confusion(evaluation, score),
            _section("Scores", _SCORES, drawings[1]) if drawings[1] else "",
            _sizes(evaluation),
            _images(evaluation, score),
        ]
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Detection scores</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>{_CSS}</style>\n</head>\n<body>\n{''.join(sections)}</body>\n</html>\n"
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "index.html", page)
    return notices


def rules(protocol: Protocol, task: int) -> list[str]:
    """The rules of a protocol that matter in a task, each as a sentence."""
    matched = f"{'above' if protocol.strict else 'at least'} {', '.join(f'{t:g}' for t in protocol.iou)}"
    shape = {"quad": "Quads as they are written", "min-area-rect": "The least rectangle around each quad"}
    pixels = "whole pixels, x2 − x1 + 1 wide" if protocol.pixels else "x2 − x1 wide"
    sentences = [
        f"{shape[protocol.boxes]}." if task == 1 else f"Horizontal boxes around the quads, {pixels}.",
        f"A detection finds an object of its class where their IoU is {matched}.",
        {
            True: "If the object it overlaps most is taken, it may have the next best.",
            False: "If the object it overlaps most is taken, it is false.",
        }[protocol.second_choice],
        {
            "ignore": "Difficult objects need not be found, and detections on them do not count.",
            "count": "Difficult objects count like any other.",
        }[protocol.difficult],
        {
            "voc07": "AP is the mean of the best precision at 11 recalls (PASCAL VOC 2007).",
            "area": "AP is the area under the precision-recall curve (PASCAL VOC 2010 and later).",
            "coco": "AP is the mean of the best precision at 101 recalls (COCO).",
        }[protocol.average],
        {
            "zero": "A class without objects counts 0 in the mean.",
            "skip": "A class without objects is left out of the mean.",
        }[protocol.empty_class],
    ]
    if task == 1 and protocol.rounding == "devkit":
        sentences.append("Where rounding decides, the DOTA devkit's own arithmetic does.")
    if protocol.max_detections:
        sentences.append(f"Of an image and class, the {protocol.max_detections} best detections count.")
    return sentences


def _summary(evaluation: Evaluation, interval: tuple[float, float] | None) -> str:
    problem, protocol = evaluation.problem, evaluation.protocol
    ignored = int(problem.ignore.sum())
    facts = [
        ("protocol", f"{escape(protocol.name)}, task {evaluation.task}"),
        ("IoU", ", ".join(f"{t:g}" for t in protocol.iou)),
        ("images", f"{problem.images:,}"),
        ("objects", f"{evaluation.gts.sum():,}" + (f" and {ignored:,} ignored" if ignored else "")),
        ("detections", f"{evaluation.dets.sum():,}"),
        ("rules", _list(rules(protocol, evaluation.task))),
    ]
    between = "" if interval is None else f", 95 % between {interval[0]:.4f} and {interval[1]:.4f}"
    note = "" if interval is None else '<p class="note">The interval is a bootstrap over the images.</p>\n'
    return _head(f"{evaluation.map:.4f} <small>mAP{between}</small>", note, facts, evaluation.notices)


def _head(score: str, note: str, facts: Iterable[tuple[str, str]], notices: Sequence[str]) -> str:
    """The top of the page; ``score``, ``note`` and ``facts`` are HTML."""
    rows = [*facts, *([("notices", _list(notices))] if notices else [])]
    items = "".join(f"<dt>{name}</dt><dd>{fact}</dd>\n" for name, fact in rows)
    return f'<h1>Detection scores</h1>\n<div class="score">{score}</div>\n{note}<dl>\n{items}</dl>\n'


def _classes(evaluation: Evaluation) -> str:
    iou = evaluation.protocol.iou
    columns = [evaluation.ap.mean(0), *evaluation.ap] if len(iou) > 1 else [evaluation.ap[0]]
    names = ["AP", *(f"AP{t * 100:g}" for t in iou)] if len(iou) > 1 else ["AP"]
    recall, counted = evaluation.recall.mean(0), evaluation.counted
    rows = []
    for i, (name, best) in enumerate(zip(evaluation.classes, best_f1(evaluation), strict=True)):
        aps = [f"{ap[i]:.4f}" if counted[i] else "–" for ap in columns]
        f1 = ["–", "–"] if best is None else [f"{best[0]:.4f}", f"{best[1]:.4f}"]
        numbers = [str(evaluation.gts[i]), str(evaluation.dets[i]), f"{recall[i]:.4f}"]
        rows.append([name, *numbers, *aps, *f1])
    maps = [evaluation.map, *evaluation.maps] if len(iou) > 1 else [evaluation.map]
    means = [f"{value:.4f}" for value in maps]
    foot = ["mAP", str(evaluation.gts.sum()), str(evaluation.dets.sum()), "", *means, "", ""]
    head = ["class", "objects", "detections", "recall", *names, "best F1", "at score"]
    several = " Recall and AP are means over the IoU thresholds." if len(iou) > 1 else ""
    note = (
        f"Recall is that of all detections.{several} Best F1 is the greatest harmonic mean of precision and "
        f"recall at IoU {iou[0]:g}, reached by the detections of at least the score after it."
    )
    return _section("Classes", note, _table(head, rows, foot))


def best_f1(evaluation: Evaluation) -> list[tuple[float, float] | None]:
    """For each class the greatest F1 at the first IoU threshold and the score from which on it is reached.

    None for a class of which nothing is found.
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
        # No threshold parts detections of equal score: only the last of them is a place to stop.
        stops = np.flatnonzero(np.append(falling[1:] < falling[:-1], True))
        at = stops[f1[stops].argmax()]
        best.append((float(f1[at]), float(falling[at])))
    return best


def _curves(evaluation: Evaluation, drawing: str) -> str:
    if not drawing:
        return ""
    iou = evaluation.protocol.iou
    shown = plots.shown_thresholds(evaluation)
    key = " &emsp; ".join(f'<span style="color:{colour}">━</span> IoU {iou[t]:g}' for t, colour in shown)
    empty = [name for name, gts in zip(evaluation.classes, evaluation.gts, strict=True) if not gts]
    note = f"No objects, so no curve: {', '.join(empty)}." if empty else ""
    return _section("Precision and recall", note, f"<p>{key}</p>\n{drawing}")


_SCORES = (
    "Detections by score at the first IoU threshold, on a logarithmic scale. Ignored ones lie on objects "
    "that need not be found or are beyond the number that counts."
)


def _confusion(evaluation: Evaluation, score: float) -> str:
    matrix = confusion.confusion_matrix(evaluation, score)
    names = [*evaluation.classes, "background"]
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = ""
    for name, counts, parts in zip(names, matrix.tolist(), share.tolist(), strict=True):
        cells = "".join(
            f'<td style="background:rgba(var(--hue),{0.65 * part:.2f})">{count}</td>'
            if count
            else '<td class="zero">0</td>'
            for count, part in zip(counts, parts, strict=True)
        )
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>\n'
    table = (
        f'<div class="wide"><table class="small matrix">\n<thead><tr><th>object, detected as</th>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table></div>\n"
    )
    note = (
        f"Detections of at least score {score:g}, each matched with the object of any class that it overlaps "
        f"most, from IoU {confusion.IOU:g} on. Last column: objects not found; last row: detections without "
        "object. Ignored objects and the detections on them are left out. Shade: share of the row."
    )
    return _section("Confusion", note, table)


def _sizes(evaluation: Evaluation) -> str:
    sizes = evaluation.sizes
    head = ["class", *(f"{what}, {name}" for name in sizes for what in ("objects", "AP"))]
    rows = []
    for i, name in enumerate(evaluation.classes):
        cells = [name]
        for size in sizes.values():
            cells += [str(size.gts[i]), f"{size.ap[:, i].mean():.4f}" if size.counted[i] else "–"]
        rows.append(cells)
    foot = ["mAP"]
    for size in sizes.values():
        foot += [str(size.gts.sum()), f"{size.map:.4f}"]
    limits = [f"{low:g} to {high:g}" for low, high in list(SIZES.values())[:-1]]
    note = f"Small: {limits[0]} square pixels; medium: {limits[1]}; large: above. Other sizes are ignored."
    if len(evaluation.protocol.iou) > 1:
        note += " AP is the mean over the IoU thresholds."
    note += " Classes without objects of a size are left out of its mean."
    return _section("Sizes", note, _table(head, rows, foot))


def _images(evaluation: Evaluation, score: float) -> str:
    problem, matches = evaluation.problem, evaluation.matches
    image = problem.detections[1]
    high = problem.scores >= score
    hit, ignored = matches.hit & 1 > 0, matches.ignored & 1 > 0
    objects = np.bincount(problem.truth[1][~problem.ignore], minlength=problem.images)
    found = np.bincount(image[high & hit], minlength=problem.images)
    false = np.bincount(image[high & ~hit & ~ignored], minlength=problem.images)
    names = max(evaluation.annotations.images, evaluation.results.images, key=len)
    note = f"By missed and false together, at IoU {evaluation.protocol.iou[0]:g} and scores of at least {score:g}."
    return _worst(note, names, objects, found, false)


def _worst(
    note: str,
    names: Sequence[str],
    objects: NDArray[np.int64],
    found: NDArray[np.int64],
    false: NDArray[np.int64],
) -> str:
    missed = objects - found
    order = np.argsort(-(missed + false), kind="stable")[:WORST].tolist()
    bad = [i for i in order if missed[i] + false[i]]
    rows = [[names[i], *(str(count[i]) for count in (objects, found, missed, false))] for i in bad]
    table = _table(["image", "objects", "found", "missed", "false"], rows)
    return _section("Worst images", note, table if rows else "<p>Nothing is missed or false.</p>\n")


def _text_summary(evaluation: TextEvaluation) -> str:
    annotations = evaluation.annotations
    facts = [
        ("protocol", "icdar2015"),
        ("images", f"{len(annotations.images):,}"),
        ("objects", f"{evaluation.gts:,} and {int((annotations.difficult > 0).sum()):,} that need not be found"),
        ("detections", f"{len(evaluation.results.scores):,}"),
    ]
    columns = (evaluation.dets, evaluation.hits, evaluation.precision, evaluation.recall, evaluation.hmean)
    rows = [
        [f"{iou:g}", str(dets), str(hits), *(f"{number:.4f}" for number in numbers)]
        for iou, dets, hits, *numbers in zip(evaluation.iou, *columns, strict=True)
    ]
    head = ["IoU", "detections that count", "found", "precision", "recall", "Hmean"]
    score = f"{evaluation.hmean[0]:.4f} <small>Hmean at IoU {evaluation.iou[0]:g}</small>"
    return _head(score, "", facts, evaluation.notices) + _section("Thresholds", "", _table(head, rows))


def _text_images(evaluation: TextEvaluation) -> str:
    annotations, results = evaluation.annotations, evaluation.results
    images = max(len(annotations.images), len(results.images))
    verdict = evaluation.verdict[0]
    objects = np.bincount(annotations.image[annotations.difficult == 0], minlength=images)
    found = np.bincount(results.image[verdict == HIT], minlength=images)
    false = np.bincount(results.image[verdict == FALSE], minlength=images)
    names = max(annotations.images, results.images, key=len)
    note = f"By missed and false together, at IoU {evaluation.iou[0]:g}."
    return _worst(note, names, objects, found, false)


def _section(title: str, note: str, content: str) -> str:
    """A titled part; ``title`` and ``note`` are text, ``content`` is HTML."""
    line = f'<p class="note">{escape(note)}</p>\n' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{line}{content}</section>\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], foot: Sequence[str] = ()) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        first, *others = (escape(cell) for cell in cells)
        return f"<tr><th>{first}</th>{''.join(f'<{tag}>{cell}</{tag}>' for cell in others)}</tr>\n"

    small = ' class="small"' if len(head) > 9 else ""
    body = "".join(row(cells, "td") for cells in rows)
    last = f"<tfoot>\n{row(foot, 'td')}</tfoot>\n" if foot else ""
    return (
        f'<div class="wide"><table{small}>\n<thead>\n{row(head, "th")}</thead>\n<tbody>\n{body}</tbody>\n{last}'
        "</table></div>\n"
    )


def _list(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(s)}</li>' for s in sentences)}</ul>"
