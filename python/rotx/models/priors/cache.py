"""A cache of priors by feature map size."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import torch

T = TypeVar("T")

#: Number of entries kept.
KEPT = 8


class PriorCache:
    """Keeps the most recently made tensors by key; callers must not modify them."""

    def __init__(self) -> None:
        self._made: dict[Hashable, object] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The cached result for ``key``, or that of ``make``."""
        # Tensors of a traced graph are invalid outside it.
        if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
            return make()
        if key not in self._made:
            # Inference tensors cannot be used in training.
            with torch.inference_mode(False), torch.no_grad():
                self._made[key] = make()
            if len(self._made) > KEPT:
                del self._made[next(iter(self._made))]
        found: T = self._made[key]  # type: ignore[assignment]
        return found

    def __deepcopy__(self, memo: object) -> PriorCache:
        return PriorCache()

    def __reduce__(self) -> tuple[type[PriorCache], tuple[()]]:
        return PriorCache, ()
