"""A detector as a user needs it: images in, arrays out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rotx import boxes, config
from rotx.atomic import write_text
from rotx.evaluation.protocols import DOTA_V1_0
from rotx.geometry import rbox_to_quad
from rotx.models import build_detector, load_checkpoint
from rotx.models.detectors import SingleStage, TwoStage
from rotx.registry import load_plugins
from rotx.visualize import Image, draw_boxes

#: The classes of datasets whose configs need not list them.
CLASSES_OF = {"DOTADataset": DOTA_V1_0, "HRSCDataset": ("ship",)}


@dataclass(frozen=True)
class Prediction:
    """The objects that were found in one image, best first, in pixels of that image.

    Attributes:
        name: of the image: its file's, without the suffix, or ``image0`` and so on.
        rboxes: (N, 5) float64 ``cx, cy, w, h, angle``, radians, clockwise.
        scores: (N,) float64 in [0, 1].
        labels: (N,) int64.
        classes: the name of each object's class.
    """

    name: str
    rboxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def quads(self) -> NDArray[np.float64]:
        """The corners, (N, 8)."""
        return rbox_to_quad(self.rboxes)

    def above(self, score_thr: float) -> Prediction:
        """Those that score more than a threshold."""
        keep = self.scores > score_thr
        classes = tuple(name for name, kept in zip(self.classes, keep, strict=True) if kept)
        return Prediction(self.name, self.rboxes[keep], self.scores[keep], self.labels[keep], classes)


class Predictor:
    """A detector with its weights, its classes and the size that it sees images at.

    Args:
        detector: with trained weights.
        classes: names, in the order of the labels.
        scale: images are made to fit this width and height, the ratio kept; None: as they are.
        device: ``"cpu"``, ``"cuda"``, ...
    """

    def __init__(
        self,
        detector: SingleStage | TwoStage,
        classes: Sequence[str],
        scale: tuple[int, int] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.detector = detector.to(self.device).eval()
        self.classes = tuple(classes)
        self.scale = scale

    def predict(self, images: Any, score_thr: float = 0.0) -> Any:
        """Finds the objects of an image, or of each of a list of images.

        Args:
            images: a file's path or an (H, W, 3) uint8 array, BGR as OpenCV reads it; or a list of those.
            score_thr: scores must exceed it (and the threshold of the config).

        Returns:
            A :class:`Prediction`, or a list of them.

        Raises:
            ValueError: for an image that cannot be read or has another shape.
        """
        if isinstance(images, list | tuple):
            return [self._one(image, f"image{i}", score_thr) for i, image in enumerate(images)]
        return self._one(images, "image0", score_thr)

    def draw(self, image: Any, prediction: Prediction, score_thr: float = 0.3) -> Image:
        """A copy of the image, BGR, with the objects that score more than a threshold."""
        shown = prediction.above(score_thr)
        captions = [f"{name} {score:.2f}" for name, score in zip(shown.classes, shown.scores, strict=True)]
        return draw_boxes(read_image(image), shown.rboxes, shown.labels, captions)

    def to_dota(self, predictions: Prediction | Iterable[Prediction], folder: str | Path) -> None:
        """Writes DOTA's Task1 files, ``Task1_<class>.txt`` with ``image score x1 y1 ... x4 y4`` a line.

        There is one for every class, also for those that were not found: the DOTA server needs all.
        """
        lines: dict[str, list[str]] = {name: [] for name in self.classes}
        for prediction in _several(predictions):
            for name, score, quad in zip(prediction.classes, prediction.scores, prediction.quads, strict=True):
                corners = " ".join(f"{value:.2f}" for value in quad)
                lines[name].append(f"{prediction.name} {score:.6f} {corners}\n")
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, rows in lines.items():
            write_text(Path(folder) / f"Task1_{name}.txt", "".join(rows))

    def to_json(self, predictions: Prediction | Iterable[Prediction], path: str | Path | None = None) -> str:
        """The objects as JSON: a list with ``image`` and ``objects`` for each image; written to ``path`` if given."""
        images = [
            {
                "image": prediction.name,
                "objects": [
                    {"class": name, "label": int(label), "score": float(score), "rbox": rbox, "quad": quad}
                    for name, label, score, rbox, quad in zip(
                        prediction.classes,
                        prediction.labels,
                        prediction.scores,
                        prediction.rboxes.tolist(),
                        prediction.quads.tolist(),
                        strict=True,
                    )
                ],
            }
            for prediction in _several(predictions)
        ]
        text = json.dumps(images)
        if path is not None:
            write_text(path, text + "\n")
        return text

    @torch.no_grad()
    def _one(self, source: Any, name: str, score_thr: float) -> Prediction:
        pixels = read_image(source)
        height, width = pixels.shape[:2]
        seen = _fit(pixels, self.scale)
        tensor = torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1))).to(self.device)
        (found,) = self.detector.predict(self.detector.data_preprocessor([tensor]))
        factors = (width / seen.shape[1], height / seen.shape[0])
        rboxes = boxes.rescale(found.boxes.double(), factors)
        labels = found.labels.cpu().numpy()
        prediction = Prediction(
            Path(source).stem if isinstance(source, str | Path) else name,
            rboxes.cpu().numpy(),
            found.scores.double().cpu().numpy(),
            labels,
            tuple(self.classes[label] for label in labels),
        )
        return prediction.above(score_thr)


def load(
    config_file: str | Path,
    checkpoint: str | Path,
    device: str = "auto",
    *,
    options: Sequence[str] = (),
    plugins: Sequence[str] = (),
    trust_config: bool = False,
) -> Predictor:
    """A trained detector, ready for images.

    Neither file is executed: the config is parsed, of the checkpoint only tensors and plain values are read.

    Args:
        config_file: of rotx or of MMRotate 0.x or 1.x.
        checkpoint: the weights, written by rotx or by MMRotate.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; ``"auto"``: a GPU if there is one.
        options: changes of the config, such as ``"model.test_cfg.score_thr=0.1"``.
        plugins: modules of the user's that register what the config names.
        trust_config: also import what ``custom_imports`` of the config says.

    Raises:
        ValueError: for a config or checkpoint that cannot be read, or that do not belong together.
        OSError: for a file that cannot be opened.
    """
    settings = config.load(config_file, options)
    load_plugins([*plugins, *config.custom_imports(settings, trusted=trust_config)])
    if not isinstance(settings.get("model"), Mapping):
        raise ValueError(f"{config_file}: has no model")
    detector = build_detector(settings["model"])
    report = load_checkpoint(detector, checkpoint)
    if report.missing or report.mismatched:
        raise ValueError(f"{checkpoint}: these are not the weights of {config_file}:\n{report}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    classes = _classes(settings, report.classes, number_of_classes(detector), str(config_file))
    return Predictor(detector, classes, _scale(settings), device)


def read_image(source: Any) -> Image:
    """An image as an (H, W, 3) uint8 array, BGR, from a file or an array.

    Raises:
        ValueError: for a file that holds no image, or another shape or dtype.
        FileNotFoundError: for a file that does not exist.
    """
    if isinstance(source, str | Path):
        if not Path(source).is_file():
            raise FileNotFoundError(2, "no such image", str(source))
        pixels = cv2.imdecode(np.fromfile(source, np.uint8), cv2.IMREAD_COLOR) if Path(source).stat().st_size else None
        if pixels is None:
            raise ValueError(f"{source}: holds no image that OpenCV can read")
    else:
        pixels = np.asarray(source)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise ValueError(f"image: need (H, W, 3) uint8, BGR, got {pixels.shape} {pixels.dtype}")
    return pixels.astype(np.uint8, copy=False)


def number_of_classes(detector: SingleStage | TwoStage) -> int:
    """How many classes a detector tells apart."""
    head: Any = detector.roi_head.bbox_head if isinstance(detector, TwoStage) else detector.bbox_head
    if isinstance(head, torch.nn.ModuleList):
        head = head[-1]
    return int(head.num_classes)


def _classes(
    settings: Mapping[str, Any], trained: Sequence[str] | None, number: int, config_file: str
) -> tuple[str, ...]:
    """Names from the checkpoint, else from the config, else from the kind of dataset, else numbers."""
    datasets = [_dataset(settings, part) for part in ("test_dataloader", "val_dataloader", "train_dataloader")]
    candidates: list[Any] = [trained]
    candidates += [(dataset.get("metainfo") or {}).get("classes") for dataset in datasets]
    candidates += [CLASSES_OF.get(str(dataset.get("type", "")).rpartition(".")[2]) for dataset in datasets]
    named = [tuple(map(str, names)) for names in candidates if names]
    fitting = [names for names in named if len(names) == number]
    if named and not fitting:
        raise ValueError(f"{config_file}: the model tells {number} classes apart, the dataset has {len(named[0])}")
    return fitting[0] if fitting else tuple(map(str, range(number)))


def _dataset(settings: Mapping[str, Any], loader: str) -> Mapping[str, Any]:
    dataset = (settings.get(loader) or {}).get("dataset") or {}
    while isinstance(dataset.get("dataset"), Mapping):  # a wrapper, such as RepeatDataset
        dataset = dataset["dataset"]
    return dataset if isinstance(dataset, Mapping) else {}


def _scale(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height that the config's test images are made to fit."""
    for loader in ("test_dataloader", "val_dataloader"):
        for step in _dataset(settings, loader).get("pipeline") or ():
            if str(step.get("type", "")).rpartition(".")[2] == "Resize" and "scale" in step:
                width, height = step["scale"]
                return int(width), int(height)
    return None


def _fit(image: Image, scale: tuple[int, int] | None) -> Image:
    """The image made to fit ``scale`` (longer side to longer side), its ratio kept."""
    if scale is None:
        return image
    height, width = image.shape[:2]
    factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
    size = max(int(width * factor + 0.5), 1), max(int(height * factor + 0.5), 1)
    if size == (width, height):
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _several(predictions: Prediction | Iterable[Prediction]) -> Iterable[Prediction]:
    return [predictions] if isinstance(predictions, Prediction) else predictions
