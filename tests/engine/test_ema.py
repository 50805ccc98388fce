"""The moving average of weights: its formula, what it leaves alone, and resuming bit for bit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from rotx.engine.ema import EMA, build_ema


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def change(model: nn.Module, step: int) -> None:
    """As a step of training would: other weights, other statistics."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator))
            else:
                value.fill_(step)


def run(model: nn.Module, ema: EMA, steps: range) -> list[dict[str, torch.Tensor]]:
    """The model's weights after each step."""
    seen = []
    for step in steps:
        change(model, step)
        ema.update(step)
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
    return seen


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["ExponentialMovingAverage", "ExpMomentumEMA", "MomentumAnnealingEMA"])
def test_the_formula(kind: str) -> None:
    model = net()
    ema = EMA(model, ema_type=kind, momentum=0.01)
    seen = run(model, ema, range(8))
    wanted = seen[0]["0.weight"].double()
    for n in range(1, 8):
        share = {
            "ExponentialMovingAverage": 0.01,
            "ExpMomentumEMA": 0.99 * math.exp(-(1 + n) / 2000) + 0.01,
            "MomentumAnnealingEMA": max(0.01, 100 / (100 + n)),
        }[kind]
        wanted = wanted * (1 - share) + seen[n]["0.weight"].double() * share
    torch.testing.assert_close(ema.state_dict()["0.weight"].double(), wanted, rtol=1e-5, atol=1e-7)
    assert not torch.equal(ema.state_dict()["0.weight"], seen[-1]["0.weight"])


@pytest.mark.parametrize("update_buffers", [False, True])
def test_buffers(update_buffers: bool) -> None:
    model = net()
    ema = EMA(model, momentum=0.25, update_buffers=update_buffers)
    seen = run(model, ema, range(2))
    mean = "1.running_mean"
    wanted = 0.75 * seen[0][mean] + 0.25 * seen[1][mean] if update_buffers else seen[1][mean]
    torch.testing.assert_close(ema.state_dict()[mean], wanted)
    assert int(ema.state_dict()["1.num_batches_tracked"]) == 1


def test_lists_of_tensors_give_the_numbers_of_each() -> None:
    model = net()
    ema = EMA(model, momentum=0.1, update_buffers=True)
    wanted = {name: value.clone() for name, value in ema.state_dict().items()}
    for step, weights in enumerate(run(model, ema, range(5))):
        for name, value in weights.items():
            if step == 0 or not value.is_floating_point():
                wanted[name].copy_(value)
            else:
                wanted[name].lerp_(value, 0.1)
    assert equal(ema.state_dict(), wanted)


def test_begin() -> None:
    model = net()
    ema = EMA(model, momentum=0.25, begin=3)
    seen = run(model, ema, range(4))
    assert equal(ema.state_dict(), seen[3])  # until it begins it is the weights themselves
    seen += run(model, ema, range(4, 5))
    wanted = 0.75 * seen[3]["0.weight"] + 0.25 * seen[4]["0.weight"]
    torch.testing.assert_close(ema.state_dict()["0.weight"], wanted)


def test_swapped_puts_all_back_whatever_happens() -> None:
    model = net()
    ema = EMA(model, momentum=0.25)
    own = run(model, ema, range(5))[-1]
    averages = {name: value.clone() for name, value in ema.state_dict().items()}
    with ema.swapped():
        assert equal(dict(model.state_dict()), averages)
    with pytest.raises(KeyError), ema.swapped():
        raise KeyError
    assert equal(dict(model.state_dict()), own) and equal(ema.state_dict(), averages)
    assert not equal(own, averages)


def test_resumed_is_the_same_bit_for_bit() -> None:
    options: dict[str, Any] = {"ema_type": "ExpMomentumEMA", "momentum": 0.01, "gamma": 7}
    model = net()
    whole = EMA(model, **options)
    run(model, whole, range(9))
    first = net()
    half = EMA(first, **options)
    run(first, half, range(4))
    second = net()
    resumed = EMA(second, **options)
    resumed.load_state_dict({name: value.clone() for name, value in half.state_dict().items()})
    run(second, resumed, range(4, 9))
    assert equal(whole.state_dict(), resumed.state_dict())
    for wrong in ({}, half.state_dict() | {"x": torch.zeros(1)}, half.state_dict() | {"0.bias": torch.zeros(7)}):
        with pytest.raises(ValueError, match=r"another model: .* differs"):
            resumed.load_state_dict(wrong)


def test_hooks_of_configs() -> None:
    hook = {"type": "EMAHook", "ema_type": "mmdet.ExpMomentumEMA", "momentum": 0.0002, "update_buffers": True}
    ema = build_ema(net(), hook | {"priority": 49, "begin_epoch": 2}, epoch_length=10)
    assert (ema.ema_type, ema.momentum, ema.gamma, ema.begin) == ("ExpMomentumEMA", 0.0002, 2000, 20)
    assert build_ema(net(), {"type": "EMAHook", "begin_iter": 7}, epoch_length=10).begin == 7


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ema_type": "EMA"}, "custom_hooks.0: ema_type: need 'ExponentialMovingAverage' or"),
        ({"momentum": 0.9998}, "as decay it is momentum=0.0002"),
        ({"momentum": 0}, "momentum: need more than 0"),
        ({"gamma": 10}, "gamma: need a number above 0, with ExpMomentumEMA"),
        ({"interval": 2}, "custom_hooks.0.interval: only 1 is supported"),
        ({"begin_epoc": 3}, "takes no 'begin_epoc': did you mean 'begin_epoch'"),
        ({"begin_epoch": 3, "begin_iter": 2}, "keep one of begin_iter and begin_epoch"),
    ],
)
def test_mistakes_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_ema(net(), {"type": "EMAHook"} | wrong, epoch_length=10, where="custom_hooks.0")
