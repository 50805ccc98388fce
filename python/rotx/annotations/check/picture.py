"""A plot of the sizes, shapes, angles and counts of the objects of datasets. Needs matplotlib (``rotx[plots]``)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.check.sets import CheckedSet
from rotx.atomic import write_bytes
from rotx.geometry import quad_to_rbox

#: Colours by Okabe and Ito, distinguishable with colour blindness.
_COLOURS = ("#3b82c4", "#d97706", "#12977a", "#8a8a8a", "#b0568a")
#: Number of classes with a bar of their own; the rarer ones share one bar.
_NAMED = 30
_BINS = 48


def write_picture(sets: Sequence[CheckedSet], file: str | Path) -> None:
    """Plots side lengths, aspect ratios, angles (le90), objects per image, and objects per class.

    Args:
        sets: Datasets; each gets its own colour.
        file: Path of the PNG to write; an existing file is replaced.

    Raises:
        ImportError: Without matplotlib.
        OSError: If the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("--picture needs matplotlib: pip install 'rotx[plots]'") from None
    boxes = [_boxes(one) for one in sets]
    names = _class_names(sets)
    figure = Figure(figsize=(12, 6.4 + 0.16 * len(names)), dpi=110, layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(3, 3, 0.4 + 0.16 * len(names) * (1 + 0.3 * (len(sets) - 1))))
    panels = [figure.add_subplot(grid[i // 2, i % 2]) for i in range(4)]
    longest = max((float(box[:, 2].max(initial=1)) for box in boxes), default=1.0)
    sides = np.geomspace(0.5, max(longest, 2.0), _BINS)
    values: list[tuple[str, list[NDArray[Any]], Any, bool]] = [
        ("long (filled) and short side in pixels", [box[:, 2] for box in boxes], sides, True),
        ("long side ÷ short side", [_ratio(box) for box in boxes], np.geomspace(1, 32, _BINS), True),
        (
            "angle of the long side in degrees",
            [np.rad2deg(box[:, 4]) for box in boxes],
            np.linspace(-90, 90, 61),
            False,
        ),
        ("objects on an image", [_on_images(one) for one in sets], _steps(sets), True),
    ]
    for panel, (title, series, bins, logarithmic) in zip(panels, values, strict=True):
        for i, one in enumerate(series):
            counts, edges = np.histogram(np.clip(one, bins[0], bins[-1]), bins)
            panel.stairs(counts, edges, color=_colour(i), fill=True, alpha=0.35, label=sets[i].name)
            panel.stairs(counts, edges, color=_colour(i))
        if logarithmic:
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_formatter("")
        panel.set_title(title, fontsize=10)
        panel.set_ylabel("images" if "image" in title else "objects")
    for i, box in enumerate(boxes):
        panels[0].stairs(np.histogram(box[:, 3].clip(sides[0]), sides)[0], sides, color=_colour(i), linestyle=":")
    if len(sets) > 1:
        handles, labels = panels[3].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=8, loc="outside upper center", ncols=min(len(sets), 3))
    _draw_classes(figure.add_subplot(grid[2, :]), sets, names)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_bytes(file, content.getvalue())


def _draw_classes(panel: Any, sets: Sequence[CheckedSet], names: list[str]) -> None:
    """Draws a bar for each class and dataset, with the most frequent class on top."""
    place = np.arange(len(names))[::-1]
    thick = 0.8 / len(sets)
    for i, one in enumerate(sets):
        counts = dict.fromkeys(names, 0)
        for label, number in enumerate(np.bincount(one.table.label, minlength=len(one.table.classes)).tolist()):
            name = one.table.classes[label]
            counts[name if name in counts else names[-1]] += number
        y = place + 0.4 - thick * (i + 0.5)
        bars = panel.barh(y, list(counts.values()), thick, color=_colour(i))
        panel.bar_label(bars, [f"{number:,}" for number in counts.values()], fontsize=7, padding=2)
    panel.set_yticks(place, names, fontsize=8, parse_math=False)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:,g}")
    panel.margins(x=0.08)
    panel.set_xlim(left=0.7)
    panel.set_ylim(-0.6, len(names) - 0.4)
    panel.set_title("objects of each class", fontsize=10)


def _class_names(sets: Sequence[CheckedSet]) -> list[str]:
    """Class names, most frequent first; the rarest of many share one entry."""
    totals: dict[str, int] = {}
    for one in sets:
        counts = np.bincount(one.table.label, minlength=len(one.table.classes)).tolist()
        for name, number in zip(one.table.classes, counts, strict=True):
            totals[name] = totals.get(name, 0) + number
    names = sorted(totals, key=lambda name: -totals[name])
    return names if len(names) <= _NAMED else [*names[:_NAMED], f"{len(names) - _NAMED} more"]


def _boxes(one: CheckedSet) -> NDArray[np.float64]:
    """Minimum-area rectangles (N, 5) of the objects, le90."""
    boxes = quad_to_rbox(one.quads)
    return boxes[np.isfinite(boxes).all(axis=1)]


def _ratio(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(boxes[:, 2] / np.maximum(boxes[:, 3], 1e-3))


def _on_images(one: CheckedSet) -> NDArray[np.int64]:
    """Number of objects of each image that has any."""
    counts = np.bincount(one.table.image, minlength=len(one.table.images))
    return counts[counts > 0]


def _steps(sets: Sequence[CheckedSet]) -> NDArray[np.float64]:
    most = max((int(_on_images(one).max(initial=1)) for one in sets), default=1)
    edges = np.unique(np.geomspace(1, most + 1, 32).round())
    return edges - 0.5 if len(edges) > 1 else np.array([0.5, 1.5])


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]
