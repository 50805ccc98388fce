"""Common functions for numpy arrays and torch tensors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", NDArray[Any], Tensor)
else:
    Array = TypeVar("Array")


def is_tensor(values: Any) -> bool:
    """Whether values are a torch tensor; does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def namespace(values: Any) -> Any:
    """Returns the module, numpy or torch, whose functions take these values; both accept ``axis``."""
    return sys.modules["torch"] if is_tensor(values) else np


def floating(array: Array) -> Array:
    """Converts integers to float64; other arrays are returned unchanged."""
    values: Any = array
    if is_tensor(array):
        return array if values.is_floating_point() else values.double()
    return array if values.dtype.kind == "f" else values.astype(np.float64)


def same_library(a: Any, b: Any) -> None:
    """Raises TypeError if one array is a torch tensor and the other one is not."""
    if is_tensor(a) != is_tensor(b):
        raise TypeError(f"boxes: need arrays of one library, got {type(a).__name__} and {type(b).__name__}")


def like(values: Any, array: Array) -> Array:
    """Converts values to the module, dtype and device of another array."""
    model: Any = array
    if is_tensor(array):
        out: Array = sys.modules["torch"].as_tensor(values, dtype=model.dtype, device=model.device)
    else:
        arrays: Any = np.asarray(values, dtype=model.dtype)
        out = arrays
    return out
