"""Plots of the report, as SVG text. They import matplotlib (``rotx[plots]``) only when they are drawn."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.evaluation.score import Evaluation

#: Colours distinguishable on white and on black, also with colour blindness (after Okabe and Ito).
BLUE, ORANGE, GREEN, GREY = "#3b82c4", "#d97706", "#12977a", "#8a8a8a"
CURVE_COLOURS = (BLUE, ORANGE, GREEN, GREY)
#: Placeholder for the colour of the page's text, which depends on the theme.
INK = "#010203"
#: With more IoU thresholds than this, curves are drawn only for the first, the middle and the last one.
MOST_CURVES = 4
#: Panels in a row of the precision-recall figure.
PANELS = 5
BINS = 50

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "path.simplify_threshold": 0.5,
}


def shown_thresholds(evaluation: Evaluation) -> list[tuple[int, str]]:
    """Returns the indices of the IoU thresholds that `curves` draws, each with its colour."""
    count = len(evaluation.protocol.iou)
    shown = range(count) if count <= MOST_CURVES else (0, count // 2, count - 1)
    return list(zip(shown, CURVE_COLOURS, strict=False))


def curves(evaluation: Evaluation) -> str:
    """Plots precision over recall, with a panel for each class that has objects; "" if there is none."""
    import matplotlib
    from matplotlib.figure import Figure

    labels = np.flatnonzero(evaluation.gts > 0).tolist()
    if not labels:
        return ""
    columns = min(PANELS, len(labels))
    rows = -(-len(labels) // columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(1.9 * columns, 1.75 * rows + 0.2), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for panel, label in zip(panels, labels, strict=False):
            for threshold, colour in shown_thresholds(evaluation):
                recall, precision = evaluation.curve(label, threshold)
                if not len(recall):
                    continue  # objects but no detections: an empty panel
                # The curve starts at recall 0 with the precision of the best detection.
                start = np.append(0.0, recall), np.append(precision[:1], precision)
                panel.plot(*start, color=colour, linewidth=1.1)
            panel.set_title(evaluation.classes[label], parse_math=False)
            panel.set(xlim=(0, 1.02), ylim=(0, 1.04), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            panel.grid(color=GREY, alpha=0.3, linewidth=0.5)
        for panel in panels[len(labels) :]:
            panel.set_visible(False)
        # The lowest visible panel of each column has tick labels.
        for panel in panels[len(labels) - columns : len(labels)]:
            panel.tick_params(labelbottom=True)
        figure.supxlabel("recall", fontsize=8)
        figure.supylabel("precision", fontsize=8)
        return _svg(figure, "Precision over recall of each class", "curves")


def histogram(evaluation: Evaluation) -> str:
    """Plots the numbers of true, false and ignored detections by score, at the first IoU threshold; "" if none."""
    import matplotlib
    from matplotlib.figure import Figure

    scores = evaluation.problem.scores
    if not len(scores):
        return ""
    low, high = min(float(scores.min()), 0.0), max(float(scores.max()), 1.0)
    hit, ignored = evaluation.matches.hit & 1 > 0, evaluation.matches.ignored & 1 > 0
    groups: list[tuple[str, NDArray[np.bool_], str]] = [
        ("false", ~hit & ~ignored, ORANGE),
        ("true", hit, BLUE),
        ("ignored", ignored & ~hit, GREY),
    ]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7, 2.6), layout="constrained")
        axes = figure.subplots()
        for name, group, colour in groups:
            if not group.any():
                continue
            counts, edges = np.histogram(scores[group], bins=BINS, range=(low, high))
            axes.stairs(counts, edges, color=colour, linewidth=1.2, label=name)
            axes.stairs(counts, edges, color=colour, fill=True, alpha=0.15)
        axes.set_yscale("log", nonpositive="clip")
        axes.set(xlim=(low, high), xlabel="score", ylabel="detections")
        axes.set_ylim(bottom=0.7)
        axes.grid(color=GREY, alpha=0.3, linewidth=0.5)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return _svg(figure, "Scores of true, false and ignored detections", "scores")


def _svg(figure: Any, title: str, name: str) -> str:
    """Converts a figure to an element of a page, with lines and text in the colour of the surrounding text."""
    import matplotlib

    text = io.StringIO()
    # The salt makes the ids of the figures on a page distinct, and reproducible between runs.
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True)
    whole = text.getvalue()
    width, height = (72 * side for side in figure.get_size_inches())
    start = whole.index("<defs>") if "<defs>" in whole else whole.index("<g ")
    body = re.sub(r'<g id="[^"]*"', "<g", whole[start:]).replace(INK, "currentColor")
    head = f'<svg role="img" aria-label="{title}" viewBox="0 0 {width:g} {height:g}" style="width:{width:g}pt">'
    return head + body
