"""Translation of MMRotate 0.x configs to the keys of 1.x: schedule, optimizer and runtime.

The model is translated by :mod:`rotx.compat.mmrotate0_model`, the data by :mod:`rotx.compat.mmrotate0_data`.
The changes are taken from the configs of both versions and the defaults of their constructors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rotx.compat.mmrotate0_data import annotated, translate_data
from rotx.compat.mmrotate0_keys import check_old_sections
from rotx.compat.mmrotate0_model import is_old_model, translate_model
from rotx.config.errors import ConfigError

Config = dict[str, Any]
Notice = Callable[[str], None]

#: Keys that only 0.x files have, and keys that only 1.x files have.
OLD = {"lr_config", "optimizer_config", "checkpoint_config", "log_config"}
NEW = {"train_dataloader", "val_dataloader", "test_dataloader", "optim_wrapper", "param_scheduler", "default_hooks"}
#: Keys of 0.x that may be the user's own variables in a 1.x file.
_OLD_ALONE = {"data", "optimizer", "runner", "total_epochs", "evaluation"}

#: Keys of 0.x that change no training: how often it saves and logs.
_HARMLESS = ("checkpoint_config", "log_config")

#: Settings of 0.x that the translation uses, and settings without counterpart and effect here.
OLD_KEYS = OLD | _OLD_ALONE | {"fp16", "resume_from", "auto_resume", "dist_params", "opencv_num_threads"}
OLD_KEYS |= {"mp_start_method", "cudnn_benchmark", "workflow", "seed", "gpu_ids", "device"}
#: Variables of 0.x files that the translation uses.
_VARIABLES = {"img_norm_cfg", "train_pipeline", "val_pipeline", "test_pipeline"}

_WARMUP = {"linear": "LinearLR", "constant": "ConstantLR"}


def without_leftovers(config: Config, notice: Notice) -> Config:
    """Drops keys of 0.x beside keys of 1.x which 1.x does not read, and which change no training.

    Files that people moved to 1.x often keep them.
    """
    left = [key for key in _HARMLESS if key in config]
    if not left or not any(key in NEW for key in config):
        return config
    notice(f"left out: {', '.join(left)}; keys of MMRotate 0.x beside those of 1.x, which reads default_hooks instead")
    return {key: value for key, value in config.items() if key not in left}


def is_mmrotate0(config: Config) -> bool:
    """Whether a config is in the keys of MMRotate 0.x.

    Raises:
        ConfigError: If the config has keys of both versions.
    """
    old = [key for key in config if key in OLD]
    new = [key for key in config if key in NEW]
    if old and new:
        raise ConfigError(f"keys of MMRotate 0.x ({', '.join(old)}) and of 1.x ({', '.join(new)}): keep to one of them")
    alone = not new and ("total_epochs" in config or any(isinstance(config.get(key), dict) for key in _OLD_ALONE))
    return bool(old) or alone or is_old_model(config.get("model"))


def translate(config: Config, notice: Notice) -> Config:
    """Translates a config of MMRotate 0.x to the keys of 1.x.

    Args:
        config: Config as read from the file; not modified.
        notice: Function that is called with each note for the user.

    Raises:
        ConfigError: For a misspelt key, and for a schedule without counterpart.
    """
    if any(key in NEW for key in config):
        notice("model translated from MMRotate 0.x")
        return {**config, "model": translate_model(config["model"], {}, notice)}
    check_old_sections(config)
    found = [key for key in config if key in OLD_KEYS | _VARIABLES | {"model"}]
    notice(f"translated from MMRotate 0.x: {', '.join(found)}")
    new = {key: value for key, value in config.items() if key not in OLD_KEYS | _VARIABLES}
    data, preprocessor = translate_data(config, notice)
    model = config.get("model")
    if isinstance(model, dict) and is_old_model(model):
        new["model"] = translate_model(model, preprocessor, notice)
    elif isinstance(model, dict):
        notice(f"model.type {model.get('type')!r} is not among the models that are translated: kept as it stands")
        new["model"] = {"data_preprocessor": preprocessor, **model} if preprocessor else model
    new |= data
    length = _schedule(config, new, notice)
    _optimizer(config, new, notice)
    _learning_rate(config, new, length)
    _runtime(config, new, notice)
    return new


def _schedule(config: Config, new: Config, notice: Notice) -> int:
    """Translates ``runner`` and ``evaluation`` to loops and evaluators; returns the number of epochs or iterations."""
    runner = config.get("runner") or {"max_epochs": config.get("total_epochs")}
    evaluation = dict(config.get("evaluation", {}))
    interval = evaluation.pop("interval", 1)
    length = runner.get("max_epochs") or runner.get("max_iters")
    if length:
        unit = "max_epochs" if runner.get("max_epochs") else "max_iters"
        loop = "EpochBasedTrainLoop" if unit == "max_epochs" else "IterBasedTrainLoop"
        new["train_cfg"] = {"type": loop, unit: length, "val_interval": interval}
        new["val_cfg"] = {"type": "ValLoop"}
        new["test_cfg"] = {"type": "TestLoop"}
    if "val_dataloader" in new or "test_dataloader" in new:
        evaluator = {"type": "DOTAMetric", "metric": evaluation.pop("metric", "mAP")}
        if "iou_thr" in evaluation:
            evaluator["iou_thrs"] = evaluation.pop("iou_thr")
        new["val_evaluator"] = evaluator
        new["test_evaluator"] = dict(evaluator)
    if "test_dataloader" in new and not annotated(new["test_dataloader"]["dataset"]):
        # Without annotations, the results are only written, in the format of the DOTA server.
        new["test_evaluator"] = {"type": "DOTAMetric", "format_only": True, "merge_patches": True}
        new["test_evaluator"]["outfile_prefix"] = "./work_dirs/Task1"
    save_best = evaluation.pop("save_best", None)
    if save_best:
        rule = {"rule": evaluation.pop("rule")} if evaluation.get("rule") else {}
        _hook(new, "checkpoint", {"type": "CheckpointHook", "save_best": save_best, **rule})
    _left_out("evaluation", evaluation, notice)
    return int(length or 12)


def _optimizer(config: Config, new: Config, notice: Notice) -> None:
    """Translates ``optimizer``, ``optimizer_config`` and ``fp16`` to ``optim_wrapper``."""
    if "optimizer" not in config:
        return
    optimizer = dict(config["optimizer"])
    hook = dict(config.get("optimizer_config") or {})
    wrapper: Config = {"type": "OptimWrapper", "optimizer": optimizer}
    if "paramwise_cfg" in optimizer:
        wrapper["paramwise_cfg"] = optimizer.pop("paramwise_cfg")
    if hook.pop("grad_clip", None):
        wrapper["clip_grad"] = config["optimizer_config"]["grad_clip"]
    if hook.get("cumulative_iters"):
        wrapper["accumulative_counts"] = hook.pop("cumulative_iters")
    loss_scale = (config.get("fp16") or {}).get("loss_scale", hook.pop("loss_scale", None))
    if config.get("fp16") or hook.get("type") == "Fp16OptimizerHook":
        wrapper["type"] = "AmpOptimWrapper"
        wrapper["loss_scale"] = 512.0 if loss_scale is None else loss_scale
    hook.pop("type", None)
    _left_out("optimizer_config", hook, notice)
    new["optim_wrapper"] = wrapper


def _learning_rate(config: Config, new: Config, length: int) -> None:
    """Translates ``lr_config`` to ``param_scheduler``."""
    if not config.get("lr_config"):
        return
    old = dict(config["lr_config"])
    by_epoch = old.pop("by_epoch", True)
    schedulers = []
    warmup = old.pop("warmup", None)
    if warmup:
        if warmup not in _WARMUP:
            raise ConfigError(f"lr_config.warmup {warmup!r} has no counterpart: use 'linear' or 'constant'")
        linear = warmup == "linear"
        schedulers.append(
            {
                "type": _WARMUP[warmup],
                "start_factor" if linear else "factor": old.pop("warmup_ratio", 0.1),
                "by_epoch": old.pop("warmup_by_epoch", False),
                "begin": 0,
                "end": old.pop("warmup_iters", 0),
            }
        )
    policy = old.pop("policy", "fixed")
    main: Config = {"begin": 0, "end": length, "by_epoch": by_epoch}
    if policy == "step":
        steps = old.pop("step")
        if isinstance(steps, int):
            main |= {"type": "StepLR", "step_size": steps, "gamma": old.pop("gamma", 0.1)}
        else:
            main |= {"type": "MultiStepLR", "milestones": steps, "gamma": old.pop("gamma", 0.1)}
    elif policy == "CosineAnnealing":
        low = {"eta_min": old.pop("min_lr")} if "min_lr" in old else {"eta_min_ratio": old.pop("min_lr_ratio", 0)}
        main |= {"type": "CosineAnnealingLR", "T_max": length, **low}
    elif policy != "fixed":
        raise ConfigError(f"lr_config.policy {policy!r} has no counterpart: use 'step' or 'CosineAnnealing'")
    old = {key: value for key, value in old.items() if not key.startswith("warmup")}
    if old:
        raise ConfigError(f"lr_config.{next(iter(old))} has no counterpart: write param_scheduler = [...] instead")
    new["param_scheduler"] = schedulers + ([main] if "type" in main else [])


def _runtime(config: Config, new: Config, notice: Notice) -> None:
    """Translates hooks, resuming, and the settings of processes."""
    checkpoint = dict(config.get("checkpoint_config") or {})
    checkpoint.pop("create_symlink", None)  # rotx names the last checkpoint in a file, on every system
    if checkpoint:
        _hook(new, "checkpoint", {"type": "CheckpointHook", **checkpoint})
    log = dict(config.get("log_config") or {})
    if log:
        _hook(new, "logger", {"type": "LoggerHook", "interval": log.pop("interval", 10)})
        hooks = [hook.get("type") for hook in log.pop("hooks", [])]
        if "TensorboardLoggerHook" in hooks:
            new["vis_backends"] = [{"type": "TensorboardVisBackend"}]
        others = [hook for hook in hooks if hook not in ("TextLoggerHook", "TensorboardLoggerHook")]
        _left_out("log_config.hooks", others, notice)
    if config.get("resume_from"):
        new |= {"load_from": config["resume_from"], "resume": True}
    elif config.get("auto_resume"):
        new["resume"] = "auto"  # otherwise start from the weights in load_from
    if config.get("custom_hooks"):
        new["custom_hooks"] = _custom_hooks(config["custom_hooks"])
    if "find_unused_parameters" in config:
        new.pop("find_unused_parameters", None)
        new["model_wrapper_cfg"] = {
            "type": "MMDistributedDataParallel",
            "find_unused_parameters": config["find_unused_parameters"],
        }
    environment: Config = {}
    if "cudnn_benchmark" in config:
        environment["cudnn_benchmark"] = config["cudnn_benchmark"]
    processes = {key: config[key] for key in ("mp_start_method", "opencv_num_threads") if key in config}
    if processes:
        environment["mp_cfg"] = processes
    if config.get("dist_params"):
        environment["dist_cfg"] = config["dist_params"]
    if environment:
        new["env_cfg"] = environment
    if config.get("seed") is not None:
        new["randomness"] = {"seed": config["seed"]}
    if len(config.get("workflow") or []) > 1:
        notice("left out: workflow; the validation loss is not computed")


def _custom_hooks(hooks: Any) -> Any:
    """Translates ``ExpMomentumEMAHook`` and the like; other hooks keep their names."""
    if not isinstance(hooks, list | tuple):
        return hooks
    types = {"ExpMomentumEMAHook": "ExpMomentumEMA", "LinearMomentumEMAHook": "MomentumAnnealingEMA"}
    return [
        {**hook, "type": "EMAHook", "ema_type": types[hook["type"]]}
        if isinstance(hook, dict) and hook.get("type") in types
        else hook
        for hook in hooks
    ]


def _hook(new: Config, name: str, hook: Config) -> None:
    new["default_hooks"] = {
        **new.get("default_hooks", {}),
        name: {**new.get("default_hooks", {}).get(name, {}), **hook},
    }


def _left_out(where: str, what: Any, notice: Notice) -> None:
    if what:
        notice(f"left out, for it has no counterpart: {where}: {', '.join(map(str, what))}")
