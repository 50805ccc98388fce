"""Transforms that load a sample, change its colours, or say how its objects are written; no torch.

Every transform is called with a :class:`~rotx.datasets.sample.Sample` and a random generator, and returns the
sample, changed in place. The generator alone decides what is drawn. Those that move pixels stand in
`rotx.datasets.transforms.turning` and `rotx.datasets.transforms.resizing`. Names and keywords are MMRotate's and
MMDetection's; what is accepted only for the sake of their configs says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from rotx.datasets.sample import Sample
from rotx.images.files import only_local
from rotx.images.window_cache import read_record

BoxType = Literal["hbox", "rbox", "qbox"]


class LoadImageFromFile:
    """Reads the image of the sample's record: 8 bits, three channels, BGR; grey and 16 bits are converted.

    The record then says the size that the file, or the window of it, has.

    Args:
        to_float32, color_type, imdecode_backend: only as they are.
        backend_args, file_client_args: MMEngine's; only files of this machine are read.

    Raises:
        UnreadableImage: when called, for a file that is absent or holds no image.
    """

    def __init__(
        self,
        *,
        to_float32: bool = False,
        color_type: str = "color",
        imdecode_backend: str = "cv2",
        backend_args: Mapping[str, Any] | None = None,
        file_client_args: Mapping[str, Any] | None = None,
    ) -> None:
        _only("to_float32", to_float32, False)
        _only("color_type", color_type, "color")
        _only("imdecode_backend", imdecode_backend, "cv2")
        only_local("backend_args", backend_args)
        only_local("file_client_args", file_client_args)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Reads the image."""
        sample.image = read_record(sample.record)
        sample.record = replace(sample.record, size=sample.size)
        return sample


class LoadAnnotations:
    """Takes the objects of the sample's record, in pixels of the file.

    After a Resize, as test pipelines have it, they stay in those pixels.

    Args:
        box_type: ``"hbox"``: the horizontal boxes around the objects; otherwise as annotated.
        with_bbox, with_label, with_mask, poly2mask, backend_args, file_client_args: change nothing: objects are
            polygons here, and their files are read before.
    """

    def __init__(
        self,
        *,
        with_bbox: bool = True,
        with_label: bool = True,
        with_mask: bool = False,
        poly2mask: bool = False,
        box_type: BoxType = "qbox",
        backend_args: Mapping[str, Any] | None = None,
        file_client_args: Mapping[str, Any] | None = None,
    ) -> None:
        _only("with_bbox", with_bbox, True)
        _only("with_label", with_label, True)
        only_local("backend_args", backend_args)
        only_local("file_client_args", file_client_args)
        self.box_type = _box_type("box_type", box_type)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Takes the objects."""
        record = sample.record
        sample.quads = record.quads.astype(np.float64)
        sample.labels = record.labels.astype(np.int64)
        sample.ignored = record.ignored.astype(np.bool_)
        if self.box_type == "hbox":
            sample.quads = enclosing(sample.quads)
        return sample


class ConvertBoxType:
    """Says how the objects are written. They travel as quads, so only ``"hbox"`` changes them.

    Args:
        box_type_mapping: ``dict(gt_bboxes=...)``, one of ``"qbox"``, ``"rbox"``, which change nothing, and
            ``"hbox"``: the horizontal boxes around the objects.
    """

    def __init__(self, *, box_type_mapping: Mapping[str, BoxType]) -> None:
        if not isinstance(box_type_mapping, Mapping) or set(box_type_mapping) != {"gt_bboxes"}:
            raise ValueError(f"box_type_mapping: need dict(gt_bboxes=...), got {box_type_mapping!r}")
        self.box_type = _box_type("box_type_mapping.gt_bboxes", box_type_mapping["gt_bboxes"])

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Converts the objects."""
        if self.box_type == "hbox":
            sample.quads = enclosing(sample.quads)
        return sample


class ConvertMask2BoxType(ConvertBoxType):
    """As :class:`ConvertBoxType`: objects with a mask are its polygon here.

    Args:
        box_type: as ``box_type_mapping.gt_bboxes`` there.
        keep_mask: only False.
    """

    def __init__(self, *, box_type: BoxType = "rbox", keep_mask: bool = False) -> None:
        _only("keep_mask", keep_mask, False)
        self.box_type = _box_type("box_type", box_type)


