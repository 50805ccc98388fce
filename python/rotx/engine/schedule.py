"""Learning-rate schedules, from MMEngine's ``param_scheduler``.

A schedule is a chain of curves. Each curve maps the learning rate of the curves before it to its own, from the number
of the step alone: a schedule has no state to save, so training resumes exactly at any step. MMEngine computes each
step from the one before; the numbers are the same, unless a curve with an ``eta_min`` other than 0 overlaps with
another curve.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch.optim import Optimizer

from rotx.compat import build

#: Keywords that count epochs where a curve does, for ``convert_to_iter_based``.
COUNTS = ("begin", "end", "milestones", "step_size", "T_max", "total_steps")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Base of all curves. After its end, a curve keeps its last value.

    Attributes:
        begin: First epoch or step of the curve, from 0.
        end: First epoch or step after the curve; None if it never ends.
        by_epoch: Whether the curve counts epochs, and changes only between them, or steps.
    """

    begin: int = 0
    end: int | None = None
    by_epoch: bool = True

    def __post_init__(self) -> None:
        if self.begin < 0:
            raise ValueError(f"begin: need at least 0, got {self.begin!r}")
        if self.end is not None and self.end <= self.begin:
            raise ValueError(f"end: need more than begin ({self.begin!r}), got {self.end!r}")

    @property
    def length(self) -> int:
        """Number of epochs or steps from ``begin`` to ``end``.

        Raises:
            ValueError: If ``end`` is missing.
        """
        if self.end is None:
            raise ValueError(f"end: {type(self).__name__} needs it, in {'epochs' if self.by_epoch else 'steps'}")
        return self.end - self.begin

    def lr(self, before: float, at: int, group: Mapping[str, Any]) -> float:
        """The learning rate at ``at`` epochs or steps after ``begin``, from that of the curves before it."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LinearLR(Curve):
    """Linear from ``start_factor`` of the rate to ``end_factor`` at ``end`` - 1: the usual warm-up."""

    start_factor: float = 1 / 3
    end_factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 2:
            raise ValueError(f"end: need at least begin + 2, got {self.end!r}")
        for name in ("start_factor", "end_factor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: need 0 to 1, got {getattr(self, name)!r}")

    def lr(self, before: float, at: int, group: Mapping[str, Any]) -> float:
        """See :class:`Curve`."""
        share = at / (self.length - 1)
        return before * (self.start_factor * (1 - share) + self.end_factor * share)


@dataclass(frozen=True, kw_only=True)
class ConstantLR(Curve):
    """``factor`` of the rate before ``end`` - 1, and the whole rate from there."""

    factor: float = 1 / 3

    def lr(self, before: float, at: int, group: Mapping[str, Any]) -> float:
        """See :class:`Curve`."""
        return before if self.end is not None and at >= self.length - 1 else before * self.factor


@dataclass(frozen=True, kw_only=True)
class MultiStepLR(Curve):
    """Multiplies the rate by ``gamma`` at each of the ``milestones``, counted from ``begin``."""

    milestones: Sequence[int]
    gamma: float = 0.1

    def lr(self, before: float, at: int, group: Mapping[str, Any]) -> float:
        """See :class:`Curve`."""
        return float(before * self.gamma ** bisect_right(sorted(self.milestones), at))


@dataclass(frozen=True, kw_only=True)
class StepLR(Curve):
    """Multiplies the rate by ``gamma`` every ``step_size`` epochs or steps."""

    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step_size < 1:
            raise ValueError(f"step_size: need at least 1, got {self.step_size!r}")

    def lr(self, before: float, at: int, group: Mapping[str, Any]) -> float:
        """See :class:`Curve`."""
        return float(before * self.gamma ** (at // self.step_size))


@dataclass(frozen=True, kw_only=True)
class ExponentialLR(Curve):
    """Multiplies the rate by ``gamma`` every epoch or step."""

    gamma: float

    def lr(self, before: float, at: int, group: Mapping[str, Any]) -> float:
        """See :class:`Curve`."""
        return float(before * self.gamma**at)


@dataclass(frozen=True, kw_only=True)
class PolyLR(Curve):
    """Decays to ``eta_min`` at ``end`` - 1, as (1 - progress) ** ``power``."""

    eta_min: float = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 2:
            raise ValueError(f"end: need at least begin + 2, got {self.end!r}")

    def lr(self, before: float, at: int, group: Mapping[str, Any]) -> float:
        """See :class:`Curve`."""
        return float((before - self.eta_min) * (1 - at / (self.length - 1)) ** self.power + self.eta_min)


@dataclass(frozen=True, kw_only=True)
class CosineAnnealingLR(Curve):
    """Half a cosine, down to ``eta_min`` (SGDR, Loshchilov & Hutter, 2017, without restarts).

    Attributes:
        T_max: Number of epochs or steps until ``eta_min``; None for ``end - begin``.
        eta_min: Lowest learning rate.
        eta_min_ratio: Lowest learning rate as a share of each group's initial rate, instead of ``eta_min``.
    """

    T_max: int | None = None
    eta_min: float = 0.0
    eta_min_ratio: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.length if self.T_max is None else self.T_max) < 1:
            raise ValueError(f"T_max: need at least 1, got {self.T_max!r}")
        if self.eta_min and self.eta_min_ratio is not None:
            raise ValueError("eta_min, eta_min_ratio: keep one")

    def lr(self, before: float, at: int, group: Mapping[str, Any]) -> float:
        """See :class:`Curve`."""
        lowest = self.eta_min if self.eta_min_ratio is None else self.eta_min_ratio * group["initial_lr"]
        share = at / (self.length if self.T_max is None else self.T_max)
        return float(lowest + (before - lowest) * (1 + math.cos(math.pi * share)) / 2)


@dataclass(frozen=True, kw_only=True)
class OneCycleLR(Curve):
    """Rises to ``eta_max`` and falls to almost 0 (Smith & Topin, 2018), whatever the curves before it.

    Attributes:
        eta_max: Highest learning rate; multiplied by a group's ``lr_mult``.
        total_steps: Length of the cycle in epochs or steps; None for ``end - begin``.
        pct_start: Share of the cycle in which the rate rises.
        anneal_strategy: Shape of rise and fall, ``"cos"`` or ``"linear"``.
        div_factor: The cycle starts at ``eta_max / div_factor``.
        final_div_factor: The cycle ends at its start divided by this.
        three_phase: Whether the rate falls as steeply as it rises, and then to the end.
        cycle_momentum: Whether the momentum (Adam's first beta) moves the opposite way, from ``max_momentum`` to
            ``base_momentum`` at the highest rate and back.
    """

    eta_max: float
    total_steps: int | None = None
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False
    cycle_momentum: bool = False
    base_momentum: float = 0.85
    max_momentum: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.pct_start < (0.5 if self.three_phase else 1):
            raise ValueError(
                f"pct_start: need more than 0 and less than 1, or 0.5 in three phases, got {self.pct_start!r}"
            )
        if self.anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy: need 'cos' or 'linear', got {self.anneal_strategy!r}")
        if self._peak <= 0:
            raise ValueError(f"total_steps: need at least {math.floor(1 / self.pct_start) + 1}, so that it goes up")

    @property
    def _total(self) -> int:
        return self.length if self.total_steps is None else self.total_steps

    @property
    def _peak(self) -> float:
        return self.pct_start * self._total - 1

    def _between(self, at: int, start: float, peak: float, end: float) -> float:
        """The value on the way from ``start`` over ``peak``, in three phases over ``start`` again, to ``end``."""
        last = self._total - 1
        knots = [(0.0, start), (self._peak, peak), (last, end)]
        if self.three_phase:
            knots.insert(2, (2 * self._peak, start))
        for (x0, y0), (x1, y1) in pairwise(knots):  # noqa: B007
            if at <= x1:
                break
        share = min((at - x0) / (x1 - x0), 1.0)
        return y0 + (y1 - y0) * (share if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * share)) / 2)

    def lr(self, before: float, at: int, group: Mapping[str, Any]) -> float:
        """See :class:`Curve`."""
        peak = self.eta_max * group.get("lr_mult", 1.0)
        start = peak / self.div_factor
        return self._between(at, start, peak, start / self.final_div_factor)

    def momentum(self, at: int) -> float:
        """The momentum at ``at`` epochs or steps after ``begin``, for ``cycle_momentum``."""
        return self._between(at, self.max_momentum, self.base_momentum, self.max_momentum)


@dataclass(frozen=True)
class Schedule:
    """The curves of a training, in order, and the number of steps of an epoch."""

    curves: tuple[Curve, ...]
    epoch_length: int

    def lr(self, step: int, group: Mapping[str, Any]) -> float:
        """The learning rate of a group of an optimizer at a step.

        Args:
            step: Number of batches before, over all epochs.
            group: Group with ``initial_lr``, as :func:`~rotx.engine.optim.build_optimizer` makes it.
        """
        lr = float(group["initial_lr"])
        for curve in self.curves:
            at = self._at(curve, step)
            if at >= 0:
                lr = curve.lr(lr, at, group)
        return lr

    def apply(self, optimizer: Optimizer, step: int) -> None:
        """Sets the learning rates, and the momenta if they cycle, for the step after ``step`` batches."""
        cycles = [curve for curve in self.curves if isinstance(curve, OneCycleLR) and curve.cycle_momentum]
        for group in optimizer.param_groups:
            group["lr"] = self.lr(step, group)
            for curve in cycles:
                at = self._at(curve, step)
                if at < 0:
                    continue
                if "betas" in group:
                    group["betas"] = (curve.momentum(at), *group["betas"][1:])
                else:
                    group["momentum"] = curve.momentum(at)

    def _at(self, curve: Curve, step: int) -> int:
        """Number of epochs or steps since a curve began; negative before."""
        count = step // self.epoch_length if curve.by_epoch else step
        return (count if curve.end is None else min(count, curve.end - 1)) - curve.begin


def build_schedule(param_scheduler: Any, *, epoch_length: int) -> Schedule:
    """Builds the schedule of a config.

    Args:
        param_scheduler: A dict with the ``type`` and keywords of a curve, a list of such dicts, or None for a constant
            learning rate. ``convert_to_iter_based=True`` turns a curve that counts epochs into one that counts steps:
            its numbers are multiplied by ``epoch_length``.
        epoch_length: Number of steps (batches) of an epoch.

    Raises:
        ValueError: If a type or keyword is unknown or a value is invalid; the message gives its path in the config.
    """
    if isinstance(param_scheduler, Mapping):
        param_scheduler = [param_scheduler]
    curves = []
    for i, config in enumerate(param_scheduler or ()):
        where = f"param_scheduler.{i}"
        if not isinstance(config, Mapping) or "type" not in config:
            raise ValueError(f"{where}: need a dict with a type such as 'LinearLR', got {config!r}")
        curve = build(_in_steps(config, epoch_length, where), where)
        if not isinstance(curve, Curve):
            raise ValueError(f"{where}: {config['type']!r} is no learning rate scheduler")
        curves.append(curve)
    return Schedule(tuple(curves), epoch_length)


def _in_steps(config: Mapping[str, Any], epoch_length: int, where: str) -> dict[str, Any]:
    config = dict(config)
    if not config.pop("convert_to_iter_based", False):
        return config
    if not config.get("by_epoch", True):
        raise ValueError(f"{where}.convert_to_iter_based: needs by_epoch=True")
    if str(config["type"]).endswith("ExponentialLR"):
        raise ValueError(f"{where}.convert_to_iter_based: gamma counts epochs: give that of a step and by_epoch=False")
    for name in COUNTS:
        value = config.get(name)
        if isinstance(value, list | tuple):
            config[name] = [int(item * epoch_length) for item in value]
        elif value is not None:
            config[name] = int(value * epoch_length)
    return config | {"by_epoch": False}
