"""Learning rates: torch's schedulers' numbers from the number of the step alone, and MMEngine's keywords."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD, AdamW, Optimizer
from torch.optim import lr_scheduler as theirs

from rotx.compat import load_config
from rotx.engine.schedule import build_schedule

CONFIGS = Path(__file__).parents[2] / "configs"
LR = 0.02


def optimizer(kind: type[Optimizer] = SGD, **options: Any) -> Optimizer:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [weights[0]]}, {"params": [weights[1]], "lr": LR / 10, "lr_mult": 0.1}]
    made = kind(groups, lr=LR, **options)
    for group in made.param_groups:
        group["initial_lr"] = group["lr"]
    return made


def run(schedule: Any, steps: int, made: Optimizer | None = None) -> list[list[float]]:
    """The learning rates of both groups at each step, the steps taken backwards: none depends on another."""
    made = optimizer() if made is None else made
    found = []
    for step in reversed(range(steps)):
        schedule.apply(made, step)
        found.append([group["lr"] for group in made.param_groups])
    return found[::-1]


def run_torch(make: Callable[[Optimizer], Any], steps: int) -> list[list[float]]:
    made = optimizer()
    scheduler = make(made)
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in made.param_groups])
        made.step()
        scheduler.step()
    return found


def near(found: list[list[float]], wanted: list[list[float]]) -> None:
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), torch.tensor(wanted, dtype=torch.float64))


PAIRS: dict[str, tuple[dict[str, Any], Callable[[Optimizer], Any]]] = {
    "linear": (
        {"type": "LinearLR", "start_factor": 0.1, "end": 21},
        lambda o: theirs.LinearLR(o, start_factor=0.1, total_iters=20),
    ),
    "linear down": (
        {"type": "LinearLR", "start_factor": 1.0, "end_factor": 0.2, "end": 11},
        lambda o: theirs.LinearLR(o, start_factor=1.0, end_factor=0.2, total_iters=10),
    ),
    "constant": (
        {"type": "ConstantLR", "factor": 0.25, "end": 13},
        lambda o: theirs.ConstantLR(o, factor=0.25, total_iters=12),
    ),
    "multistep": (
        {"type": "MultiStepLR", "milestones": [5, 20, 20, 31], "gamma": 0.3},
        lambda o: theirs.MultiStepLR(o, [5, 20, 20, 31], gamma=0.3),
    ),
    "step": ({"type": "StepLR", "step_size": 7, "gamma": 0.5}, lambda o: theirs.StepLR(o, 7, gamma=0.5)),
    "exponential": ({"type": "ExponentialLR", "gamma": 0.9}, lambda o: theirs.ExponentialLR(o, 0.9)),
    "poly": ({"type": "PolyLR", "power": 0.9, "end": 31}, lambda o: theirs.PolynomialLR(o, 30, power=0.9)),
    "cosine": (
        {"type": "CosineAnnealingLR", "T_max": 40, "eta_min": 1e-4},
        lambda o: theirs.CosineAnnealingLR(o, 40, eta_min=1e-4),
    ),
    "warm-up and steps": (
        [
            {"type": "LinearLR", "start_factor": 1 / 3, "end": 10, "by_epoch": False},
            {"type": "MultiStepLR", "milestones": [6, 30], "by_epoch": False},
        ],
        lambda o: theirs.ChainedScheduler(
            [theirs.LinearLR(o, 1 / 3, total_iters=9), theirs.MultiStepLR(o, [6, 30])], optimizer=o
        ),
    ),
    "warm-up, then cosine": (
        [
            {"type": "LinearLR", "start_factor": 0.01, "end": 11, "by_epoch": False},
            {"type": "CosineAnnealingLR", "begin": 11, "T_max": 29, "eta_min": 1e-5, "by_epoch": False},
        ],
        lambda o: theirs.SequentialLR(
            o,
            [theirs.LinearLR(o, 0.01, total_iters=10), theirs.CosineAnnealingLR(o, 29, eta_min=1e-5)],
            milestones=[11],
        ),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_numbers_are_torchs(name: str) -> None:
    param_scheduler, make = PAIRS[name]
    schedule = build_schedule(param_scheduler, epoch_length=1)
    near(run(schedule, 40), run_torch(make, 40))


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("kind", [SGD, AdamW])
def test_one_cycle_is_torchs(kind: type[Optimizer], strategy: str, three_phase: bool) -> None:
    options = {} if kind is AdamW else {"momentum": 0.9}
    made, reference = optimizer(kind, **options), optimizer(kind, **options)
    shared = {"pct_start": 0.31, "anneal_strategy": strategy, "div_factor": 20, "final_div_factor": 100}
    shared |= {"three_phase": three_phase, "base_momentum": 0.8, "max_momentum": 0.9, "cycle_momentum": True}
    curve = {"type": "OneCycleLR", "eta_max": 0.1, "total_steps": 37, "by_epoch": False}
    schedule = build_schedule(curve | shared, epoch_length=5)
    scheduler = theirs.OneCycleLR(reference, max_lr=[0.1, 0.01], total_steps=37, **shared)
    for step in range(37):
        schedule.apply(made, step)
        for ours, group in zip(made.param_groups, reference.param_groups, strict=True):
            assert ours["lr"] == pytest.approx(group["lr"], rel=1e-9)
            momentum = "betas" if kind is AdamW else "momentum"
            assert ours[momentum] == pytest.approx(group[momentum], rel=1e-9)
        reference.step()
        if step < 36:
            scheduler.step()
    schedule.apply(made, 99)  # stays at its end
    assert made.param_groups[0]["lr"] == pytest.approx(reference.param_groups[0]["lr"])


def test_epochs_and_steps() -> None:
    milestones = {"type": "MultiStepLR", "milestones": [2, 3], "gamma": 0.1, "begin": 0, "end": 12}
    warm = {"type": "LinearLR", "start_factor": 0.5, "end": 5, "by_epoch": False}
    found = [lr for lr, _ in run(build_schedule([warm, milestones], epoch_length=4), 20)]
    assert found == pytest.approx([LR * f for f in [0.5, 0.625, 0.75, 0.875] + [1] * 4 + [0.1] * 4 + [0.01] * 8])
    cosine = {"type": "CosineAnnealingLR", "begin": 1, "end": 3, "T_max": 2, "convert_to_iter_based": True}
    in_steps = {"type": "CosineAnnealingLR", "begin": 4, "end": 12, "T_max": 8, "by_epoch": False}
    assert run(build_schedule(cosine, epoch_length=4), 20) == run(build_schedule(in_steps, epoch_length=4), 20)
    steps = {"type": "MultiStepLR", "milestones": [2, 3], "convert_to_iter_based": True}
    assert run(build_schedule(steps, epoch_length=4), 20) == run(build_schedule(milestones, epoch_length=4), 20)


def test_what_begins_later_and_ends_earlier() -> None:
    ratio = {"type": "CosineAnnealingLR", "begin": 3, "end": 8, "eta_min_ratio": 0.05, "by_epoch": False}
    found = run(build_schedule(ratio, epoch_length=1), 12)
    assert found[:4] == [[LR, LR / 10]] * 4 and found[7:] == [found[7]] * 5
    full = run(build_schedule(ratio | {"end": None, "T_max": 5}, epoch_length=1), 12)
    assert full[8] == pytest.approx([LR * 0.05, LR / 10 * 0.05]) and found[7] == full[7]
    assert run(build_schedule(None, epoch_length=3), 4) == [[LR, LR / 10]] * 4


def test_the_schedules_of_the_configs() -> None:
    for name, drops in (("1x", (8, 11)), ("3x", (24, 33)), ("6x", (48, 66))):
        loaded = load_config(CONFIGS / "_base_" / "schedules" / f"schedule_{name}.py")
        schedule = build_schedule(loaded["param_scheduler"], epoch_length=1000)
        group = {"initial_lr": 0.0025}
        assert schedule.lr(0, group) == pytest.approx(0.0025 / 3)
        assert schedule.lr(499, group) == schedule.lr(drops[0] * 1000 - 1, group) == 0.0025
        assert schedule.lr(drops[0] * 1000, group) == pytest.approx(0.00025)
        assert schedule.lr(drops[1] * 1000, group) == pytest.approx(0.000025)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"type": "LinearRL"}, r"param_scheduler\.0: unknown type 'LinearRL': did you mean 'LinearLR'"),
        ({"type": "LinearLR"}, r"param_scheduler\.0 \(LinearLR\): end: LinearLR needs it, in epochs"),
        ({"type": "LinearLR", "end": 5, "start": 0.1}, "takes no 'start': did you mean 'start_factor'"),
        ({"type": "LinearLR", "end": 5, "start_factor": 3}, "start_factor: need 0 to 1, got 3"),
        ({"type": "LinearLR", "end": 1}, "end: need at least begin \\+ 2"),
        ({"type": "MultiStepLR", "milestones": [1], "begin": 5, "end": 5}, "end: need more than begin"),
        ({"type": "MultiStepLR", "milestones": [1], "begin": -1}, "begin: need at least 0"),
        ({"type": "MultiStepLR"}, "needs 'milestones'"),
        ({"type": "StepLR", "step_size": 0}, "step_size: need at least 1"),
        ({"type": "CosineAnnealingLR"}, "end: CosineAnnealingLR needs it"),
        ({"type": "CosineAnnealingLR", "T_max": 0}, "T_max: need at least 1"),
        ({"type": "CosineAnnealingLR", "T_max": 9, "eta_min": 1, "eta_min_ratio": 0.1}, "keep one"),
        ({"type": "OneCycleLR", "eta_max": 1, "total_steps": 3}, "total_steps: need at least 4"),
        ({"type": "OneCycleLR", "eta_max": 1, "total_steps": 9, "pct_start": 1}, "pct_start"),
        ({"type": "OneCycleLR", "eta_max": 1, "total_steps": 9, "anneal_strategy": "up"}, "anneal_strategy"),
        ({"type": "ExponentialLR", "gamma": 0.9, "convert_to_iter_based": True}, "gamma counts epochs"),
        ({"type": "StepLR", "step_size": 3, "by_epoch": False, "convert_to_iter_based": True}, "needs by_epoch=True"),
        ({"type": "SGD", "lr": 1}, "SGD"),
        ({"end": 3}, "need a dict with a type"),
        ("LinearLR", "need a dict with a type"),
    ],
)
def test_mistakes_are_named(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_schedule([wrong], epoch_length=10)
