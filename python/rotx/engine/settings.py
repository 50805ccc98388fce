"""The settings of a training, read from a config, checked, with defaults.

The keys are MMRotate's. A key without meaning here is an error if it would change the training, and accepted if not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from rotx.boxes import AngleVersion
from rotx.compat.harmless_runs import NEEDLESS_HOOKS
from rotx.compat.sections import check_sections
from rotx.config import ConfigError
from rotx.config.errors import kind

VERSIONS: tuple[AngleVersion, ...] = get_args(AngleVersion)

REQUIRED = ("model", "train_dataloader", "train_cfg", "optim_wrapper")


@dataclass(frozen=True)
class LoaderSettings:
    """The settings of ``train_dataloader`` or ``val_dataloader``."""

    dataset: Mapping[str, Any]
    batch_size: int = 1
    num_workers: int = 0
    sampler: Mapping[str, Any] = field(default_factory=lambda: {"type": "DefaultSampler", "shuffle": False})


@dataclass(frozen=True)
class Settings:
    """The settings of a training.

    Attributes:
        model: Config of the model.
        angle_version: Angle version of the boxes that the model is trained with.
        train: Loader of the training images.
        val: Loader of the validation images; None for no validation.
        evaluator: Config of the metric.
        optim_wrapper: Config for :func:`rotx.engine.optim.build_optimizer`.
        param_scheduler: Config for :func:`rotx.engine.schedule.build_schedule`.
        ema: Config of the ``EMAHook``; None for no average of the weights.
        by_epoch: Whether ``length`` and the intervals of validation count epochs, or steps.
        length: Number of epochs, or steps.
        val_interval: Number of epochs, or steps, from one validation to the next.
        val_begin: First epoch, or step, to validate at.
        save_by_epoch: Whether ``save_interval`` counts epochs, or steps.
        save_interval: Number of epochs, or steps, from one checkpoint to the next.
        keep: Number of checkpoints to keep; -1 for all.
        save_best: Metric whose best checkpoint is kept; ``auto`` for the first one, None for no best checkpoint.
        best_is_less: Whether lower values of that metric are better.
        log_interval: Number of steps from one line of losses to the next.
        tensorboard: Whether to write TensorBoard events.
        seed: Random seed.
        deterministic: Whether to use only operations that repeat bit for bit on a GPU.
        cudnn_benchmark: Whether cuDNN benchmarks its algorithms.
        base_batch_size: Number of images of a step that the learning rate is for; None to use the rate as it is.
        sync_bn: Whether batch normalisation spans the images of all processes.
        find_unused_parameters: Argument of torch's DistributedDataParallel.
        load_from: Checkpoint whose weights a new training starts from.
        resume: Whether to resume the newest checkpoint in the work dir, if there is one.
        resume_from: Checkpoint to resume instead.
        notices: Messages for the user.
    """

    model: Mapping[str, Any]
    angle_version: AngleVersion
    train: LoaderSettings
    val: LoaderSettings | None
    evaluator: Any
    optim_wrapper: Mapping[str, Any]
    param_scheduler: list[Mapping[str, Any]]
    ema: Mapping[str, Any] | None
    by_epoch: bool
    length: int
    val_interval: int
    val_begin: int
    save_by_epoch: bool
    save_interval: int
    keep: int
    save_best: str | None
    best_is_less: bool
    log_interval: int
    tensorboard: bool
    seed: int
    deterministic: bool
    cudnn_benchmark: bool
    base_batch_size: int | None
    sync_bn: bool
    find_unused_parameters: bool
    load_from: str | None
    resume: bool
    resume_from: str | None
    notices: tuple[str, ...]


def read_settings(config: Mapping[str, Any]) -> Settings:
    """Reads the settings of a training from a config.

    Args:
        config: Config as :func:`rotx.compat.load_config` returns it.

    Raises:
        ConfigError: If a key is unknown, a value is invalid or unsupported, or a section is missing; the message names
            the key and the nearest valid one.
    """
    check_sections(config)
    missing = [name for name in REQUIRED if not config.get(name)]
    if missing:
        raise ConfigError(f"needs {', '.join(missing)} to train")
    by_epoch, length = _length(config["train_cfg"])
    checkpoint = _part(config, "default_hooks", "checkpoint")
    ema, ignored = _hooks(_dicts(config.get("custom_hooks"), "custom_hooks"))
    backends, unknown_backends = _backends(config)
    scale = _part(config, "auto_scale_lr")
    if scale.get("enable") and "base_batch_size" not in scale:
        raise ConfigError("auto_scale_lr: needs base_batch_size, the images of a step that the learning rate is for")
    # As in MMRotate, True with load_from goes on with that file; 'auto' starts from its weights at worst.
    resume_from = config.get("load_from") if config.get("resume") is True else None
    counts = ("train_cfg.val_interval", "default_hooks.checkpoint.interval", "default_hooks.logger.interval")
    _at_least(1, config, *counts, "auto_scale_lr.base_batch_size")
    _at_least(0, config, "randomness.seed")
    return Settings(
        model=_mapping(config["model"], "model"),
        angle_version=angle_version(config["model"]),
        train=_loader(config["train_dataloader"], "train_dataloader", shuffle=True),
        val=_val(config),
        evaluator=config.get("val_evaluator"),
        optim_wrapper=_mapping(config["optim_wrapper"], "optim_wrapper"),
        param_scheduler=_dicts(config.get("param_scheduler"), "param_scheduler"),
        ema=ema,
        by_epoch=by_epoch,
        length=length,
        val_interval=config["train_cfg"].get("val_interval", 1 if by_epoch else 1000),
        val_begin=config["train_cfg"].get("val_begin", 1),
        save_by_epoch=checkpoint.get("by_epoch", by_epoch),
        save_interval=checkpoint.get("interval", 1 if checkpoint.get("by_epoch", by_epoch) else 1000),
        keep=checkpoint.get("max_keep_ckpts", -1),
        save_best=checkpoint.get("save_best"),
        best_is_less=checkpoint.get("rule") == "less",
        log_interval=_part(config, "default_hooks", "logger").get("interval", 10),
        tensorboard="TensorboardVisBackend" in backends,
        seed=_part(config, "randomness").get("seed") or 0,
        deterministic=_part(config, "randomness").get("deterministic", False),
        cudnn_benchmark=_part(config, "env_cfg").get("cudnn_benchmark", False),
        base_batch_size=scale["base_batch_size"] if scale.get("enable") else None,
        sync_bn=bool(config.get("sync_bn")),
        find_unused_parameters=_part(config, "model_wrapper_cfg").get("find_unused_parameters", False),
        load_from=None if resume_from else config.get("load_from"),
        resume=bool(config.get("resume")),
        resume_from=resume_from or None,
        notices=(*ignored, *unknown_backends),
    )


def angle_version(model: Any) -> AngleVersion:
    """The ``angle_version`` in a model's config, wherever it is; ``le90`` if there is none."""
    found = dict(_find(model, "angle_version", "model"))
    versions = {value: path for path, value in found.items() if value is not None}
    if len(versions) > 1:
        raise ConfigError(
            f"angle_version: the model has several, {' and '.join(f'{v!r} at {path}' for v, path in versions.items())}:"
            " keep to one"
        )
    for version in VERSIONS:
        if version in versions:
            return version
    if versions:
        value, path = next(iter(versions.items()))
        raise ConfigError(f"{path}: need {' or '.join(map(repr, VERSIONS))}, got {value!r}")
    return "le90"


