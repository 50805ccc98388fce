"""The baselines of the benches of tiles: what one writes first, with OpenCV and shapely, on one core.

python tests/benches/obvious.py split IMAGES LABELS OUT    windows of 1024 pixels that share 200, as PNG
python tests/benches/obvious.py merge TASK1 OUT            results on such patches, IoU 0.1
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import shapely

SIZE, GAP, LEAST_IOF = 1024, 200, 0.7
MERGE_IOU = 0.1
PADDING = (104, 116, 124)


def starts(length: int) -> list[int]:
    """Where windows start along a side."""
    if length <= SIZE:
        return [0]
    return [*range(0, length - SIZE, SIZE - GAP), length - SIZE]


def split(images: Path, labels: Path, out: Path) -> None:
    """Reads each image, cuts all its windows, and writes them and their objects."""
    for name in ("images", "annfiles"):
        (out / name).mkdir(parents=True)
    for path in sorted(images.iterdir()):
        image = cv2.imread(str(path))
        objects = read_objects(labels / f"{path.stem}.txt")
        for x in starts(image.shape[1]):
            for y in starts(image.shape[0]):
                patch = np.empty((SIZE, SIZE, 3), np.uint8)
                patch[:] = PADDING
                part = image[y : y + SIZE, x : x + SIZE]
                patch[: part.shape[0], : part.shape[1]] = part
                name = f"{path.stem}__{SIZE}__{x}___{y}"
                cv2.imwrite(str(out / "images" / f"{name}.png"), patch)
                (out / "annfiles" / f"{name}.txt").write_text(cut(objects, x, y))


def read_objects(path: Path) -> list[tuple[list[float], str, str]]:
    if not path.exists():
        return []
    rows = [line.split() for line in path.read_text().splitlines() if len(line.split()) == 10]
    return [([float(v) for v in row[:8]], row[8], row[9]) for row in rows]


def cut(objects: list[tuple[list[float], str, str]], x: int, y: int) -> str:
    """The lines of the objects that lie in a window by enough of their area."""
    window, lines = shapely.box(x, y, x + SIZE, y + SIZE), []
    for quad, name, difficult in objects:
        polygon = shapely.Polygon(np.reshape(quad, (4, 2)))
        if not polygon.is_valid:
            polygon = polygon.convex_hull
        inside = polygon.intersection(window).area / max(polygon.area, 1e-9)
        if inside >= LEAST_IOF:
            moved = " ".join(str(v - (x, y)[i % 2]) for i, v in enumerate(quad))
            lines.append(f"{moved} {name} {difficult if inside > 1 - 1e-9 else 2}\n")
    return "".join(lines)


def merge(results: Path, out: Path) -> None:
    """Suppresses the detections of each class and image, best first, each against those that are kept."""
    out.mkdir(parents=True)
    pattern = re.compile(r"(.+)__\d+__(-?\d+)___(-?\d+)$")
    for path in sorted(results.glob("Task1_*.txt")):
        found: dict[str, list[tuple[float, list[float]]]] = defaultdict(list)
        for line in path.read_text().splitlines():
            patch, *numbers = line.split()
            image, x, y = pattern.match(patch).groups()
            score, *quad = map(float, numbers)
            found[image].append((score, [v + float((x, y)[i % 2]) for i, v in enumerate(quad)]))
        with (out / path.name).open("w") as file:
            for image, rows in found.items():
                for score, quad in suppressed(rows):
                    file.write(f"{image} {score} {' '.join(map(str, quad))}\n")


def suppressed(rows: list[tuple[float, list[float]]]) -> list[tuple[float, list[float]]]:
    rows = sorted(rows, key=lambda row: -row[0])
    quads = np.array([quad for _, quad in rows]).reshape(-1, 4, 2)
    polygons = shapely.polygons(quads)
    bounds = np.hstack([quads.min(1), quads.max(1)])
    kept: list[int] = []
    for i, polygon in enumerate(polygons):
        others = bounds[kept]
        near = (others[:, :2] < bounds[i, 2:]).all(1) & (others[:, 2:] > bounds[i, :2]).all(1)
        for j in np.flatnonzero(near).tolist():
            shared = polygon.intersection(polygons[kept[j]]).area
            if shared > MERGE_IOU * (polygon.area + polygons[kept[j]].area - shared):
                break
        else:
            kept.append(i)
    return [rows[i] for i in kept]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    {"split": split, "merge": merge}[sys.argv[1]](*map(Path, sys.argv[2:]))
