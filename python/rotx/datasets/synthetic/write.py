"""Writing scenes as a DOTA-style dataset: images and labelTxt for training and validation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from rotx.atomic import write_text
from rotx.datasets.synthetic.objects import CLASSES
from rotx.datasets.synthetic.scene import LEAST_SIZE, Scene, make_scene

#: File with the settings of a generated dataset; a folder without it is never replaced.
MADE_BY = "synthetic.json"
SPLITS = ("train", "val")


def write_dataset(
    out: str | Path,
    *,
    train: int = 200,
    val: int = 60,
    size: int = 512,
    seed: int = 0,
    progress: Callable[[Iterable[tuple[str, int]]], Iterable[tuple[str, int]]] = iter,
) -> dict[str, int]:
    """Writes ``out``/{train,val}/{images,labelTxt}; replaces a dataset that this function wrote there before.

    Args:
        out: Folder to write to; made if it does not exist.
        train, val: Numbers of training and validation images.
        size: Side of the images in pixels, at least 128.
        seed: Random seed, not negative. An image depends on its number only, not on ``train`` and ``val``.
        progress: Wraps the iterable of images, (split, number) each, to show progress; such as tqdm.

    Returns:
        Number of objects of each class, including ``difficult`` ones.

    Raises:
        ValueError: If a number is out of range, or if ``out`` holds files that this function did not write.
        OSError: If a file cannot be written.
    """
    out = Path(out)
    if min(train, val) < 0 or train + val == 0:
        raise ValueError(f"train {train}, val {val}: need numbers of images, at least one in all")
    if size < LEAST_SIZE:
        raise ValueError(f"size: {size} pixels are too few for the objects; need {LEAST_SIZE} or more")
    if seed < 0:
        raise ValueError(f"seed: {seed} is negative")
    clear(out)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / MADE_BY, json.dumps({"train": train, "val": val, "size": size, "seed": seed}) + "\n")
    for split in SPLITS:
        for folder in ("images", "labelTxt"):
            (out / split / folder).mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(CLASSES, 0)
    for split, number in progress([("train", i) for i in range(train)] + [("val", i) for i in range(val)]):
        scene = make_scene(np.random.default_rng((seed, SPLITS.index(split), number)), size)
        name = f"{split}_{number:04d}"
        write_text(out / split / "labelTxt" / f"{name}.txt", label_text(scene))
        write_png(out / split / "images" / f"{name}.png", scene)
        for label in scene.labels.tolist():
            counts[CLASSES[label]] += 1
    return counts


def clear(out: Path) -> None:
    """Removes the files of an earlier dataset, and nothing else.

    Raises:
        ValueError: If the folder holds other files.
    """
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / MADE_BY).is_file():
        raise ValueError(f"{out}: holds files other than a synthetic dataset; name a new or empty folder")
    for split in SPLITS:
        for path in [*out.glob(f"{split}/images/{split}_*.png"), *out.glob(f"{split}/labelTxt/{split}_*.txt")]:
            path.unlink()


def label_text(scene: Scene) -> str:
    """Returns the text of the annotation file of a scene."""
    lines = ["imagesource:synthetic", "gsd:0.5"]
    for quad, label, difficult in zip(
        scene.quads.tolist(), scene.labels.tolist(), scene.difficult.tolist(), strict=True
    ):
        lines.append(f"{' '.join(f'{v:.1f}' for v in quad)} {CLASSES[label]} {difficult}")
    return "\n".join(lines) + "\n"


def write_png(path: Path, scene: Scene) -> None:
    """Writes the image of a scene as PNG, completely or not at all."""
    # Grain compresses poorly: this setting saves two thirds of the time for a third more bytes.
    done, data = cv2.imencode(".png", scene.image, [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE])
    if not done:
        raise OSError(f"{path}: OpenCV could not encode the image")
    temporary = path.with_suffix(".part")
    temporary.write_bytes(data.tobytes())
    temporary.replace(path)