def _find(value: Any, key: str, path: str) -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, item in items:
        if name == key:
            yield f"{path}.{name}", item
        yield from _find(item, key, f"{path}.{name}")


def num_classes_paths(model: Any) -> list[str]:
    """The places of ``num_classes`` in a model's config, without that of an RPN."""
    return [path for path, _ in _find(model, "num_classes", "model") if ".rpn_head." not in path]


def _at_least(least: int, config: Mapping[str, Any], *paths: str) -> None:
    for path in paths:
        *parents, key = path.split(".")
        value = _part(config, *parents).get(key)
        if value is not None and value < least:
            raise ConfigError(f"{path}: need at least {least}, got {value}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: need a dict, got {kind(value)}")
    return value


def _part(config: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The dict at a path; an empty one if it is absent."""
    part: Mapping[str, Any] = config
    for name in path:
        part = part.get(name) or {}
    return part


def _length(cfg: Mapping[str, Any]) -> tuple[bool, int]:
    kind_of_loop = str(cfg.get("type", "")).rpartition(".")[2]
    by_epoch = kind_of_loop != "IterBasedTrainLoop" if kind_of_loop else cfg.get("by_epoch", "max_epochs" in cfg)
    wanted, other = ("max_epochs", "max_iters") if by_epoch else ("max_iters", "max_epochs")
    if wanted not in cfg or other in cfg:
        raise ConfigError(f"train_cfg: needs {wanted}" + (f", and no {other}" if other in cfg else ""))
    if cfg[wanted] < 1:
        raise ConfigError(f"train_cfg.{wanted}: need at least 1, got {cfg[wanted]}")
    return by_epoch, cfg[wanted]


def _loader(cfg: Mapping[str, Any], where: str, shuffle: bool) -> LoaderSettings:
    if not cfg.get("dataset"):
        raise ConfigError(f"{where}: needs a dataset")
    if cfg.get("batch_size", 1) < 1 or cfg.get("num_workers", 0) < 0:
        raise ConfigError(f"{where}: need a batch_size of at least 1 and num_workers of at least 0")
    default = {"type": "DefaultSampler", "shuffle": cfg["shuffle"] if cfg.get("shuffle") is not None else shuffle}
    sampler = cfg.get("sampler") or default
    if cfg.get("batch_sampler"):
        # It groups what the sampler draws.
        sampler = {"sampler": sampler, **cfg["batch_sampler"]}
    return LoaderSettings(cfg["dataset"], cfg.get("batch_size", 1), cfg.get("num_workers", 0), sampler)


def _val(config: Mapping[str, Any]) -> LoaderSettings | None:
    has = {name: bool(config.get(name)) for name in ("val_dataloader", "val_evaluator")}
    if not any(has.values()):
        return None
    if not all(has.values()):
        missing = next(name for name, there in has.items() if not there)
        raise ConfigError(f"needs {missing} to validate; set both to None to train without")
    return _loader(config["val_dataloader"], "val_dataloader", shuffle=False)


def _dicts(value: Any, where: str) -> list[Mapping[str, Any]]:
    """A list of dicts, or one alone."""
    if value is None:
        return []
    dicts = [value] if isinstance(value, Mapping) else value
    if not isinstance(dicts, list | tuple):
        raise ConfigError(f"{where}: need a list of dicts, got {kind(value)}")
    return [_mapping(item, f"{where}.{i}") for i, item in enumerate(dicts)]


def _hooks(hooks: list[Mapping[str, Any]]) -> tuple[Mapping[str, Any] | None, list[str]]:
    """The EMAHook of ``custom_hooks``, and sentences for those that are not needed."""
    ema, ignored = None, []
    for i, hook in enumerate(hooks):
        name = str(hook.get("type", "")).rpartition(".")[2]
        if name == "EMAHook":
            ema = hook
        elif name in NEEDLESS_HOOKS:
            ignored.append(f"custom_hooks.{i}: {name} is not needed: what it checks is always checked")
        else:
            raise ConfigError(f"custom_hooks.{i}: there is no hook {hook.get('type')!r}, only EMAHook: leave it out")
    return ema, ignored


def _backends(config: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Names of the backends that logs go to, and a sentence for those that do not exist here."""
    visualizer = _mapping(config.get("visualizer") or {}, "visualizer")
    entries = _dicts(config.get("vis_backends"), "vis_backends")
    entries += _dicts(visualizer.get("vis_backends"), "visualizer.vis_backends")
    names = list(dict.fromkeys(str(entry.get("type", "")).rpartition(".")[2] for entry in entries))
    known = ("LocalVisBackend", "TensorboardVisBackend")
    return names, [
        f"vis_backends: {name} is left out: known are {', '.join(known)}" for name in names if name not in known
    ]
