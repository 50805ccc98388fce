"""Predictor: finds objects in images with a trained detector."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from rotx.annotations.task1 import write_task1
from rotx.atomic import write_text
from rotx.datasets.image_pipeline import ImagePipeline
from rotx.datasets.loader import to_tensor
from rotx.datasets.transforms.loading import LoadImageFromFile
from rotx.datasets.transforms.resizing import Resize
from rotx.evaluation.detect import join
from rotx.images.draw import Image, draw_boxes
from rotx.images.files import read_image
from rotx.inference.prediction import Prediction
from rotx.inference.windowed import WindowOptions, find_in_windows, find_whole, merge_windows
from rotx.models.detectors import Detector
from rotx.models.loading import device_of
from rotx.models.predict import predict_images
from rotx.models.tta import View
from rotx.records import Instances
from rotx.tiling.merging import MERGE_IOU
from rotx.tiling.rules import MergeRule
from rotx.tiling.windowed_image import WindowedImage

#: Image file, or pixels (H, W, 3) uint8 in BGR, OpenCV's order.
Source = str | Path | NDArray[np.uint8]


class Predictor:
    """Trained detector with its classes and its test pipeline.

    Args:
        detector: Detector with trained weights.
        classes: Class names in the order of the labels.
        scale: Width and height that images are resized to, if there is no ``pipeline``; None: images are not resized.
        keep_ratio: Whether images keep their aspect ratio: the longer side fits the longer side of ``scale``, the
            shorter side the shorter one.
        device: Device to run on, such as ``"cpu"`` or ``"cuda"``.
        pipeline: Test pipeline, used instead of ``scale``.
        amp: Whether to use autocast, with float16 on CUDA and bfloat16 on the CPU.
        merge_iou: IoU above which detections of neighbouring windows are merged; None: that of the detector's own
            suppression, or 0.1 if it has none.

    Raises:
        ValueError: If the number of names differs from the detector's number of classes.
    """

    def __init__(
        self,
        detector: Detector,
        classes: Sequence[str],
        scale: tuple[int, int] | None = None,
        keep_ratio: bool = True,
        device: str | torch.device = "cpu",
        *,
        pipeline: ImagePipeline | None = None,
        amp: bool = False,
        merge_iou: float | None = None,
    ) -> None:
        if len(classes) != detector.num_classes:
            raise ValueError(f"classes: the detector has {detector.num_classes}, got {len(classes)} names")
        if scale is not None and pipeline is not None:
            raise ValueError("scale: cannot be combined with pipeline: leave one of them out")
        if scale is not None:
            pipeline = ImagePipeline([LoadImageFromFile(), Resize(scale=scale, keep_ratio=keep_ratio)])
        self.device = torch.device(device)
        self.detector = detector.to(self.device).eval()
        self.classes = tuple(classes)
        self.pipeline = pipeline or ImagePipeline()
        self.amp = amp
        own = detector.nms_iou
        self.merge_iou = merge_iou if merge_iou is not None else MERGE_IOU if own is None else own

    def to(self, device: str | torch.device) -> Predictor:
        """Moves the detector to a device; returns the predictor itself.

        Raises:
            ValueError: If there is no such device.
        """
        self.device = device_of(device)
        self.detector.to(self.device)
        return self

    @property
    def scale(self) -> tuple[int, int] | None:
        """Width and height that the pipeline resizes images to; None if it does not resize, or by a factor."""
        return self.pipeline.scale

    @property
    def keep_ratio(self) -> bool:
        """Whether images keep their aspect ratio."""
        return self.pipeline.keep_ratio

    @overload
    def predict(self, images: Source, score_thr: float = 0.0, *, batch_size: int = 1) -> Prediction: ...

    @overload
    def predict(
        self, images: list[Any] | tuple[Any, ...], score_thr: float = 0.0, *, batch_size: int = 1
    ) -> list[Prediction]: ...

    def predict(self, images: Any, score_thr: float = 0.0, *, batch_size: int = 1) -> Prediction | list[Prediction]:
        """Finds the objects in an image, or in each image of a list.

        Args:
            images: Path of a file, or array (H, W, 3) uint8 in BGR, OpenCV's order; or a list of these.
            score_thr: Threshold that scores must exceed, in addition to that of the config.
            batch_size: Number of images per batch, for a list; it changes nothing but the speed. Only images of one
                size are computed together.

        Returns:
            A :class:`Prediction`, or a list of them.

        Raises:
            ValueError: If a file is not an image, an array has a wrong shape or dtype, or a setting is out of range.
            OSError: If a file cannot be opened.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size: need at least 1, got {batch_size}")
        score_thr = _threshold(score_thr)
        if not isinstance(images, list | tuple):
            return self._batch([("image0", images)], score_thr)[0]
        named = [(f"image{i}", image) for i, image in enumerate(images)]
        batches = (named[start : start + batch_size] for start in range(0, len(named), batch_size))
        return [prediction for batch in batches for prediction in self._batch(batch, score_thr)]

    def draw(self, image: Source, prediction: Prediction, score_thr: float = 0.3) -> Image:
        """Draws the objects with scores above a threshold on a copy of the image.

        Args:
            image: Path of a file, or array (H, W, 3) uint8 in BGR.
            prediction: Objects to draw.
            score_thr: Threshold that scores must exceed.

        Returns:
            Array (H, W, 3) uint8 in BGR.
        """
        shown = prediction.above(_threshold(score_thr))
        captions = [f"{name} {score:.2f}" for name, score in zip(shown.classes, shown.scores, strict=True)]
        return draw_boxes(_pixels(image), shown.rboxes, shown.labels, captions, shown.classes)

    def to_dota(self, predictions: Prediction | Iterable[Prediction], folder: str | Path) -> None:
        """Writes DOTA's Task1 files, ``Task1_<class>.txt`` with lines ``image score x1 y1 ... x4 y4``.

        Every class gets a file, even without detections: the DOTA server needs all.

        Args:
            predictions: Prediction, or several with different names.
            folder: Output folder.

        Raises:
            ValueError: If the files cannot store a name, or two predictions have the same name; nothing is written
                then.
        """
        found = list(_several(predictions))
        images = [prediction.name for prediction in found]
        for name, count in Counter(images).items():
            if count > 1:
                reason = f"{count} predictions have this name"
                raise ValueError(f"image {name!r}: {reason}: change it with dataclasses.replace(prediction, name=...)")
        write_task1(join([p.instances for p in found], images, self.classes), folder)

    def to_json(self, predictions: Prediction | Iterable[Prediction], path: str | Path | None = None) -> str:
        """Returns the objects as JSON, and writes it to ``path`` if given.

        The JSON is a list with ``image``, the name, and ``objects`` of each image; see :meth:`Prediction.objects`.
        """
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
        merge_rule: MergeRule = "seams",
        progress: bool = False,
    ) -> Prediction:
        """Finds the objects in an image of any size, like ``rotx predict``, without loading the whole image.

        An image larger than a window is cut into overlapping windows; each passes the test pipeline like an image of
        `predict`. Duplicate detections of neighbouring windows are merged.

        Args:
            image: Path of the file.
            window: Side of the windows in pixels of the file; None: the longer side of ``scale``, or 1024.
            gap: Overlap of neighbouring windows, in pixels; objects up to this size are complete in one of them. None:
                a fifth of the window.
            score_thr: Threshold that scores must exceed, applied before merging.
            batch_size: Number of windows per batch.
            views: Views for test-time augmentation, from `rotx.models.tta.views_of`; None: only the window itself.
            merge_rule: Rule for merging the detections of overlapping windows: ``"seams"`` or ``"nms"``, see
                `rotx.tiling.rules`.
            progress: Whether to show a progress bar.

        Raises:
            ValueError: If a file is not an image, or a setting is invalid.
            OSError: If a file cannot be opened.
        """
        score_thr = _threshold(score_thr)
        source = WindowedImage(Path(image))
        options = WindowOptions.of(self.scale, window, gap, batch_size, score_thr, views, merge_rule=merge_rule)
        windows = options.windows(source)
        if len(windows) == 1:
            found = find_whole(self.detect, [source.whole()], options)[0]
        else:
            batches = list(find_in_windows(self.detect, source, windows, options, progress=progress))
            found = merge_windows(batches, windows, source, merge_rule, self.merge_iou)
        return Prediction.of(Path(image).stem, found, self.classes)

    def detect(self, images: Sequence[Image], views: Sequence[View] | None = None) -> list[Instances]:
        """Finds the objects in each image of a batch.

        Args:
            images: BGR images (H, W, 3) uint8.
            views: Views for test-time augmentation; None: only the image itself.

        Returns:
            The objects of each image, best first: float64 boxes in its pixels, rboxes as le90. Masks are grids within
            the boxes; `rotx.records.Instances.paste` converts them to pixels.
        """
        self.detector.eval()  # a program may have trained it in between
        samples = [self.pipeline(image) for image in images]
        tensors, matrices = [to_tensor(one.image) for one in samples], [one.matrix for one in samples]
        return predict_images(self.detector, tensors, matrices, self.device, views=views, amp=self.amp)

    def _batch(self, named: Sequence[tuple[str, Any]], score_thr: float) -> list[Prediction]:
        pixels = [_pixels(source, name) for name, source in named]
        names = [Path(source).stem if isinstance(source, str | Path) else name for name, source in named]
        found = zip(names, self.detect(pixels), pixels, strict=True)
        return [
            Prediction.of(name, one.paste(image.shape[0], image.shape[1]), self.classes).above(score_thr)
            for name, one, image in found
        ]


