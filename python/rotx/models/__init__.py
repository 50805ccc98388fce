"""Detectors of rotated objects and what they are made of, on torch."""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("rotx.models needs torch: pip install 'rotx[train]'") from None

from rotx.models.build import build_detector
from rotx.models.checkpoints import load_checkpoint
from rotx.models.structures import Batch, Detections, Targets

__all__ = ["Batch", "Detections", "Targets", "build_detector", "load_checkpoint"]
