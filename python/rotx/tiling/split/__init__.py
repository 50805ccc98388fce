"""Splitting large images and their annotations into patches, as MMRotate's ``img_split.py`` does. Needs no torch.

`inputs` finds images and objects, `folder` manages the output folder, `config` reads MMRotate's settings;
decoding, cutting and encoding are in ``rust/core/src/split``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rotx import _rust
from rotx.geometry import thread_count
from rotx.images.files import UnreadableImage
from rotx.images.window_cache import Pixels, open_image
from rotx.tiling.split.folder import Folder
from rotx.tiling.split.inputs import Input, Objects, find_inputs
from rotx.tiling.windows import TRUNCATED, Tiling, move_quads, patch_name

__all__ = ["EXTENSIONS", "SplitReport", "split"]

#: File formats of patches.
EXTENSIONS = (".png", ".jpg")


@dataclass(frozen=True)
class SplitReport:
    """Result of a split.

    Attributes:
        totals: Counts over all images: ``images``, ``patches``, and with annotations ``objects``, ``in_patches``
            (an object counts in each of its patches) and ``in_no_patch`` (for each reason).
        failed: Reason of each image that could not be split, by file.
        earlier: Number of images that an earlier run had split.
        notices: Notes for the user, one sentence each.
    """

    totals: dict[str, Any]
    failed: dict[str, str]
    earlier: int = 0
    notices: list[str] = field(default_factory=list)


def split(
    folders: Sequence[tuple[str | Path, str | Path | None]],
    out: str | Path,
    tiling: Tiling | None = None,
    *,
    ext: str = ".png",
    jobs: int | None = None,
    progress: bool = False,
) -> SplitReport:
    """Writes the patches of images to ``OUT/images`` and their objects to ``OUT/annfiles``.

    An image that cannot be read is skipped and reported. Calling again with the same arguments resumes a killed run and
    retries failed images; the files are then the same as those of an uninterrupted run.

    Args:
        folders: Image folders, each with its annotations (anything `rotx.annotations.formats.read_annotations` reads).
            If all annotations are None, none are written.
        out: A new or empty folder, or one that an earlier run has begun.
        tiling: Settings of the windows; None: ``Tiling()``.
        ext: File format of the patches, ``".png"`` or ``".jpg"``.
        jobs: Number of threads; None: one per core.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: For bad arguments or annotations, and if ``out`` holds anything else.
        OSError: If a folder cannot be read, or a file cannot be written.
    """
    tiling, threads = tiling or Tiling(), thread_count(jobs)
    if ext not in EXTENSIONS:
        raise ValueError(f"save_ext: need {' or '.join(EXTENSIONS)}, got {ext!r}")
    inputs, notices = find_inputs(folders, jobs)
    annotated = any(annotations is not None for _, annotations in folders)
    settings = {**asdict(tiling), "save_ext": ext, "annotations": annotated}
    failed: dict[str, str] = {}
    with Folder(Path(out), settings) as folder:
        records = folder.begin({image.file: image.fingerprint for image in inputs})
        earlier, done = len(records), sum(record["patches"] for record in records.values())
        plans = [plan for image in inputs if image.file not in records and (plan := _plan(image, tiling, failed))]
        if not folder.complete:
            total = done + sum(len(plan.windows) for plan in plans)
            with tqdm(total=total, initial=done, unit="patch", leave=False, disable=not progress or None) as bar:
                _run(plans, folder, tiling, threads, records, failed, bar)
            folder.finish([records[image.file] for image in inputs if image.file in records], failed)
    return SplitReport(folder.totals, failed, earlier, notices)


@dataclass(eq=False)
class _Plan:
    """An image to split: its size in pixels, its windows (W, 4), and whether Rust can read it."""

    image: Input
    width: int
    height: int
    windows: NDArray[np.int64]
    by_core: bool


def _plan(image: Input, tiling: Tiling, failed: dict[str, str]) -> _Plan | None:
    try:
        if not image.path.is_file():  # opening a pipe would block
            raise ValueError("is not a regular file")
        reader = open_image(image.path)
        windows = tiling.windows(reader.width, reader.height)
    except (ValueError, OSError) as error:
        failed[image.file] = error.reason if isinstance(error, UnreadableImage) else str(error)
        return None
    return _Plan(image, reader.width, reader.height, windows, isinstance(reader, _rust.ImageReader))


def _decode(path: Path) -> Pixels:
    """Decodes an image that Rust does not read; raises ValueError, without the name, if that fails."""
    try:
        reader = open_image(path)
        return reader.read(0, 0, reader.width, reader.height)
    except UnreadableImage as error:
        raise ValueError(error.reason) from None


def _run(
    plans: list[_Plan],
    folder: Folder,
    tiling: Tiling,
    threads: int,
    records: dict[str, dict[str, Any]],
    failed: dict[str, str],
    bar: tqdm[Any],
) -> None:
    """Splits images and adds them to ``records`` or ``failed``."""
    begun: dict[int, dict[str, Any]] = {}

    def images() -> Iterator[Any]:
        for number, plan in enumerate(plans):
            begun[number], row = _cut(plan, folder, tiling)
            yield row

    def report(what: str, number: int, reason: str) -> None:
        file = plans[number].image.file
        if what == "patch":
            bar.update()
        elif what == "failed":
            failed[file] = reason
            del begun[number]
        else:
            records[file] = begun.pop(number)
            folder.note(records[file])

    blue, green, red = tiling.padding_value
    padding = None if tiling.no_padding else (red, green, blue)
    _rust.split_images(images(), folder.ext == ".jpg", padding, threads, report)


def _cut(plan: _Plan, folder: Folder, tiling: Tiling) -> tuple[dict[str, Any], Any]:
    """Returns the manifest record of an image, and the arguments for Rust."""
    image, windows, objects = plan.image, plan.windows, plan.image.objects
    record: dict[str, Any] = {"file": image.file, **image.fingerprint, "width": plan.width, "height": plan.height}
    record["patches"] = len(windows)
    names = [patch_name(image.name, window) for window in windows.tolist()]
    labels: list[tuple[str, str] | None] = [None] * len(names)
    if objects is not None:
        window, index, truncated = tiling.cut(objects.quads, windows)
        lines = _lines(objects, windows[window, :2], index, truncated)
        starts = np.searchsorted(window, np.arange(len(names) + 1)).tolist()
        texts = ["".join(lines[a:b]) for a, b in pairwise(starts)]
        labels = [(folder.annotation(name), text) for name, text in zip(names, texts, strict=True)]
        missing = np.setdiff1d(np.arange(len(objects.quads)), index)
        record |= {"objects": len(objects.quads), "in_patches": len(index)}
        record["in_no_patch"] = _reasons(objects.quads[missing], plan.width, plan.height)
    rows = zip(map(tuple, windows.tolist()), map(folder.image, names), labels, strict=True)
    source = image.path if plan.by_core else partial(_decode, image.path)
    return record, (source, (plan.width, plan.height), list(rows))


def _lines(
    objects: Objects, corners: NDArray[np.int64], index: NDArray[np.uint32], truncated: NDArray[np.bool_]
) -> list[str]:
    """Formats objects, given by indices (M,), as lines of the windows with top left corners (M, 2)."""
    quads = move_quads(objects.quads[index], corners).tolist()
    difficult = np.where(truncated, TRUNCATED, objects.difficult[index]).tolist()
    classes = [objects.classes[label] for label in objects.labels[index].tolist()]
    rows = zip(quads, classes, difficult, strict=True)
    return [f"{' '.join(map(repr, quad))} {name} {level}\n" for quad, name, level in rows]


def _reasons(quads: NDArray[np.float64], width: int, height: int) -> dict[str, int]:
    """Counts the reasons why objects (N, 8) are on no patch."""
    everywhere = np.array([[-(1 << 40), -(1 << 40), 1 << 40, 1 << 40]])
    with_area = np.unique(_rust.tile_cut(quads, everywhere, 0.0)[1])
    x, y = quads[with_area, 0::2], quads[with_area, 1::2]
    outside = (x.max(1) <= 0) | (x.min(1) >= width) | (y.max(1) <= 0) | (y.min(1) >= height)
    return {
        "no area": len(quads) - len(with_area),
        "outside the image": int(outside.sum()),
        "cut by every window": int((~outside).sum()),
    }
