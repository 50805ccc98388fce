"""Counts the operations for which a CPU would wait for a GPU; they are the same when everything runs on the CPU."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

PACKAGE = str(Path(__file__).parents[2] / "python" / "rotx")

#: Operations whose result, or its size, depends on values on the device.
WAITING = {
    "aten::_local_scalar_dense",  # item(), float(), int(), bool(), if
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::unique_dim_consecutive",
}
#: Methods that copy to the CPU and that no dispatch mode sees.
READING = (Tensor.tolist, Tensor.numpy)
#: Functions that copy numbers of Python to the device, and wait until that is done.
WRITING = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)


class Synchronisations(TorchDispatchMode):
    """Counts synchronisations while it is active: ``with Synchronisations(model) as found: ...``.

    Operations of rotx count as one operation each: what their CPU implementation does is not looked into.

    Attributes:
        places: Operation and line of rotx, ``nonzero at models/heads/retina.py:70 (forward)``, of each, in order.
        phase: Part of a training step: ``before``, ``forward``, ``between``, ``backward``, ``update``.

    Args:
        model: The model whose forward and backward pass are told apart.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.places: list[str] = []
        self.phase = "before"
        self._model, self._hooks = model, list[Any]()
        self._depth = 0
        self._functions = _Functions(self)

    def __len__(self) -> int:
        return len(self.places)

    def __enter__(self) -> Synchronisations:
        super().__enter__()
        self._functions.__enter__()
        self._hooks.append(self._model.register_forward_pre_hook(lambda *_: self._begin("forward")))
        self._hooks.append(self._model.register_forward_hook(lambda *_: self._begin("between")))
        return self

    def _begin(self, phase: str) -> None:
        self.phase = phase

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        while self._hooks:
            self._hooks.pop().remove()
        self._functions.__exit__(kind, error, at)
        super().__exit__(kind, error, at)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func._schema.name
        if name in WAITING or _indexes_by_mask(name, args) or _repeats(name, args, kwargs or {}):
            self.note(name)
        self._depth += 1
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self._depth -= 1

    def note(self, name: str) -> None:
        """Counts a synchronisation, unless it is within an operation."""
        if self._depth == 0:
            self.places.append(f"{name.removeprefix('aten::')} at {_place()} ({self.phase})")

    def in_phase(self, phase: str) -> list[str]:
        """Those of a phase."""
        return [place for place in self.places if place.endswith(f"({phase})")]


class _Functions(TorchFunctionMode):
    """Sees what copies values from or to the device and dispatches nothing."""

    def __init__(self, found: Synchronisations) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        numbers = args[1:] if func is Tensor.new_tensor else args
        if func in READING or (func in WRITING and not (numbers and isinstance(numbers[0], Tensor))):
            self.found.note(func.__name__)
        if func is not Tensor.backward:
            return func(*args, **(kwargs or {}))
        self.found.phase = "backward"
        result = func(*args, **(kwargs or {}))
        self.found.phase = "update"
        return result


def _indexes_by_mask(name: str, args: Sequence[Any]) -> bool:
    """Whether values are taken or put by a boolean mask, of which nonzero() makes indices."""
    if name not in ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"):
        return False
    indices = [index for index in args[1] if isinstance(index, Tensor)]
    masks = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
    # One value for all places is filled in without making indices.
    return masks and not (name != "aten::index" and len(indices) == 1 and args[2].numel() == 1)


def _repeats(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether rows are repeated by numbers on the device, whose sum is the size of the result."""
    if name != "aten::repeat_interleave" or not isinstance((args[1:] or args)[0], Tensor):
        return False
    return kwargs.get("output_size") is None


def _place() -> str:
    """The innermost line of rotx that is being run."""
    lines = [frame for frame in traceback.extract_stack() if frame.filename.startswith(PACKAGE)]
    return f"{lines[-1].filename.removeprefix(PACKAGE + '/')}:{lines[-1].lineno}" if lines else "elsewhere"
