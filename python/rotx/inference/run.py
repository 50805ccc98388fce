"""A run over many images and videos: looked at one by one, noted in a journal, written at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rotx.atomic import remove_leftovers
from rotx.images.draw import Image, draw_boxes
from rotx.images.files import UnreadableImage
from rotx.inference.inputs import Input, frame_name
from rotx.inference.journal import Item, Journal
from rotx.inference.large import Look, find_whole, merge_windows, windows_found
from rotx.inference.outputs import Result, check, draw, open_writers
from rotx.inference.predictor import Predictor
from rotx.inference.video import Video, film
from rotx.tiling.windowed_image import WindowedImage

#: The journal's file, in the folder of the outputs.
JOURNAL = ".progress"


@dataclass
class Report:
    """What a run has done.

    Attributes:
        images: how many images and frames were looked at.
        counts: (K,) objects of each class.
        failed: why a file could not be read, or not to its end.
        earlier: how many of the images an earlier run had looked at.
        files: that were written, and folders of such.
    """

    images: int
    counts: NDArray[np.int64]
    failed: dict[Path, str]
    earlier: int
    files: list[Path] = field(default_factory=list)


def run(
    predictor: Predictor,
    inputs: Sequence[Input],
    out: Path,
    look: Look,
    *,
    formats: Sequence[str],
    show_dir: Path | None,
    bound: Mapping[str, Any],
    progress: bool = False,
) -> Report:
    """Looks at all inputs and writes what is found; a run that was stopped goes on where it was.

    Args:
        predictor: the detector.
        inputs: image files and videos.
        out: folder of the outputs; made if it is not there.
        look: how to look at an image.
        formats: of `rotx.inference.outputs.FORMATS`.
        show_dir: folder for drawn pictures; None: none.
        bound: what the results depend on: a run that was stopped is continued only with the same.
        progress: whether to show bars.

    Raises:
        ValueError: for what the formats cannot hold, and if another run has not ended in ``out``.
        OSError: if an output cannot be written; the run can be continued.
    """
    check(formats, [(one.name, one.path) for one in inputs], predictor.classes)
    originals = {one.path.resolve() for one in inputs}
    if show_dir is not None and any(_drawn(one, show_dir).resolve() in originals for one in inputs):
        raise ValueError(f"{show_dir}: pictures would take the place of inputs: name another folder to show")
    if "yolo" in formats and any(out.resolve() in original.parents for original in originals):
        raise ValueError(f"{out}: holds inputs, and perhaps their labels, which yolo would replace: name another --out")
    for folder in (out, show_dir):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    failed: dict[Path, str] = {}
    with Journal(out / JOURNAL, bound) as journal:
        earlier = len(journal)
        looking = _Looking(predictor, journal, look, progress)
        for one in tqdm(inputs, unit="file", leave=False, disable=not progress):
            try:
                looking.at(one)
            except UnreadableImage as error:
                failed[one.path] = error.reason
        looking.flush()
        report = Report(0, np.zeros(len(predictor.classes), np.int64), failed, earlier)
        _write(predictor, journal, inputs, out, formats, report, progress)
        if show_dir is not None:
            _show(predictor, journal, inputs, show_dir, report, progress)
            report.files.append(show_dir)
    journal.remove()
    return report


class _Looking:
    """Looks at images; those of one size that follow each other make a batch."""

    def __init__(self, predictor: Predictor, journal: Journal, look: Look, progress: bool) -> None:
        self.predictor, self.journal, self.look, self.progress = predictor, journal, look, progress
        self.items: list[Item] = []
        self.pixels: list[Image] = []

    def at(self, one: Input) -> None:
        """Looks at an input, unless the journal has it."""
        if one.is_video:
            self._video(one)
        elif not self.journal.has_image(one.name, one.stamp):
            self._image(one.name, one.stamp, one.path, WindowedImage(one.path))

    def flush(self) -> None:
        """Looks at the images that wait for a batch to be full."""
        if self.items:
            tables = find_whole(self.predictor, self.pixels, self.look)
            self.journal.add_images(self.items, tables)
            self.items, self.pixels = [], []

    def _video(self, one: Input) -> None:
        video, first, stamp = Video(one.path), 0, one.stamp
        while self.journal.has_image(frame_name(one, first), stamp):
            first += 1
        frames = video.frames(first)
        bar = tqdm(
            frames, total=video.count or None, initial=first, unit="frame", leave=False, disable=not self.progress
        )
        for number, pixels in bar:
            self._image(frame_name(one, number), stamp, one.path, WindowedImage(pixels))
        self.flush()

    def _image(self, name: str, stamp: tuple[int, int], path: Path, image: WindowedImage) -> None:
        item = Item(name, stamp, image.width, image.height)
        try:
            windows = self.look.windows(image)
        except ValueError as error:
            raise UnreadableImage(path, str(error)) from None
        if len(windows) > 1:
            self.flush()
            self._large(item, image, windows)
            return
        pixels = image.whole()
        if self.pixels and self.pixels[0].shape != pixels.shape:
            self.flush()
        self.items.append(item)
        self.pixels.append(pixels)
        if len(self.items) == self.look.batch_size:
            self.flush()

    def _large(self, item: Item, image: WindowedImage, windows: NDArray[np.int64]) -> None:
        batches = self.journal.windows(item.name, item.stamp)
        for found in windows_found(self.predictor, image, windows, self.look, len(batches), self.progress):
            self.journal.add_windows(item, found)
            batches.append(found)
        self.journal.add_images([item], [merge_windows(self.predictor, batches, windows, image)])


def _results(predictor: Predictor, journal: Journal, inputs: Sequence[Input]) -> Iterator[tuple[Input, Result]]:
    """What is known of each image and frame, in the order of the inputs."""
    for one in inputs:
        number, stamp = 0, one.stamp
        while known := journal.image(frame_name(one, number) if one.is_video else one.name, stamp):
            item, table = known
            yield one, Result(one.path, item.name, item.width, item.height, predictor.named(item.name, table))
            number += 1
            if not one.is_video:
                break


def _write(
    predictor: Predictor,
    journal: Journal,
    inputs: Sequence[Input],
    out: Path,
    formats: Sequence[str],
    report: Report,
    progress: bool,
) -> None:
    """Writes the outputs, and counts."""
    writers = open_writers(formats, out, predictor.classes)
    results = _results(predictor, journal, inputs)
    try:
        for _, result in tqdm(results, total=len(journal), desc="write", leave=False, disable=not progress):
            for writer in writers:
                writer.add(result)
            report.images += 1
            report.counts += np.bincount(result.prediction.labels, minlength=len(report.counts))
        for writer in writers:
            report.files += writer.close()
    except BaseException:
        for writer in writers:
            writer.discard()
        raise


def _show(
    predictor: Predictor, journal: Journal, inputs: Sequence[Input], folder: Path, report: Report, progress: bool
) -> None:
    """Writes pictures of images, and films of videos, with what was found."""
    images = [one for one in inputs if not one.is_video]
    remove_leftovers(*(_drawn(one, folder) for one in images))
    results = _results(predictor, journal, images)
    for one, result in tqdm(results, total=len(images), desc="draw", leave=False, disable=not progress):
        try:
            draw(result, _drawn(one, folder))
        except UnreadableImage as error:  # it was there when it was looked at
            report.failed[one.path] = f"has no picture: {error.reason}"
    for one in inputs:
        if one.is_video:
            try:
                _film(predictor, journal, one, _drawn(one, folder))
            except UnreadableImage as error:
                report.failed.setdefault(one.path, f"has no film: {error.reason}")


def _drawn(one: Input, folder: Path) -> Path:
    """Where the picture of an image, or the film of a video, goes."""
    return folder / f"{one.name}{'.mp4' if one.is_video else '.jpg'}"


def _film(predictor: Predictor, journal: Journal, one: Input, path: Path) -> None:
    video = Video(one.path)
    frames = iter(video.frames())
    with film(path, video.rate) as made:
        for _, result in _results(predictor, journal, [one]):
            _, frame = next(frames)
            found = result.prediction
            captions = [f"{name} {score:.2f}" for name, score in zip(found.classes, found.scores, strict=True)]
            made.add(draw_boxes(frame, found.rboxes, found.labels, captions, found.classes))
