"""Deprecated constructors of records; each warns and will be removed in the next version."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.records.image import ImageRecord, Window
from rotx.records.instances import Instances
from rotx.records.table import InstanceTable


def Annotations(
    images: Sequence[str],
    classes: Sequence[str],
    quads: NDArray[np.float64],
    image: NDArray[np.int32],
    label: NDArray[np.int32],
    difficult: NDArray[np.uint8],
    **fields: Any,
) -> InstanceTable:
    """Makes a table of annotated quads; use `InstanceTable` instead."""
    _warn("Annotations", "InstanceTable")
    return InstanceTable(list(images), list(classes), quads, "quad", image, label, difficult=difficult, **fields)


def Detections(
    images: Sequence[str],
    classes: Sequence[str],
    quads: NDArray[np.float64],
    scores: NDArray[np.float64],
    image: NDArray[np.int32],
    label: NDArray[np.int32],
    **fields: Any,
) -> InstanceTable:
    """Makes a table of detected quads; use `InstanceTable` instead."""
    _warn("Detections", "InstanceTable")
    return InstanceTable(list(images), list(classes), quads, "quad", image, label, scores, **fields)


def Record(
    name: str,
    path: Path,
    quads: NDArray[np.float64],
    labels: NDArray[np.int64],
    difficult: NDArray[np.uint8],
    ignored: NDArray[np.bool_],
    size: tuple[int, int] | None = None,
    window: Window | None = None,
) -> ImageRecord:
    """Makes the record of an image with quads; use `ImageRecord` and `Instances` instead."""
    _warn("Record", "ImageRecord")
    instances = Instances(quads, "quad", labels, ignored=ignored, difficult=difficult)
    return ImageRecord(name, path, instances, size, window)


def _warn(old: str, new: str) -> None:
    message = f"{old} is now rotx.records.{new}; the old name will be removed in the next version"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
