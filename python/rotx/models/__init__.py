"""Detectors of rotated objects and their parts, in torch."""

from typing import Any

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("rotx.models needs torch: pip install 'rotx[train]'") from None

from rotx.models.build import build_detector
from rotx.models.checkpoints import load_checkpoint
from rotx.models.structures import Batch, Candidates

__all__ = ["Batch", "Candidates", "build_detector", "load_checkpoint"]


def __getattr__(name: str) -> Any:
    if name in ("Detections", "Targets"):
        from rotx.models import old_records

        return getattr(old_records, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
