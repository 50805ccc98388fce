"""The exponential moving average of a model's weights (EMA), by MMEngine's rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rotx.compat.harmless import strip
from rotx.registry import check_keywords, unscoped

#: Kinds of average, with the share of the new weights at the n-th update after the start, from 1.
KINDS = {
    "ExponentialMovingAverage": lambda n, momentum, gamma: momentum,
    # Falls from 1 to the momentum, so that the average soon forgets the first weights.
    "ExpMomentumEMA": lambda n, momentum, gamma: (1 - momentum) * math.exp(-(1 + n) / gamma) + momentum,
    "MomentumAnnealingEMA": lambda n, momentum, gamma: max(momentum, gamma / (gamma + n)),
}

#: Default of ``gamma``.
GAMMA = {"ExpMomentumEMA": 2000.0, "MomentumAnnealingEMA": 100.0}


class EMA:
    """The moving average of a model's weights. An update depends on the number of the step alone.

    Args:
        model: Model, not wrapped for distributed training; the average starts from its weights.
        ema_type: One of ``KINDS``.
        momentum: Share of the new weights in an update: 1 - decay.
        gamma: How slowly that share falls to ``momentum``, for the kinds where it falls.
        update_buffers: Whether to average floating-point buffers, such as batch statistics, or copy them.
        begin: Number of steps before the average starts; until then it equals the weights.

    Raises:
        ValueError: If the kind is unknown or a number is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        ema_type: str = "ExponentialMovingAverage",
        momentum: float = 0.0002,
        gamma: float | None = None,
        update_buffers: bool = False,
        begin: int = 0,
    ) -> None:
        if ema_type not in KINDS:
            raise ValueError(f"ema_type: need {' or '.join(map(repr, KINDS))}, got {ema_type!r}")
        if not 0 < momentum < 0.5:
            hint = f": as decay it is momentum={1 - momentum:g}" if 0.5 <= momentum < 1 else ""
            raise ValueError(f"momentum: need more than 0 and less than 0.5, got {momentum!r}{hint}")
        if gamma is not None and (gamma <= 0 or ema_type not in GAMMA):
            raise ValueError(f"gamma: need a number above 0, with {' or '.join(GAMMA)}, got {gamma!r} with {ema_type}")
        self.model = model
        self.ema_type, self.momentum, self.begin = ema_type, momentum, begin
        self.gamma = GAMMA.get(ema_type, 1.0) if gamma is None else gamma
        self._averaged = {name for name, _ in model.named_parameters()}
        if update_buffers:
            self._averaged |= {name for name, buffer in model.named_buffers() if buffer.is_floating_point()}
        self.averages = {name: value.clone() for name, value in model.state_dict().items()}
        # Operations on lists of tensors are fastest for one type.
        self._groups: dict[tuple[bool, torch.dtype], list[str]] = {}
        for name, value in self.averages.items():
            self._groups.setdefault((name in self._averaged, value.dtype), []).append(name)

    def share(self, step: int) -> float:
        """Share of the model's weights in the average after ``step`` other steps, up to 1."""
        n = step - self.begin
        return KINDS[self.ema_type](n, self.momentum, self.gamma) if n > 0 else 1.0

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Adds the model's weights after a step to the average.

        Args:
            step: Number of steps before it.
        """
        share, weights = self.share(step), self.model.state_dict()
        for (averaged, _), names in self._groups.items():
            ours, theirs = [self.averages[name] for name in names], [weights[name] for name in names]
            if averaged and share < 1:
                torch._foreach_lerp_(ours, theirs, share)
            else:
                torch._foreach_copy_(ours, theirs)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by the names of the model's ``state_dict``."""
        return dict(self.averages)

    def load_state_dict(self, averages: Mapping[str, Tensor]) -> None:
        """Copies the averages of a checkpoint.

        Raises:
            ValueError: If the names or shapes are not those of the model.
        """
        for name in [*self.averages, *averages]:
            ours, theirs = self.averages.get(name), averages.get(name)
            if ours is None or theirs is None or ours.shape != theirs.shape:
                raise ValueError(f"the averaged weights are of another model: {name} differs")
        for name, value in self.averages.items():
            value.copy_(averages[name])

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Swaps the averages into the model for validation, and its own weights back at the end."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self.model.state_dict().items():
            own = value.clone()
            value.copy_(self.averages[name])
            self.averages[name].copy_(own)


def _hook(
    *,
    ema_type: Any = None,
    momentum: Any = None,
    gamma: Any = None,
    update_buffers: Any = None,
    begin_iter: Any = 0,
    begin_epoch: Any = 0,
) -> None:
    """The keywords of an ``EMAHook``, for :func:`check_keywords`."""


def build_ema(model: nn.Module, hook: Mapping[str, Any], *, epoch_length: int, where: str = "EMAHook") -> EMA:
    """Builds the average from ``dict(type='EMAHook', ...)`` of a config's ``custom_hooks``.

    Args:
        model: Model, not wrapped for distributed training.
        hook: That dict: ``ema_type`` and its keywords, ``begin_iter`` or ``begin_epoch``.
        epoch_length: Number of steps of an epoch.
        where: Its place in the config, for messages.

    Raises:
        ValueError: If a keyword is unknown or a value is invalid.
    """
    own = strip({"type": "EMAHook", **hook}, where)
    options = {key: value for key, value in own.items() if key != "type"}
    check_keywords(_hook, options, where)
    begin_iter, begin_epoch = options.pop("begin_iter", 0), options.pop("begin_epoch", 0)
    if begin_iter and begin_epoch:
        raise ValueError(f"{where}: keep one of begin_iter and begin_epoch")
    if "ema_type" in options:
        options["ema_type"] = unscoped(str(options["ema_type"]))
    try:
        return EMA(model, begin=begin_iter + begin_epoch * epoch_length, **options)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
