"""Slow, obvious implementations to compare with: the rules as the protocols state them, one by one."""

from __future__ import annotations

import math

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


def bilinear(plane: np.ndarray, x: float, y: float) -> float:
    """The value at a point of a plane (H, W): 0 outside by more than a pixel, that of the border up to there."""
    height, width = plane.shape
    if not (-1 <= x <= width and -1 <= y <= height):
        return 0.0
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    dx, dy = x - left, y - top
    above = plane[top, left] * (1 - dx) + plane[top, right] * dx
    below = plane[bottom, left] * (1 - dx) + plane[bottom, right] * dx
    return above * (1 - dy) + below * dy


def roi_align_rotated(
    images: np.ndarray,
    rois: np.ndarray,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    clockwise: bool,
) -> np.ndarray:
    """The features (K, C, rows, columns) of rois (K, 6) in images (N, C, H, W), number by number."""
    rows, columns = output_size
    out = np.zeros((len(rois), images.shape[1], rows, columns))
    for k, (image, cx, cy, w, h, angle) in enumerate(rois):
        cx, cy = (v * spatial_scale - 0.5 * aligned for v in (cx, cy))
        w, h = (v * spatial_scale if aligned else max(v * spatial_scale, 1.0) for v in (w, h))
        sin, cos = math.sin(angle if clockwise else -angle), math.cos(angle)
        down, across = (sampling_ratio or math.ceil(v) for v in (h / rows, w / columns))
        for c, row, column in np.ndindex(images.shape[1], rows, columns):
            total = 0.0
            for i, j in np.ndindex(down, across):
                v = ((row + (i + 0.5) / down) / rows - 0.5) * h
                u = ((column + (j + 0.5) / across) / columns - 0.5) * w
                total += bilinear(images[int(image), c], cx + u * cos - v * sin, cy + u * sin + v * cos)
            out[k, c, row, column] = total / max(down * across, 1)
    return out
