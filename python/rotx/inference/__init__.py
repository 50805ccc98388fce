"""Inference: loads a detector and finds the objects in images.

Writing results works without torch, so the names that need torch are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rotx.inference.prediction import Prediction

if TYPE_CHECKING:
    from rotx.inference.loading import load as load
    from rotx.inference.predictor import Predictor as Predictor

_NEED_TORCH = {"Predictor": "rotx.inference.predictor", "load": "rotx.inference.loading"}

__all__ = ["Prediction", "Predictor", "load"]


def __getattr__(name: str) -> Any:
    if name in _NEED_TORCH:
        return getattr(import_module(_NEED_TORCH[name]), name)
    raise AttributeError(f"module 'rotx.inference' has no attribute {name!r}")
