"""The optimizer of a training, from MMEngine's ``optim_wrapper``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer  # noqa: F401, the registry finds the first three here

from rotx.registry import check_keywords, resolve

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Optimization:
    """The optimizer, and how gradients are accumulated, clipped and scaled.

    Attributes:
        optimizer: Optimizer whose groups hold ``initial_lr``, and ``lr_mult`` where that is not 1.
        accumulative_counts: Number of batches whose gradients are averaged for one update.
        clip_grad: ``max_norm`` and ``norm_type``, or ``clip_value``; None for no clipping.
        amp_dtype: Type of the forward pass under ``torch.autocast``; None for full precision.
        loss_scale: Factor of the losses for float16: ``"dynamic"`` or a number.
        notices: Messages for the user.
    """

    optimizer: Optimizer
    accumulative_counts: int
    clip_grad: dict[str, Any] | None
    amp_dtype: torch.dtype | None
    loss_scale: str | float
    notices: tuple[str, ...]

    def clip(self) -> Tensor:
        """Clips all gradients in place; with a loss scale, unscale them first.

        Returns:
            Their norm before, a scalar on their device: the 2-norm unless ``clip_grad`` has another ``norm_type``.
        """
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        if self.clip_grad is not None and "max_norm" in self.clip_grad:
            return nn.utils.clip_grad_norm_(parameters, **self.clip_grad)
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.clip_grad is not None:
            nn.utils.clip_grad_value_(parameters, **self.clip_grad)
        return norm


def build_optimizer(model: nn.Module, optim_wrapper: Mapping[str, Any]) -> Optimization:
    """Builds the optimizer of a config.

    Args:
        model: Model, not wrapped for distributed training. Parameters without gradient are left out.
        optim_wrapper: Config: ``type`` (``OptimWrapper``, or ``AmpOptimWrapper`` with ``dtype`` and ``loss_scale``),
            ``optimizer`` (``type`` and keywords of one of torch's: SGD, Adam, AdamW, or one that the user registered),
            ``paramwise_cfg``, ``accumulative_counts``, ``clip_grad``.

    Raises:
        ValueError: If the config cannot be built; the message names the key.
    """
    check_keywords(_wrapper, {key: value for key, value in optim_wrapper.items() if key != "type"}, "optim_wrapper")
    amp = _kind(optim_wrapper) == "AmpOptimWrapper"
    for key in ("dtype", "loss_scale"):
        if key in optim_wrapper and not amp:
            raise ValueError(f"optim_wrapper.{key}: needs type='AmpOptimWrapper'")
    accumulative_counts = optim_wrapper.get("accumulative_counts", 1)
    if not isinstance(accumulative_counts, int) or accumulative_counts < 1:
        raise ValueError(f"optim_wrapper.accumulative_counts: need at least 1, got {accumulative_counts!r}")
    clip_grad = _clip_grad(optim_wrapper.get("clip_grad"))
    dtype, loss_scale = _amp(optim_wrapper)
    optimizer, notices = _optimizer(model, optim_wrapper["optimizer"], optim_wrapper.get("paramwise_cfg") or {})
    return Optimization(optimizer, accumulative_counts, clip_grad, dtype if amp else None, loss_scale, notices)


def _wrapper(
    *,
    optimizer: Any,
    paramwise_cfg: Any = None,
    accumulative_counts: Any = 1,
    clip_grad: Any = None,
    dtype: Any = None,
    loss_scale: Any = "dynamic",
) -> None:
    """The keywords of ``optim_wrapper``, for :func:`check_keywords`."""


def _paramwise(
    *,
    custom_keys: Any = None,
    norm_decay_mult: Any = None,
    bias_lr_mult: Any = None,
    bias_decay_mult: Any = None,
    dwconv_decay_mult: Any = None,
    flat_decay_mult: Any = None,
    bypass_duplicate: Any = True,
) -> None:
    """The keywords of ``paramwise_cfg``."""


def _custom(*, lr_mult: Any = 1.0, decay_mult: Any = 1.0) -> None:
    """The keywords of one of ``custom_keys``."""


def _kind(optim_wrapper: Mapping[str, Any]) -> str:
    kind = str(optim_wrapper.get("type", "OptimWrapper")).removeprefix("mmengine.")
    if kind not in ("OptimWrapper", "AmpOptimWrapper"):
        raise ValueError(f"optim_wrapper.type: need 'OptimWrapper' or 'AmpOptimWrapper', got {kind!r}")
    return kind


def _clip_grad(config: Any) -> dict[str, Any] | None:
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise ValueError(f"optim_wrapper.clip_grad: need a dict such as dict(max_norm=35, norm_type=2), got {config!r}")
    clip = dict(config)
    kind = clip.pop("type", "norm")
    main = {"norm": "max_norm", "value": "clip_value"}.get(str(kind))
    if main is None:
        raise ValueError(f"optim_wrapper.clip_grad.type: need 'norm' or 'value', got {kind!r}")
    known = (main, "norm_type") if main == "max_norm" else (main,)
    for key in clip:
        if key not in known:
            raise ValueError(f"optim_wrapper.clip_grad: takes no {key!r}: known are {', '.join(known)}")
    if not isinstance(clip.get(main), int | float) or not clip[main] > 0:
        raise ValueError(f"optim_wrapper.clip_grad.{main}: need a number above 0, got {clip.get(main)!r}")
    return {key: float(value) for key, value in clip.items()}


def _amp(optim_wrapper: Mapping[str, Any]) -> tuple[torch.dtype, str | float]:
    dtype = optim_wrapper.get("dtype") or "float16"
    if dtype not in DTYPES:
        raise ValueError(f"optim_wrapper.dtype: need {' or '.join(map(repr, DTYPES))}, got {dtype!r}")
    scale = optim_wrapper.get("loss_scale", "dynamic")
    if scale != "dynamic" and not (isinstance(scale, int | float) and scale > 0):
        raise ValueError(f"optim_wrapper.loss_scale: need 'dynamic' or a number above 0, got {scale!r}")
    return DTYPES[dtype], scale if scale == "dynamic" else float(scale)


def _optimizer(model: nn.Module, config: Any, paramwise: Mapping[str, Any]) -> tuple[Optimizer, tuple[str, ...]]:
    where = "optim_wrapper.optimizer"
    if not isinstance(config, Mapping) or "type" not in config:
        raise ValueError(f"{where}: need a dict with a type such as 'SGD', got {config!r}")
    options = {key: value for key, value in config.items() if key != "type"}
    try:
        target = resolve(config["type"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not (isinstance(target, type) and issubclass(target, Optimizer)):
        raise ValueError(f"{where}: {config['type']!r} is no optimizer")
    check_keywords(target, {"params": None, **options}, where)
    if not isinstance(options.get("lr"), int | float):
        raise ValueError(f"{where}.lr: need a number, got {options.get('lr')!r}")
    groups, notices = param_groups(model, paramwise, options["lr"], options.get("weight_decay"))
    try:
        return target(groups, **options), notices
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def param_groups(
    model: nn.Module, paramwise: Mapping[str, Any], lr: float, weight_decay: float | None
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Groups a model's parameters by learning rate and weight decay, by MMEngine's rules.

    A parameter whose name contains a key of ``custom_keys`` takes the multiples of that key, the longest one if there
    are several. For the others, ``bias_lr_mult`` applies to biases outside norms, and the first of these that is given
    and fits applies to the decay: ``norm_decay_mult``, ``bias_decay_mult``, ``dwconv_decay_mult`` (depth-wise
    convolutions), ``flat_decay_mult`` (parameters with one dimension).

    Args:
        model: Model. Parameters without gradient are left out; shared ones count where they come first.
        paramwise: ``paramwise_cfg`` of a config.
        lr: Learning rate of the optimizer.
        weight_decay: Weight decay of the optimizer; None if it has none, and then nothing may multiply it.

    Returns:
        The groups, that without multiples first, and messages for the user.
    """
    where = "optim_wrapper.paramwise_cfg"
    check_keywords(_paramwise, paramwise, where)
    custom = paramwise.get("custom_keys") or {}
    for key, values in custom.items():
        check_keywords(_custom, values, f"{where}.custom_keys.{key}")
    decays = [key for key in paramwise if key.endswith("decay_mult")]
    decays += [f"custom_keys.{key}.decay_mult" for key, values in custom.items() if "decay_mult" in values]
    if weight_decay is None and decays:
        raise ValueError(f"{where}.{decays[0]}: the optimizer needs a weight_decay to multiply")
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[int] = set()
    used: set[str] = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            key = next((key for key in sorted(sorted(custom), key=len, reverse=True) if key in name), None)
            if key is None:
                mults = _multiples(module, name.rpartition(".")[2], parameter, paramwise)
            else:
                mults = custom[key].get("lr_mult", 1.0), custom[key].get("decay_mult", 1.0)
                used.add(key)
            members.setdefault((float(mults[0]), float(mults[1])), []).append(parameter)
    if not members:
        raise ValueError("model: no parameter needs a gradient: there is nothing to train")
    groups = []
    for (lr_mult, decay_mult), parameters in sorted(members.items(), key=lambda item: item[0] != (1.0, 1.0)):
        group: dict[str, Any] = {"params": parameters, "lr": lr * lr_mult, "initial_lr": lr * lr_mult}
        if lr_mult != 1:
            group["lr_mult"] = lr_mult
        if weight_decay is not None:
            group["weight_decay"] = weight_decay * decay_mult
        groups.append(group)
    unused = (f"{where}.custom_keys.{key}: no parameter has this in its name" for key in custom if key not in used)
    return groups, tuple(unused)


def _multiples(
    module: nn.Module, name: str, parameter: nn.Parameter, paramwise: Mapping[str, Any]
) -> tuple[float, float]:
    """Multiples of learning rate and weight decay for a parameter without custom key, named ``name`` in its module."""
    norm, bias = isinstance(module, NORMS), name == "bias"
    depthwise = isinstance(module, nn.Conv2d) and module.in_channels == module.groups
    lr_mult = paramwise.get("bias_lr_mult") if bias and not norm else None
    rules = {
        "norm_decay_mult": norm,
        "bias_decay_mult": bias,
        "dwconv_decay_mult": depthwise,
        "flat_decay_mult": parameter.ndim == 1,
    }
    given = (paramwise[rule] for rule, fits in rules.items() if fits and paramwise.get(rule) is not None)
    return (1.0 if lr_mult is None else lr_mult), next(given, 1.0)
