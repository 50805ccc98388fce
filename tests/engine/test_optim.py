"""Optimizers of configs: MMEngine's rules for single parameters, clipping, and mistakes that are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rotx.compat import load_config
from rotx.engine.optim import build_optimizer, param_groups

CONFIGS = Path(__file__).parents[2] / "configs"
SGD = {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1))
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 2)
        self.scale = nn.Parameter(torch.ones(1))
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)


def multiples(model: nn.Module, paramwise: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Of learning rate and weight decay, by the name of the parameter."""
    groups, _ = param_groups(model, paramwise, 1.0, 1.0)
    names = {id(value): name for name, value in model.named_parameters()}
    found = {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups)
    return found


def test_rules_for_single_parameters() -> None:
    plain = multiples(Net(), {})
    assert set(plain) == {name for name, _ in Net().named_parameters()} - {"frozen"}
    assert set(plain.values()) == {(1.0, 1.0)}
    rules = {"norm_decay_mult": 0.0, "bias_lr_mult": 2.0, "bias_decay_mult": 0.5, "dwconv_decay_mult": 0.25}
    assert multiples(Net(), rules) == {
        "scale": (1, 1),
        "backbone.0.weight": (1, 0.25),
        "backbone.0.bias": (2, 0.5),
        "backbone.1.weight": (1, 0),
        "backbone.1.bias": (1, 0),
        "backbone.2.weight": (1, 1),
        "backbone.2.bias": (2, 0.5),
        "norm.weight": (1, 0),
        "norm.bias": (1, 0),
        "head.weight": (1, 1),
        "head.bias": (2, 0.5),
    }
    flat = multiples(Net(), {"flat_decay_mult": 0.0, "bias_decay_mult": 0.5})
    assert (flat["scale"], flat["norm.weight"], flat["head.bias"], flat["head.weight"]) == (
        (1, 0),
        (1, 0),
        (1, 0.5),
        (1, 1),
    )


def test_custom_keys_win_the_longest_first() -> None:
    custom = {"backbone": {"lr_mult": 0.1}, "backbone.1": {"lr_mult": 0.2, "decay_mult": 0.0}}
    found = multiples(Net(), {"custom_keys": custom, "norm_decay_mult": 0.5, "bias_lr_mult": 2.0})
    assert found["backbone.0.bias"] == (0.1, 1.0)
    assert found["backbone.1.weight"] == found["backbone.1.bias"] == (0.2, 0.0)
    assert found["norm.bias"] == (1.0, 0.5) and found["head.bias"] == (2.0, 1.0)


def test_groups_and_what_is_shared() -> None:
    net = Net()
    net.again = net.head
    made = build_optimizer(net, {"optimizer": SGD, "paramwise_cfg": {"custom_keys": {"backbone": {"lr_mult": 0.1}}}})
    plain, slow = made.optimizer.param_groups
    assert (plain["lr"], plain["initial_lr"], plain["weight_decay"], plain["momentum"]) == (0.1, 0.1, 0.01, 0.9)
    assert (slow["lr"], slow["initial_lr"], slow["lr_mult"]) == pytest.approx((0.01, 0.01, 0.1))
    assert "lr_mult" not in plain and len(slow["params"]) == 6 and len(plain["params"]) == 5
    nothing = {"custom_keys": {"absolute_pos_embed": {"decay_mult": 0.0}}}
    assert build_optimizer(net, {"optimizer": SGD, "paramwise_cfg": nothing}).notices == (
        "optim_wrapper.paramwise_cfg.custom_keys.absolute_pos_embed: no parameter has this in its name",
    )


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_steps_are_torchs(name: str) -> None:
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    made = build_optimizer(ours, {"optimizer": {"type": name, "lr": 0.05, "weight_decay": 0.1}})
    reference = getattr(torch.optim, name)(theirs.parameters(), lr=0.05, weight_decay=0.1)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        for model, optimizer in ((ours, made.optimizer), (theirs, reference)):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


def test_clipping() -> None:
    def gradients(clip_grad: Any) -> tuple[float, torch.Tensor]:
        model = nn.Linear(2, 1, bias=False)
        made = build_optimizer(model, {"optimizer": SGD, "clip_grad": clip_grad})
        model.weight.grad = torch.tensor([[3.0, -4.0]])
        return float(made.clip()), model.weight.grad[0]

    assert gradients(None)[0] == 5 and gradients(None)[1].tolist() == [3, -4]
    norm, clipped = gradients({"max_norm": 1, "norm_type": 2})
    assert norm == 5 and clipped.tolist() == pytest.approx([0.6, -0.8], abs=1e-5)
    norm, clipped = gradients({"max_norm": 2, "norm_type": float("inf")})
    assert norm == 4 and clipped.tolist() == pytest.approx([1.5, -2], abs=1e-5)
    norm, clipped = gradients({"type": "value", "clip_value": 3.5})
    assert norm == 5 and clipped.tolist() == [3, -3.5]


