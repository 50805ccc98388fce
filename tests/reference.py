"""Slow, obvious implementations to compare with: the rules as the protocols state them, one by one."""

from __future__ import annotations

import numpy as np
import shapely


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two simple quads (8,), by shapely."""
    p, q = shapely.Polygon(a.reshape(4, 2)), shapely.Polygon(b.reshape(4, 2))
    common = shapely.intersection(p, q, grid_size=1e-9).area
    return common / (p.area + q.area - common)


def voc_curve(truth: list, found: list, threshold: float, *, strict: bool = True) -> tuple[list, list, int]:
    """Recall and precision of one class as the DOTA devkit finds them, and the number of objects.

    ``truth``: (image, quad, difficult) of each object; ``found``: (image, quad, score) of each detection.
    """
    taken: set[int] = set()
    count = sum(not difficult for _, _, difficult in truth)
    tp, fp, recall, precision = 0, 0, [], []
    for image, quad, _ in sorted(found, key=lambda f: -f[2]):
        best, best_iou = -1, -np.inf
        for i, (its_image, its_quad, _) in enumerate(truth):
            if its_image == image and (value := iou(its_quad, quad)) > best_iou:
                best, best_iou = i, value
        passes = best_iou > threshold if strict else best_iou >= threshold
        if passes and truth[best][2]:
            pass  # a difficult object: the detection does not count
        elif passes and best not in taken:
            taken.add(best)
            tp += 1
        else:
            fp += 1
        recall.append(tp / count if count else 0.0)
        precision.append(tp / max(tp + fp, 1e-16))
    return recall, precision, count


def voc07(recall: list, precision: list) -> float:
    """The mean of the best precision at 11 recalls."""
    total = 0.0
    for t in np.arange(0.0, 1.1, 0.1):
        total += max((p for r, p in zip(recall, precision, strict=True) if r >= t), default=0.0) / 11
    return total


def voc12(recall: list, precision: list) -> float:
    """The area under the monotone envelope."""
    area, before = 0.0, 0.0
    for i, r in enumerate(recall):
        area += (r - before) * max(precision[i:])
        before = r
    return area
