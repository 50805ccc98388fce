"""One set of names for numpy arrays and torch tensors."""

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
    """Whether values are a torch tensor; imports no torch, since without it there are no tensors."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def namespace(values: Any) -> Any:
    """The module, numpy or torch, whose functions take these values; both know ``axis``."""
    return sys.modules["torch"] if is_tensor(values) else np


def like(values: Any, array: Array) -> Array:
    """Values as an array of another's module, dtype and device."""
    model: Any = array
    if is_tensor(array):
        out: Array = sys.modules["torch"].as_tensor(values, dtype=model.dtype, device=model.device)
    else:
        arrays: Any = np.asarray(values, dtype=model.dtype)
        out = arrays
    return out