class PackDetInputs:
    """Changes nothing: the loader makes tensors of every sample.

    Args:
        meta_keys: changes nothing.
    """

    def __init__(self, *, meta_keys: Sequence[str] = ()) -> None:
        pass

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the sample as it is."""
        return sample


class Normalize:
    """Takes ``mean`` from the image and divides it by ``std``: float32 from here on.

    For configs that have it in their pipeline; a DetDataPreprocessor with mean and std does the same later, on
    the device of the model. Colours are changed before it.

    Args:
        mean, std: of the three channels, after the change of their order.
        to_rgb: turn the channels around.
    """

    def __init__(self, *, mean: Sequence[float], std: Sequence[float], to_rgb: bool = True) -> None:
        lists = isinstance(mean, list | tuple) and isinstance(std, list | tuple)
        if not lists or len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"mean and std: need three numbers each, std above 0, got {mean} and {std}")
        self.mean = np.asarray(mean, np.float32)
        self.std = np.asarray(std, np.float32)
        self.to_rgb = to_rgb

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Normalizes the image."""
        image = sample.image[:, :, ::-1] if self.to_rgb else sample.image
        sample.image = (image.astype(np.float32) - self.mean) / self.std
        return sample


class PhotoMetricDistortion:
    """Changes brightness, contrast, saturation and hue, and the order of the channels, each every other time.

    Paper: Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016. Contrast changes before or after
    saturation and hue. MMDetection computes in float32; here every step rounds to 8 bits.

    Args:
        brightness_delta: greatest change, of 255.
        contrast_range, saturation_range: least and greatest factor.
        hue_delta: greatest turn, in degrees.
    """

    def __init__(
        self,
        *,
        brightness_delta: float = 32,
        contrast_range: tuple[float, float] = (0.5, 1.5),
        saturation_range: tuple[float, float] = (0.5, 1.5),
        hue_delta: float = 18,
    ) -> None:
        for name, pair in (("contrast_range", contrast_range), ("saturation_range", saturation_range)):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ValueError(f"{name}: need the least and the greatest factor, got {pair!r}")
        self.brightness_delta = brightness_delta
        self.contrast_range = contrast_range
        self.saturation_range = saturation_range
        self.hue_delta = hue_delta

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Changes the colours of the image."""
        if sample.image.dtype != np.uint8:
            raise ValueError("PhotoMetricDistortion: needs an image of 8 bits: it has to stand before Normalize")
        (brighter, contrasted, early, saturated, turned, swapped) = rng.random(6) < 0.5
        shift = rng.uniform(-self.brightness_delta, self.brightness_delta) if brighter else 0.0
        factor = rng.uniform(*self.contrast_range) if contrasted else 1.0
        values = np.arange(256, dtype=np.float64)
        image = sample.image
        if shift or (early and factor != 1):
            image = cv2.LUT(image, _bytes((values + shift) * (factor if early else 1)))
        saturation = rng.uniform(*self.saturation_range) if saturated else 1.0
        hue = rng.uniform(-self.hue_delta, self.hue_delta) if turned else 0.0
        if saturation != 1 or hue:
            # OpenCV's full range: 256 steps of hue make a turn.
            steps = np.rint(values + hue * 256 / 360) % 256
            table = np.stack([steps, np.clip(np.rint(values * saturation), 0, 255), values], axis=-1)
            hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL), table.astype(np.uint8).reshape(1, 256, 3))
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)
        if not early and factor != 1:
            image = cv2.LUT(image, _bytes(values * factor))
        if swapped:
            image = np.ascontiguousarray(image[:, :, rng.permutation(3)])
        sample.image = image
        return sample


def enclosing(quads: NDArray[np.float64]) -> NDArray[np.float64]:
    """The horizontal boxes around quads (N, 8), as quads, clockwise from the top left."""
    points = quads.reshape(-1, 4, 2)
    (x1, y1), (x2, y2) = points.min(axis=1).T, points.max(axis=1).T
    return np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=-1)


def _bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _only(name: str, value: object, accepted: object) -> None:
    if value != accepted:
        raise ValueError(f"{name}: only {accepted!r} can be done here, got {value!r}")


def _box_type(name: str, value: BoxType) -> BoxType:
    if value not in get_args(BoxType):
        raise ValueError(f"{name}: need 'hbox', 'rbox' or 'qbox', got {value!r}")
    return value
