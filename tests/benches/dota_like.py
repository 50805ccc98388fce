"""Makes a set of annotations and detections of the size and density of DOTA-v1.0 val.

    python tests/benches/dota_like.py FOLDER [--images 458] [--objects 28853] [--detections 339320] [--seed 0]

writes FOLDER/labelTxt/<image>.txt and FOLDER/Task1/Task1_<class>.txt. Everything is drawn from the seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rotx.annotations.classes import DOTA_V1_0
from rotx.geometry import rbox_to_quad

# Share of the objects and typical long side in pixels, roughly as in DOTA-v1.0 val.
SHARES = np.array([9, 1, 2, 0.5, 19, 15, 31, 2.6, 0.5, 10, 0.5, 0.6, 7.5, 1.5, 0.3])
SIDES = np.array([70, 70, 60, 230, 22, 45, 40, 80, 100, 30, 190, 80, 90, 40, 50])
ASPECTS = np.array([1.1, 1, 3, 1.6, 2.1, 3.3, 2.8, 1.9, 1.8, 1, 1.4, 1, 3.5, 1.3, 1.8])


def make_boxes(
    images: int, objects: int, detections: int, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Objects and detections as arrays: ``boxes`` (N, 5), ``image``, ``label``, and ``difficult`` or ``scores``."""
    rng = np.random.default_rng(seed)
    side = rng.uniform(800, 4000, images)
    crowding = rng.lognormal(0, 1.5, images)  # a few images hold most of the objects
    image = np.sort(rng.choice(images, objects, p=crowding / crowding.sum()))
    label = rng.choice(len(SHARES), objects, p=SHARES / SHARES.sum())
    long_side = SIDES[label] * rng.lognormal(0, 0.25, objects)
    short_side = long_side / (ASPECTS[label] * rng.lognormal(0, 0.1, objects))
    centre = rng.uniform(0, 1, (objects, 2)) * side[image, None]
    boxes = np.column_stack([centre, long_side, short_side, rng.uniform(-np.pi / 2, np.pi / 2, objects)])
    truth = {"boxes": boxes, "image": image, "label": label, "difficult": (rng.random(objects) < 0.08).astype(int)}

    # A third of the detections lie about an object, the better the higher their score; the rest anywhere.
    near = rng.random(detections) < 1 / 3
    source = rng.integers(objects, size=detections)
    found = boxes[source] + rng.normal(0, 1, (detections, 5)) * [0.07, 0.07, 0.08, 0.08, 0.05] * (
        np.column_stack([long_side[source], short_side[source], long_side[source], short_side[source], near])
    )
    found[~near, :2] = rng.uniform(0, 1, ((~near).sum(), 2)) * side[image[source[~near]], None]
    scores = np.where(near, rng.beta(4, 2, detections), rng.beta(1, 8, detections))
    results = {"boxes": found, "image": image[source], "label": label[source], "scores": scores}
    return truth, results


def scene_of(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detections on one image, as large as they need: twelve an object, 1,700 objects to 4,000 x 4,000 pixels.

    Returns:
        Boxes (N, 5), scores (N,) and the object (N,) that each is of.
    """
    objects = count // 12
    side = 4000 * np.sqrt(objects / 1700)
    sizes = np.column_stack([33 * rng.lognormal(0, 0.5, objects), 16 * rng.lognormal(0, 0.3, objects)])
    boxes = np.column_stack([rng.uniform(0, side, (objects, 2)), sizes, rng.uniform(-2, 2, objects)])
    source = rng.integers(objects, size=count)
    spread = np.column_stack([sizes[source], sizes[source], np.ones(count)]) * 0.1
    return boxes[source] + rng.normal(0, 1, (count, 5)) * spread, rng.random(count), source


def write(folder: Path, images: int, objects: int, detections: int, seed: int = 0) -> None:
    """Writes such a set in DOTA's formats."""
    truth, results = make_boxes(images, objects, detections, seed)
    names = [f"P{i:04d}" for i in range(images)]
    labels, task1 = folder / "labelTxt", folder / "Task1"
    labels.mkdir(parents=True, exist_ok=True)
    task1.mkdir(exist_ok=True)
    lines: list[list[str]] = [["imagesource:GoogleEarth", "gsd:0.15"] for _ in names]
    quads = rbox_to_quad(truth["boxes"]).round(1)
    for image, label, difficult, quad in zip(
        truth["image"], truth["label"], truth["difficult"], quads.tolist(), strict=True
    ):
        lines[image].append(f"{' '.join(map(str, quad))} {DOTA_V1_0[label]} {difficult}")
    for name, text in zip(names, lines, strict=True):
        (labels / f"{name}.txt").write_text("\n".join(text) + "\n")
    quads = rbox_to_quad(results["boxes"])
    for label, name in enumerate(DOTA_V1_0):
        rows = np.flatnonzero(results["label"] == label)
        with (task1 / f"Task1_{name}.txt").open("w") as file:
            for i in rows.tolist():
                corners = " ".join(f"{v:.2f}" for v in quads[i].tolist())
                file.write(f"{names[results['image'][i]]} {results['scores'][i]:.10f} {corners}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=458)
    parser.add_argument("--objects", type=int, default=28_853)
    parser.add_argument("--detections", type=int, default=339_320)
    parser.add_argument("--seed", type=int, default=0)
    write(**vars(parser.parse_args()))
