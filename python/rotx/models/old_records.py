"""Deprecated constructors ``Targets`` and ``Detections``; both return `rotx.records.Instances`."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from rotx.records import Instances


def Targets(boxes: Tensor, labels: Tensor, ignored: Tensor | None = None) -> Instances:
    """Returns the objects of one image; use ``Instances(boxes, "rbox", labels, ignored=mask)`` instead.

    Args:
        boxes: Rboxes (M, 5) of the objects.
        labels: Class indices (M,) int64.
        ignored: Rboxes (I, 5) of regions that are neither object nor background.
    """
    _warn("Targets")
    if ignored is None:
        return Instances(boxes, "rbox", labels)
    mask = torch.arange(len(boxes) + len(ignored), device=boxes.device) >= len(boxes)
    labels = torch.cat([labels, labels.new_zeros(len(ignored))])
    return Instances(torch.cat([boxes, ignored.to(boxes.dtype)]), "rbox", labels, ignored=mask)


def Detections(boxes: Tensor, scores: Tensor, labels: Tensor) -> Instances:
    """Returns the detections in one image; use ``Instances(boxes, "rbox", labels, scores=scores)`` instead.

    Args:
        boxes: Rboxes (N, 5) of the detections.
        scores: Scores (N,) in [0, 1].
        labels: Class indices (N,) int64.
    """
    _warn("Detections")
    return Instances(boxes, "rbox", labels, scores=scores)


def _warn(name: str) -> None:
    message = f"rotx.models.{name} is deprecated and will be removed in the next version: use rotx.records.Instances"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