def test_amp_and_accumulation() -> None:
    plain = build_optimizer(Net(), {"type": "OptimWrapper", "optimizer": SGD})
    assert (plain.amp_dtype, plain.accumulative_counts, plain.clip_grad) == (None, 1, None)
    amp = build_optimizer(Net(), {"type": "mmengine.AmpOptimWrapper", "optimizer": SGD, "accumulative_counts": 4})
    assert (amp.amp_dtype, amp.loss_scale, amp.accumulative_counts) == (torch.float16, "dynamic", 4)
    options = {"type": "AmpOptimWrapper", "dtype": "bfloat16", "loss_scale": 512}
    amp = build_optimizer(Net(), {"optimizer": SGD} | options)
    assert (amp.amp_dtype, amp.loss_scale) == (torch.bfloat16, 512.0)


def test_the_optimizers_of_the_configs() -> None:
    found = set()
    for path in sorted(CONFIGS.glob("[!_]*/*.py")):
        wrapper = load_config(path)["optim_wrapper"]
        made = build_optimizer(Net(), wrapper)
        clip = 10 if path.parent.name in ("demo", "hit_uav") else 35
        # MMDetection's schedules clip nothing.
        wanted = None if path.stem.endswith("_coco") else {"max_norm": clip, "norm_type": 2}
        assert made.clip_grad == wanted, path
        found.add((type(made.optimizer).__name__, made.amp_dtype))
    assert {("SGD", None), ("SGD", torch.float16), ("AdamW", None)} <= found


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"optimiser": SGD}, "takes no 'optimiser': did you mean 'optimizer'"),
        ({"clip_grad": None}, "needs 'optimizer'"),
        ({"optimizer": "SGD"}, "optim_wrapper.optimizer: need a dict with a type"),
        ({"optimizer": {"type": "SDG", "lr": 1}}, "unknown type 'SDG': did you mean 'SGD'"),
        ({"optimizer": {"type": "FPN", "lr": 1}}, "'FPN' is no optimizer"),
        ({"optimizer": {"type": "SGD", "lr": 1, "momentun": 0.9}}, "takes no 'momentun': did you mean 'momentum'"),
        ({"optimizer": {"type": "SGD"}}, "optim_wrapper.optimizer.lr: need a number"),
        ({"optimizer": SGD | {"lr": -1}}, "optim_wrapper.optimizer: Invalid learning rate"),
        ({"optimizer": SGD, "type": "ApexOptimWrapper"}, "need 'OptimWrapper' or 'AmpOptimWrapper'"),
        ({"optimizer": SGD, "dtype": "float16"}, "optim_wrapper.dtype: needs type='AmpOptimWrapper'"),
        ({"optimizer": SGD, "type": "AmpOptimWrapper", "dtype": "half"}, "optim_wrapper.dtype: need 'float16' or"),
        ({"optimizer": SGD, "type": "AmpOptimWrapper", "loss_scale": "static"}, "loss_scale: need 'dynamic' or"),
        ({"optimizer": SGD, "accumulative_counts": 0}, "accumulative_counts: need at least 1"),
        ({"optimizer": SGD, "clip_grad": 35}, "optim_wrapper.clip_grad: need a dict"),
        ({"optimizer": SGD, "clip_grad": {"maxnorm": 35}}, "takes no 'maxnorm': known are max_norm, norm_type"),
        ({"optimizer": SGD, "clip_grad": {"norm_type": 2}}, "clip_grad.max_norm: need a number above 0, got None"),
        ({"optimizer": SGD, "clip_grad": {"type": "l2"}}, "clip_grad.type: need 'norm' or 'value'"),
        ({"optimizer": SGD, "paramwise_cfg": {"bias_lr": 2}}, "takes no 'bias_lr': did you mean 'bias_lr_mult'"),
        ({"optimizer": SGD, "paramwise_cfg": {"custom_keys": {"a": {"lr": 2}}}}, "custom_keys.a: .* takes no 'lr'"),
        (
            {"optimizer": {"type": "SGD", "lr": 1}, "paramwise_cfg": {"norm_decay_mult": 0}},
            "paramwise_cfg.norm_decay_mult: the optimizer needs a weight_decay",
        ),
    ],
)
def test_mistakes_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_optimizer(Net(), wrong)


def test_nothing_to_train() -> None:
    with pytest.raises(ValueError, match="nothing to train"):
        build_optimizer(Net().requires_grad_(False), {"optimizer": SGD})