def _threshold(value: Any) -> float:
    """A score threshold as a number: also of numpy and of tensors without dimensions.

    Raises:
        ValueError: Unless it is a number from 0 to 1.
    """
    try:
        number = math.nan if isinstance(value, bool | np.bool_ | str | bytes) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(f"score_thr: need a number in [0, 1], got {value}")
    return number


def _pixels(source: Source, name: str = "image") -> Image:
    """Returns an image as a BGR array (H, W, 3) uint8.

    Args:
        source: File that OpenCV can read, of any colours and depth; a BGR array, which is returned as it is; or an
            image of PIL, whose channels are swapped.
        name: Name of an array in error messages.

    Raises:
        ValueError: If a file is not an image, or an array has a wrong shape or dtype.
        OSError: If a file cannot be opened.
    """
    if isinstance(source, str | Path):
        if Path(source).is_dir():
            raise IsADirectoryError(21, "is a folder: give its images as a list", str(source))
        if not Path(source).is_file():
            raise FileNotFoundError(2, "no such image", str(source))
        return read_image(source)
    if isinstance(source, torch.Tensor):
        raise ValueError(
            f"{name}: a tensor has no fixed order of channels: give an array (H, W, 3) uint8, BGR; for an RGB tensor"
            " (3, H, W): tensor.permute(1, 2, 0).flip(2).cpu().numpy()"
        )
    if _is_pil(source):
        return np.ascontiguousarray(_pil_pixels(source, name)[:, :, ::-1])
    pixels = np.asarray(source)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise ValueError(f"{name}: need (H, W, 3) uint8, BGR, got {pixels.shape} {pixels.dtype}")
    return pixels.astype(np.uint8, copy=False)


def _is_pil(source: Any) -> bool:
    """Whether an object is an image of PIL, which is not imported for this."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(source).__mro__)


def _pil_pixels(image: Any, name: str) -> Image:
    """The pixels (H, W, 3) uint8 of an image of PIL, RGB, turned as its EXIF orientation says."""
    from PIL import ImageOps

    if image.mode not in ("RGB", "RGBA", "L", "LA", "P", "1"):
        raise ValueError(f"{name}: a PIL image of mode {image.mode!r}: convert it to RGB first, or give its file")
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _several(predictions: Prediction | Iterable[Prediction]) -> Iterable[Prediction]:
    return [predictions] if isinstance(predictions, Prediction) else predictions
