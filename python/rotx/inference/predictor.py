"""A detector as a user needs it: images in, arrays out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rotx import boxes
from rotx.annotations.formats import Detections
from rotx.annotations.task1 import write_task1
from rotx.atomic import write_text
from rotx.datasets.transforms.resizing import fitting
from rotx.geometry import rbox_to_quad
from rotx.images.draw import Image, draw_boxes
from rotx.images.files import read_image
from rotx.inference.large import Look, find_whole, merge_windows, windows_found
from rotx.inference.prediction import Prediction, Table
from rotx.inference.tta import View, predict_views
from rotx.models.detectors import Detector
from rotx.records import Instances
from rotx.tiling.merging import MERGE_IOU
from rotx.tiling.windowed_image import WindowedImage

Floats = NDArray[np.float64]

#: An image's file, or its pixels (H, W, 3) uint8, BGR as OpenCV reads them.
Source = str | Path | NDArray[np.uint8]


class Predictor:
    """A detector with its weights, its classes and the size that it sees images at.

    Args:
        detector: with trained weights.
        classes: names, in the order of the labels.
        scale: width and height that images are resized to; None: as they are.
        keep_ratio: images keep their shape: the longer side fits the longer of ``scale``, the shorter the shorter.
        device: ``"cpu"``, ``"cuda"``, ...

    Raises:
        ValueError: unless there is a name for each class of the detector.
    """

    def __init__(
        self,
        detector: Detector,
        classes: Sequence[str],
        scale: tuple[int, int] | None = None,
        keep_ratio: bool = True,
        device: str | torch.device = "cpu",
    ) -> None:
        if len(classes) != detector.num_classes:
            raise ValueError(f"classes: need {detector.num_classes}, as the detector has, got {len(classes)}")
        self.device = torch.device(device)
        self.detector = detector.to(self.device).eval()
        self.classes = tuple(classes)
        self.scale = scale
        self.keep_ratio = keep_ratio

    @overload
    def predict(self, images: Source, score_thr: float = 0.0) -> Prediction: ...

    @overload
    def predict(self, images: list[Any] | tuple[Any, ...], score_thr: float = 0.0) -> list[Prediction]: ...

    def predict(self, images: Any, score_thr: float = 0.0) -> Prediction | list[Prediction]:
        """Finds the objects of an image, or of each of a list of images.

        Args:
            images: a file's path or an (H, W, 3) uint8 array, BGR as OpenCV reads it; or a list of those.
            score_thr: scores must exceed it (and the threshold of the config).

        Returns:
            A :class:`Prediction`, or a list of them.

        Raises:
            ValueError: for a file that holds no image, or an array of another shape or dtype.
            OSError: for a file that cannot be opened.
        """
        if isinstance(images, list | tuple):
            return [self._one(image, f"image{i}", score_thr) for i, image in enumerate(images)]
        return self._one(images, "image0", score_thr)

    def draw(self, image: Source, prediction: Prediction, score_thr: float = 0.3) -> Image:
        """A copy of the image, BGR, with the objects that score more than a threshold."""
        shown = prediction.above(score_thr)
        captions = [f"{name} {score:.2f}" for name, score in zip(shown.classes, shown.scores, strict=True)]
        return draw_boxes(_pixels(image), shown.rboxes, shown.labels, captions, shown.classes)

    def to_dota(self, predictions: Prediction | Iterable[Prediction], folder: str | Path) -> None:
        """Writes DOTA's Task1 files, ``Task1_<class>.txt`` with ``image score x1 y1 ... x4 y4`` a line.

        There is one for every class, also for those that were not found: the DOTA server needs all.

        Raises:
            ValueError: for names that these files cannot hold, and for two predictions of one name; nothing is
                written then.
        """
        found = list(_several(predictions))
        images = [prediction.name for prediction in found]
        for name, count in Counter(images).items():
            if count > 1:
                reason = f"{count} predictions have this name"
                raise ValueError(f"image {name!r}: {reason}: give another by dataclasses.replace(prediction, name=...)")
        write_task1(join([(p.name, p.rboxes, p.scores, p.labels) for p in found], images, self.classes), folder)

    def to_json(self, predictions: Prediction | Iterable[Prediction], path: str | Path | None = None) -> str:
        """The objects as JSON: a list with ``image`` and ``objects`` for each image; written to ``path`` if given."""
        images = [{"image": prediction.name, "objects": prediction.objects()} for prediction in _several(predictions)]
        text = json.dumps(images)
        if path is not None:
            write_text(path, text + "\n")
        return text

    def predict_large(
        self,
        image: str | Path,
        *,
        window: int | None = None,
        gap: int | None = None,
        score_thr: float = 0.0,
        batch_size: int = 2,
        views: Sequence[View] | None = None,
        progress: bool = False,
    ) -> Prediction:
        """Finds the objects of an image of any size, as ``rotx predict`` does; it never is in memory as a whole.

        An image that is larger than a window is cut into windows that overlap; each is seen as `predict` sees an
        image. What is found in several counts once: see `rotx.tiling.seams`.

        Args:
            image: its file.
            window: side of the windows in pixels of the file; None: the longer side of ``scale``, or 1024.
            gap: pixels that neighbours share; objects up to this size are whole in one of them. None: a fifth.
            score_thr: scores must exceed it, before windows are merged.
            batch_size: windows at a time.
            views: ways to see each window, of `rotx.inference.tta.views_of`; None: as it is.
            progress: whether to show a bar.

        Raises:
            ValueError: for a file that holds no image, and for bad settings.
            OSError: for a file that cannot be opened.
        """
        source, look = WindowedImage(Path(image)), Look.of(self, window, gap, batch_size, score_thr, views)
        windows = look.windows(source)
        if len(windows) == 1:
            return self.named(Path(image).stem, find_whole(self, [source.whole()], look)[0])
        batches = list(windows_found(self, source, windows, look, progress=progress))
        return self.named(Path(image).stem, merge_windows(self, batches, windows, source))

    @torch.no_grad()
    def detect(self, images: Sequence[Image], views: Sequence[View] | None = None) -> list[Table]:
        """What is found in each image of a batch, (N, 7) float64: rboxes as le90, score, label; best first.

        Args:
            images: (H, W, 3) uint8, BGR.
            views: ways to see each; None: as it is.
        """
        seen = [self._resize(image) for image in images]
        tensors = [torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1))).to(self.device) for x in seen]
        if views is None:
            found = self.detector.predict(self.detector.data_preprocessor(tensors))
        else:
            found = predict_views(self.detector, tensors, views)
        # The sides are rounded to pixels, so the two factors differ a little.
        factors = [(x.shape[1] / y.shape[1], x.shape[0] / y.shape[0]) for x, y in zip(seen, images, strict=True)]
        return [np.column_stack(in_file(one, pair)) for one, pair in zip(found, factors, strict=True)]

    def named(self, name: str, table: Table) -> Prediction:
        """What `detect` found in an image, as a prediction."""
        labels = table[:, 6].astype(np.int64)
        return Prediction(name, table[:, :5], table[:, 5], labels, tuple(self.classes[label] for label in labels))

    @property
    def merge_iou(self) -> float:
        """From which IoU on detections are suppressed: as the config says for the detector, if it compares rboxes."""
        return MERGE_IOU if self.detector.nms_iou is None else self.detector.nms_iou

    def _one(self, source: Any, name: str, score_thr: float) -> Prediction:
        pixels = _pixels(source, name)
        name = Path(source).stem if isinstance(source, str | Path) else name
        return self.named(name, self.detect([pixels])[0]).above(score_thr)

    def _resize(self, image: Image) -> Image:
        """The image at the size that the detector sees."""
        if self.scale is None:
            return image
        height, width = image.shape[:2]
        size = fitting((width, height), self.scale) if self.keep_ratio else self.scale
        if size == (width, height):
            return image
        return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def in_file(found: Instances, factors: tuple[float, float]) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """What a detector found in an image, in pixels of the image's file.

    Args:
        found: N objects, in pixels of the image that the detector saw.
        factors: pixels of that image for one of the file, in x and y.

    Returns:
        rboxes (N, 5) float64 as le90, scores (N,) float64 and labels (N,) int64.
    """
    rboxes = boxes.rescale(found.rboxes.cpu().double(), (1 / factors[0], 1 / factors[1]))
    return boxes.regularize(rboxes, "le90").numpy(), found.scores.cpu().double().numpy(), found.labels.cpu().numpy()


def join(
    found: Sequence[tuple[str, Floats, Floats, NDArray[np.int64]]], images: Sequence[str], classes: Sequence[str]
) -> Detections:
    """The objects found in several images as one record of arrays, for evaluation and result files.

    Args:
        found: of each image its name, rboxes (N, 5), scores (N,) and labels (N,).
        images: the names of all images; those without an entry have no detection.
        classes: names, in the order of the labels.
    """
    index = {name: i for i, name in enumerate(images)}
    counts = [len(scores) for _, _, scores, _ in found]
    return Detections(
        images=list(images),
        classes=list(classes),
        quads=rbox_to_quad(np.concatenate([np.zeros((0, 5)), *(rboxes for _, rboxes, _, _ in found)])),
        scores=np.concatenate([np.zeros(0), *(scores for _, _, scores, _ in found)]),
        image=np.repeat(np.array([index[name] for name, *_ in found], np.int32), counts),
        label=np.concatenate([np.zeros(0, np.int64), *(labels for *_, labels in found)]).astype(np.int32),
    )


def _pixels(source: Source, name: str = "image") -> Image:
    """An image as an (H, W, 3) uint8 array, BGR.

    Args:
        source: a file that OpenCV can read, of any colours and depth; or such an array, which is returned itself.
        name: of an array, for messages.

    Raises:
        ValueError: for a file that holds no image, or an array of another shape or dtype.
        OSError: for a file that cannot be opened.
    """
    if isinstance(source, str | Path):
        if Path(source).is_dir():
            raise IsADirectoryError(21, "is a folder: give its images as a list", str(source))
        if not Path(source).is_file():
            raise FileNotFoundError(2, "no such image", str(source))
        return read_image(source)
    pixels = np.asarray(source)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise ValueError(f"{name}: need (H, W, 3) uint8, BGR, got {pixels.shape} {pixels.dtype}")
    return pixels.astype(np.uint8, copy=False)


def _several(predictions: Prediction | Iterable[Prediction]) -> Iterable[Prediction]:
    return [predictions] if isinstance(predictions, Prediction) else predictions
