"""Runs a detector over many images and videos: records results in a journal and writes the outputs at the end."""

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

#: Name of the journal in the output folder.
JOURNAL = ".progress"


@dataclass
class RunReport:
    """Summary of a run.

    Attributes:
        images: Number of processed images and frames.
        counts: Number (K,) of objects of each class.
        failed: Reason for each file that could not be read completely.
        earlier: Number of images that an interrupted run had already processed.
        cut: Number of images that this run cut into windows.
        files: Written files and folders.
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
    """Processes all inputs and writes the objects found; resumes an interrupted run.

    Args:
        predictor: Detector to run.
        inputs: Image files and videos.
        out: Output folder, created if it does not exist.
        options: How to cut images into windows, and which detections to keep.
        formats: Output formats, from `rotx.inference.outputs.FORMATS`.
        show_dir: Folder for drawn pictures; None: no pictures are drawn.
        bound: Settings that the results depend on; an interrupted run resumes only with the same settings.
        progress: Whether to show progress bars.

    Raises:
        ValueError: If a format cannot store the results, or ``out`` holds another unfinished run.
        OSError: If an output cannot be written; the run can be resumed.
    """
    check(formats, [(one.name, one.path) for one in inputs], predictor.classes)
    originals = {one.path.resolve() for one in inputs}
    if show_dir is not None and any(_drawn(one, show_dir).resolve() in originals for one in inputs):
        raise ValueError(f"{show_dir}: pictures would overwrite inputs: give another --show-dir")
    if "yolo" in formats and any(out.resolve() in original.parents for original in originals):
        raise ValueError(f"{out}: contains inputs, and yolo could overwrite their labels: give another --out")
    for folder in (out, show_dir):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    failed: dict[Path, str] = {}
    with Journal(out / JOURNAL, bound) as journal:
        earlier = len(journal)
        processing = _Processing(predictor, journal, options, progress)
        for one in tqdm(inputs, unit="file", leave=False, disable=not progress or None):
            try:
                processing.at(one)
            except UnreadableImage as error:
                failed[one.path] = error.reason
        processing.flush()
        report = RunReport(0, np.zeros(len(predictor.classes), np.int64), failed, earlier, processing.cut)
        _write(predictor, journal, inputs, out, formats, report, progress)
        if show_dir is not None:
            _show(predictor, journal, inputs, show_dir, report, progress)
            report.files.append(show_dir)
    journal.remove()
    return report


class _Processing:
    """Processes images; consecutive images of the same size form a batch."""

    def __init__(self, predictor: Predictor, journal: Journal, options: WindowOptions, progress: bool) -> None:
        self.predictor, self.journal, self.options, self.progress = predictor, journal, options, progress
        self.cut = 0
        self.items: list[JournalImage] = []
        self.pixels: list[Image] = []

    def at(self, one: InputFile) -> None:
        """Processes an input unless the journal contains it."""
        if one.is_video:
            self._video(one)
        elif not self.journal.has_image(one.name, one.stamp):
            self._image(one.name, one.stamp, one.path, WindowedImage(one.path))

    def flush(self) -> None:
        """Processes the images of an incomplete batch."""
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
            frames,
            total=video.count or None,
            initial=first,
            unit="frame",
            leave=False,
            disable=not self.progress or None,
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
    """Yields the journal's result for each image and frame, in the order of the inputs."""
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
    """Writes the outputs and counts images and objects."""
    writers = open_writers(formats, out, predictor.classes)
    results = _results(journal, inputs)
    try:
        for _, result in tqdm(results, total=len(journal), desc="write", leave=False, disable=not progress or None):
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
    """Draws the objects on images and videos, and writes these."""
    images = [one for one in inputs if not one.is_video]
    remove_leftovers(*(_drawn(one, folder) for one in images))
    results = _results(journal, images)
    for one, result in tqdm(results, total=len(images), desc="draw", leave=False, disable=not progress or None):
        try:
            draw(result, predictor.classes, _drawn(one, folder))
        except UnreadableImage as error:  # the file has changed since it was processed
            report.failed[one.path] = f"cannot be drawn: {error.reason}"
    for one in inputs:
        if one.is_video:
            try:
                _film(predictor, journal, one, _drawn(one, folder))
            except UnreadableImage as error:
                report.failed.setdefault(one.path, f"cannot be drawn: {error.reason}")


def _drawn(one: InputFile, folder: Path) -> Path:
    """Returns the path of the drawn image or video."""
    return folder / f"{one.name}{'.mp4' if one.is_video else '.jpg'}"


def _film(predictor: Predictor, journal: Journal, one: InputFile, path: Path) -> None:
    video = Video(one.path)
    frames = iter(video.frames())
    with film(path, video.rate) as made:
        for _, result in _results(journal, [one]):
            _, frame = next(frames)
            made.add(predictor.draw(frame, Prediction.of(result.name, result.instances, predictor.classes), 0.0))
