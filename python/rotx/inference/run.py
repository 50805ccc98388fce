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
from rotx.images.draw import Image
from rotx.images.files import UnreadableImage
from rotx.inference.inputs import InputFile, frame_name
from rotx.inference.journal import Journal, JournalImage
from rotx.inference.outputs import check, draw, open_writers
from rotx.inference.prediction import Prediction
from rotx.inference.predictor import Predictor
from rotx.inference.video import Video, film
from rotx.inference.windowed import WindowOptions, find_in_windows, find_whole, merge_windows
from rotx.records import ImageRecord
from rotx.tiling.windowed_image import WindowedImage

#: The journal's file, in the folder of the outputs.
JOURNAL = ".progress"


@dataclass
class RunReport:
    """What a run has done.

    Attributes:
        images: Number of images and frames that were looked at.
        counts: Number of objects of each class, (K,).
        failed: Why a file could not be read, or not to its end.
        earlier: Number of images that an earlier run had looked at.
        cut: Number of images that were cut into windows by this run.
        files: The files that were written, and folders of such.
    """

    images: int
    counts: NDArray[np.int64]
    failed: dict[Path, str]
    earlier: int
    cut: int
    files: list[Path] = field(default_factory=list)


def run(
    predictor: Predictor,
    inputs: Sequence[InputFile],
    out: Path,
    options: WindowOptions,
    *,
    formats: Sequence[str],
    show_dir: Path | None,
    bound: Mapping[str, Any],
    progress: bool = False,
) -> RunReport:
    """Looks at all inputs and writes what is found; a run that was stopped goes on where it was.

    Args:
        predictor: The detector.
        inputs: Image files and videos.
        out: Folder of the outputs; made if it is not there.
        options: How images are cut and what is wanted of them.
        formats: Some of `rotx.inference.outputs.FORMATS`.
        show_dir: Folder for drawn pictures; None: none.
        bound: What the results depend on: a run that was stopped is continued only with the same.
        progress: Whether to show bars.

    Raises:
        ValueError: If a format cannot store the results, or ``out`` holds another unfinished run.
        OSError: If an output cannot be written; the run can be continued.
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
        looking = _Looking(predictor, journal, options, progress)
        for one in tqdm(inputs, unit="file", leave=False, disable=not progress):
            try:
                looking.at(one)
            except UnreadableImage as error:
                failed[one.path] = error.reason
        looking.flush()
        report = RunReport(0, np.zeros(len(predictor.classes), np.int64), failed, earlier, looking.cut)
        _write(predictor, journal, inputs, out, formats, report, progress)
        if show_dir is not None:
            _show(predictor, journal, inputs, show_dir, report, progress)
            report.files.append(show_dir)
    journal.remove()
    return report


class _Looking:
    """Looks at images; those of one size that follow each other make a batch."""

    def __init__(self, predictor: Predictor, journal: Journal, options: WindowOptions, progress: bool) -> None:
        self.predictor, self.journal, self.options, self.progress = predictor, journal, options, progress
        self.cut = 0
        self.items: list[JournalImage] = []
        self.pixels: list[Image] = []

    def at(self, one: InputFile) -> None:
        """Looks at an input, unless the journal has it."""
        if one.is_video:
            self._video(one)
        elif not self.journal.has_image(one.name, one.stamp):
            self._image(one.name, one.stamp, one.path, WindowedImage(one.path))

    def flush(self) -> None:
        """Looks at the images that wait for a batch to be full."""
        if self.items:
            found = find_whole(self.predictor.detect, self.pixels, self.options)
            self.journal.add_images(self.items, found)
            self.items, self.pixels = [], []

    def _video(self, one: InputFile) -> None:
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
        item = JournalImage(name, stamp, image.width, image.height)
        try:
            windows = self.options.windows(image)
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
        if len(self.items) == self.options.batch_size:
            self.flush()

    def _large(self, item: JournalImage, image: WindowedImage, windows: NDArray[np.int64]) -> None:
        batches = self.journal.windows(item.name, item.stamp)
        done = len(batches)
        for found in find_in_windows(self.predictor.detect, image, windows, self.options, done, self.progress):
            self.journal.add_windows(item, found)
            batches.append(found)
        merged = merge_windows(batches, windows, image, self.options.merge_rule, self.predictor.merge_iou)
        self.journal.add_images([item], [merged])
        self.cut += 1


def _results(journal: Journal, inputs: Sequence[InputFile]) -> Iterator[tuple[InputFile, ImageRecord]]:
    """What is known of each image and frame, in the order of the inputs."""
    for one in inputs:
        number, stamp = 0, one.stamp
        while known := journal.image(frame_name(one, number) if one.is_video else one.name, stamp):
            image, found = known
            yield one, ImageRecord(image.name, one.path, found, (image.height, image.width))
            number += 1
            if not one.is_video:
                break


def _write(
    predictor: Predictor,
    journal: Journal,
    inputs: Sequence[InputFile],
    out: Path,
    formats: Sequence[str],
    report: RunReport,
    progress: bool,
) -> None:
    """Writes the outputs, and counts."""
    writers = open_writers(formats, out, predictor.classes)
    results = _results(journal, inputs)
    try:
        for _, result in tqdm(results, total=len(journal), desc="write", leave=False, disable=not progress):
            for writer in writers:
                writer.add(result)
            report.images += 1
            report.counts += np.bincount(result.instances.labels, minlength=len(report.counts))
        for writer in writers:
            report.files += writer.close()
    except BaseException:
        for writer in writers:
            writer.discard()
        raise


def _show(
    predictor: Predictor, journal: Journal, inputs: Sequence[InputFile], folder: Path, report: RunReport, progress: bool
) -> None:
    """Writes pictures of images, and films of videos, with what was found."""
    images = [one for one in inputs if not one.is_video]
    remove_leftovers(*(_drawn(one, folder) for one in images))
    results = _results(journal, images)
    for one, result in tqdm(results, total=len(images), desc="draw", leave=False, disable=not progress):
        try:
            draw(result, predictor.classes, _drawn(one, folder))
        except UnreadableImage as error:  # it was there when it was looked at
            report.failed[one.path] = f"has no picture: {error.reason}"
    for one in inputs:
        if one.is_video:
            try:
                _film(predictor, journal, one, _drawn(one, folder))
            except UnreadableImage as error:
                report.failed.setdefault(one.path, f"has no film: {error.reason}")


def _drawn(one: InputFile, folder: Path) -> Path:
    """Where the picture of an image, or the film of a video, goes."""
    return folder / f"{one.name}{'.mp4' if one.is_video else '.jpg'}"


def _film(predictor: Predictor, journal: Journal, one: InputFile, path: Path) -> None:
    video = Video(one.path)
    frames = iter(video.frames())
    with film(path, video.rate) as made:
        for _, result in _results(journal, [one]):
            _, frame = next(frames)
            made.add(predictor.draw(frame, Prediction.of(result.name, result.instances, predictor.classes), 0.0))
