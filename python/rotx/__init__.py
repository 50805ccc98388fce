"""rotx: detection of rotated objects.

Importing this package loads neither numpy nor torch; the names below load what they need when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rotx import renamed as _renamed

if TYPE_CHECKING:
    __version__: str

    from rotx import boxes as boxes
    from rotx import config as config
    from rotx import evaluation as evaluation
    from rotx import geometry as geometry
    from rotx import inference as inference
    from rotx import models as models
    from rotx import ops as ops
    from rotx.evaluation import evaluate as evaluate
    from rotx.inference import load as load
    from rotx.registry import register as register

_renamed.install()

_MODULES = ("boxes", "config", "evaluation", "geometry", "inference", "models", "ops")
_FUNCTIONS = {"evaluate": "rotx.evaluation", "load": "rotx.inference", "register": "rotx.registry"}

__all__ = ["__version__", "evaluate", "load", "register", *_MODULES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # slow to import

        return version("rotx")
    if name in _MODULES:
        return import_module(f"rotx.{name}")
    if name in _FUNCTIONS:
        try:
            return getattr(import_module(_FUNCTIONS[name]), name)
        except ModuleNotFoundError as error:
            if error.name not in ("torch", "torchvision"):
                raise
            raise ImportError(f"rotx.{name} needs {error.name}: pip install 'rotx[train]'") from error
    raise AttributeError(f"module 'rotx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
