"""Drawing images of a dataset with their objects, as annotated or as training sees them. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rotx.annotations.check.sets import CheckedSet
from rotx.atomic import paths_inside, write_bytes
from rotx.compat import build
from rotx.datasets.dataset import Dataset
from rotx.datasets.sample import Sample, keep_sound
from rotx.datasets.transforms.colors import Normalize
from rotx.images.draw import class_colour, draw_quads
from rotx.images.files import UnreadableImage
from rotx.images.preview import preview
from rotx.images.window_cache import open_image

Pixels = NDArray[np.uint8]

#: Images with a longer side, in pixels, are drawn smaller.
LONGEST = 2048
_HEAD = 22  # height in pixels of a line of text above a picture


def browse(checked: CheckedSet, out: str | Path, number: int = 20, seed: int | None = None) -> tuple[int, list[str]]:
    """Draws images with their objects to ``out``/<name>.jpg; difficult and truncated objects are dashed.

    Args:
        checked: The dataset.
        out: Folder to write to, made if it does not exist; files of the same names are replaced.
        number: Greatest number of images to draw.
        seed: Seed for a random choice of images; None: evenly spaced, by name.

    Returns:
        The number of images written, and the reasons why others were not.

    Raises:
        ValueError: If no image has a file, or ``out`` holds images of the dataset.
        OSError: If a file cannot be written.
    """
    there = sorted((i for i, path in enumerate(checked.table.paths) if path), key=lambda i: checked.table.images[i])
    if not there:
        raise ValueError(f"{checked.name}: none of its images is found; name their folder with --images")
    rows = np.argsort(checked.table.image, kind="stable")
    starts = np.searchsorted(checked.table.image[rows], np.arange(len(checked.table.images) + 1))

    def picture(i: int) -> Pixels:
        path = checked.table.paths[i]
        assert path is not None
        whole = open_image(path)
        image = preview(path, LONGEST)
        factors = image.shape[1] / whole.width, image.shape[0] / whole.height
        mine = rows[starts[i] : starts[i + 1]]
        quads, labels = (checked.quads[mine] + 0.5) * np.tile(factors, 4) - 0.5, checked.table.label[mine]
        _draw(image, quads, labels, checked.table.classes, checked.table.difficult[mine] > 0)
        titles = [checked.table.images[i], f"{whole.width} x {whole.height}"]
        return _headed(image, titles, labels, checked.table.classes)

    chosen = [there[i] for i in _choose(len(there), number, seed)]
    return _write(Path(out), {checked.table.images[i]: i for i in chosen}, picture, filter(None, checked.table.paths))


def browse_training(
    config: Mapping[str, Any], out: str | Path, number: int = 20, seed: int | None = None, draws: int = 1
) -> tuple[int, list[str]]:
    """Draws training images of a config after its pipeline; see :func:`browse`.

    Objects that training drops are not drawn; objects that it ignores are dashed.

    Args:
        config: The config, as returned by :func:`rotx.compat.load_config`.
        out, number, seed: See :func:`browse`; the seed also drives the transforms.
        draws: Number of augmented views of each image, drawn side by side.

    Returns:
        As for :func:`browse`.

    Raises:
        ValueError: If the config has no valid training dataset, or ``out`` holds its images.
        OSError: If a file cannot be written.
    """
    loader = config.get("train_dataloader")
    if not isinstance(loader, Mapping) or "dataset" not in loader:
        raise ValueError("has no train_dataloader.dataset")
    dataset: Dataset = build(loader["dataset"], "train_dataloader.dataset")

    def picture(i: int) -> Pixels:
        shown = []
        for draw in range(draws):
            sample = dataset.sample(i, np.random.default_rng((seed or 0, i, draw)))
            if 0 in sample.size:
                raise ValueError("train_dataloader.dataset.pipeline: loads no image; add LoadImageFromFile")
            keep_sound(sample)
            shown.append(_draw_sample(sample, dataset))
        height = max(one.shape[0] for one in shown)
        padded = [cv2.copyMakeBorder(one, 0, height - one.shape[0], 0, 4, cv2.BORDER_CONSTANT) for one in shown]
        return np.hstack(padded)

    names = {dataset.record(i).name: i for i in _choose(len(dataset), number, seed)}
    return _write(Path(out), names, picture, (dataset.record(i).path for i in range(len(dataset))))


def _draw_sample(sample: Sample, dataset: Dataset) -> Pixels:
    """Draws a sample with its objects, under lines of text."""
    image = np.ascontiguousarray(_visible(sample.image, dataset.transforms))
    found = sample.instances
    _draw(image, found.quads, found.labels, dataset.classes, found.ignored)
    height, width = sample.size
    lost = [f"{count} {reason}" for reason, count in sample.dropped.items()]
    titles = [sample.record.name, f"{width} x {height}", *lost]
    return _headed(image, titles, found.labels, dataset.classes)


def _visible(image: NDArray[Any], transforms: Sequence[Any]) -> Pixels:
    """The image of a sample, (H, W, 3) uint8, BGR; undoes Normalize."""
    for transform in reversed(transforms):
        if image.dtype != np.uint8 and isinstance(transform, Normalize):
            image = image * transform.std + transform.mean
            image = image[:, :, ::-1] if transform.to_rgb else image
    return image.clip(0, 255).round().astype(np.uint8)


def _choose(count: int, number: int, seed: int | None) -> list[int]:
    """Chooses ``number`` of ``count`` indices; ascending."""
    number = min(number, count)
    if seed is None:
        return [round(i) for i in np.linspace(0, count - 1, number).tolist()]
    return sorted(np.random.default_rng(seed).choice(count, number, replace=False).tolist())


def _draw(
    image: Pixels,
    quads: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    classes: Sequence[str],
    dashed: NDArray[np.bool_],
) -> None:
    finite = np.asarray(np.isfinite(quads).all(axis=1))
    quads, labels, dashed = quads[finite], labels[finite], dashed[finite]
    captions = [classes[label] for label in labels.tolist()]
    draw_quads(image, quads, labels, captions, dashed=dashed)


def _headed(image: Pixels, titles: Sequence[str], labels: NDArray[np.integer[Any]], classes: Sequence[str]) -> Pixels:
    """Adds lines above an image: titles, and the number of objects of each class in the colour of the class."""
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    words = [(title, (255, 255, 255)) for title in titles]
    words += [(f"{classes[i]} {count}", class_colour(i)) for i, count in enumerate(counts) if count]
    lines: list[list[tuple[int, str, tuple[int, int, int]]]] = [[]]
    x = 4
    for text, colour in words:
        width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0]
        if lines[-1] and x + width > image.shape[1]:
            lines.append([])
            x = 4
        lines[-1].append((x, text, colour))
        x += width + 14
    head = np.full((_HEAD * len(lines), image.shape[1], 3), 32, np.uint8)
    for i, line in enumerate(lines):
        for x, text, colour in line:
            cv2.putText(head, text, (x, _HEAD * i + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return np.concatenate([head, image])


def _write(
    out: Path, names: Mapping[str, int], picture: Callable[[int], Pixels], images: Iterable[Path]
) -> tuple[int, list[str]]:
    """Writes pictures; raises ValueError if one could replace an image of the dataset."""
    files = dict(zip(paths_inside(out, list(names), ".jpg"), names.values(), strict=True))
    theirs = {folder.resolve() for folder in {image.parent for image in images}}
    for folder in {file.parent for file in files}:
        if folder.resolve() in theirs:
            raise ValueError(f"{folder}: holds images of the dataset, which could be replaced; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    problems = []
    for file, i in tqdm(files.items(), desc="pictures", unit="image", leave=False, delay=1, disable=None):
        try:
            content = cv2.imencode(".jpg", picture(i))[1].tobytes()
        except UnreadableImage as error:
            problems.append(str(error))
            continue
        file.parent.mkdir(parents=True, exist_ok=True)  # image names may contain folders
        write_bytes(file, content)
    return len(files) - len(problems), problems
