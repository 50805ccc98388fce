"""``Targets`` and ``Detections``, as the objects of an image were called; both are `rotx.records.Instances` now."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from rotx.records import Instances


def Targets(boxes: Tensor, labels: Tensor, ignored: Tensor | None = None) -> Instances:
    """The objects of one image; use ``Instances(boxes, "rbox", labels, ignored=mask)``.

    Args:
        boxes: Rboxes (M, 5) of the objects.
        labels: Classes (M,) int64.
        ignored: Rboxes (I, 5) that are neither object nor background.
    """
    _warn("Targets")
    if ignored is None:
        return Instances(boxes, "rbox", labels)
    mask = torch.arange(len(boxes) + len(ignored), device=boxes.device) >= len(boxes)
    labels = torch.cat([labels, labels.new_zeros(len(ignored))])
    return Instances(torch.cat([boxes, ignored.to(boxes.dtype)]), "rbox", labels, ignored=mask)


def Detections(boxes: Tensor, scores: Tensor, labels: Tensor) -> Instances:
    """What a detector found in one image; use ``Instances(boxes, "rbox", labels, scores=scores)``.

    Args:
        boxes: Rboxes (N, 5).
        scores: Scores (N,) in [0, 1].
        labels: Classes (N,) int64.
    """
    _warn("Detections")
    return Instances(boxes, "rbox", labels, scores=scores)


def _warn(name: str) -> None:
    message = f"rotx.models.{name} is now rotx.records.Instances; the old name goes with the next version"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
