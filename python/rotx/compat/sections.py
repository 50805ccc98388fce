"""Checks of a config besides model, datasets, transforms and metrics: training, loading, logging, saving.

MMEngine's keys that have no choice here are included, with the values that have no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from rotx.compat.allowed import check_value, words
from rotx.compat.harmless import HARMLESS
from rotx.compat.harmless_runs import NEEDLESS_HOOKS
from rotx.compat.keys import own_keys
from rotx.compat.mmrotate0 import OLD_KEYS
from rotx.config.errors import ConfigError, kind, nearest
from rotx.registry import unscoped

#: Allows any value.
ANY = object()

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
_LOADER = {
    "batch_size": int,
    "num_workers": int,
    "dataset": dict,
    "sampler": (None, dict),
    "batch_sampler": (None, dict),
    "shuffle": (None, True, False),
    "drop_last": (False,),
    # Settings of memory and processes do not change results.
    "persistent_workers": (True, False),
    "pin_memory": (True, False),
    "prefetch_factor": (None, int),
    "collate_fn": (None, dict),
}
_BACKENDS = {
    "LocalVisBackend": dict.fromkeys(("save_dir", "img_save_dir", "config_save_file", "scalar_save_file"), ANY),
    "TensorboardVisBackend": {"save_dir": ANY},
}
_NEEDLESS_HOOKS = {name: HARMLESS[name] for name in NEEDLESS_HOOKS}


def _hook(name: str, **own: Any) -> dict[str, Any]:
    return {"type": (name,), **own, **HARMLESS[name]}


#: Sections of a config: key → what is allowed: a dict of keys, a type, or a tuple of values and types. Sections
#: whose keys are checked where they are used, such as ``model`` and ``optim_wrapper``, are not here.
SECTIONS: dict[str, dict[str, Any]] = {
    "train_cfg": {
        "type": ("EpochBasedTrainLoop", "IterBasedTrainLoop"),
        "by_epoch": (True, False),
        "max_epochs": int,
        "max_iters": int,
        "val_interval": int,
        "val_begin": int,
        "dynamic_intervals": (None,),
    },
    "val_cfg": {"type": ("ValLoop",), "fp16": (False,)},
    "test_cfg": {"type": ("TestLoop",), "fp16": (False,)},
    **dict.fromkeys(LOADERS, _LOADER),
    "default_hooks": {
        "timer": _hook("IterTimerHook"),
        "logger": _hook("LoggerHook", interval=int),
        "param_scheduler": _hook("ParamSchedulerHook"),
        "checkpoint": _hook(
            "CheckpointHook",
            interval=int,
            by_epoch=(True, False),
            max_keep_ckpts=int,
            save_best=(None, str),
            rule=(None, "greater", "less"),
        ),
        "sampler_seed": _hook("DistSamplerSeedHook"),
        "runtime_info": _hook("RuntimeInfoHook"),
        "visualization": _hook("DetVisualizationHook"),
    },
    "env_cfg": {
        "cudnn_benchmark": (True, False),
        "mp_cfg": {"mp_start_method": str, "opencv_num_threads": int},
        "dist_cfg": {"backend": str, "port": int, "timeout": (None, int)},
        "resource_limit": int,
    },
    "auto_scale_lr": {"enable": (True, False), "base_batch_size": int},
    "randomness": {"seed": (None, int), "deterministic": (True, False), "diff_rank_seed": (False,)},
    "model_wrapper_cfg": {
        "type": str,
        "find_unused_parameters": (True, False),
        "broadcast_buffers": (True, False),
        "detect_anomalous_params": (False,),
    },
    "log_processor": {
        "type": ("LogProcessor",),
        "window_size": int,
        "by_epoch": (True, False),
        "num_digits": int,
        "custom_cfg": (None, list),
        "log_with_hierarchy": (True, False),
        "mean_pattern": str,
    },
    "visualizer": {
        "type": str,
        "name": str,
        "save_dir": (None, str),
        **dict.fromkeys(
            ("vis_backends", "line_width", "alpha", "bbox_color", "text_color", "mask_color", "image"), ANY
        ),
    },
}

#: Top-level names without keys of their own: name → allowed values.
PLAIN: dict[str, Any] = {
    "load_from": (None, str),
    "resume": (None, True, False, "auto"),
    "work_dir": (None, str),
    "sync_bn": (None, True, False, str),
    "log_level": str,
    "launcher": str,
    "default_scope": (None, str),
}

#: Top-level names with a meaning; all others are the user's own variables.
NAMES = {*SECTIONS, *PLAIN, "model", "optim_wrapper", "param_scheduler", "val_evaluator", "test_evaluator"}
NAMES |= {"custom_hooks", "custom_imports", "vis_backends", "backend_args", "val_loop", "test_loop"}


def check_names(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for a top-level name that looks like a misspelt setting.

    A config may have its own variables. A name counts as misspelt if it differs from a setting by about a letter and
    its value is not a dict or list that is part of another one.

    Args:
        config: Loaded config.

    Raises:
        ConfigError: Names the setting.
    """
    known = NAMES | OLD_KEYS
    for name, value in config.items():
        # data_root2 and model_1 are variables; optim_wraper is not.
        if name in known or name.rstrip("0123456789_") in known:
            continue
        near = get_close_matches(name, known, n=1, cutoff=0.88)
        near = near or [other for other in sorted(known) if sorted(other) == sorted(name)]
        if near and not any(_stands_in(value, item) for item in config.values()):
            raise ConfigError(f"{name}: did you mean {near[0]!r}? If it is a variable, give it a name less like that")


def check_sections(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for unknown keys of a config, besides its model, and for values of a wrong kind.

    Keys of the optimizer, the schedulers and EMA are checked when those are built.

    Args:
        config: Loaded config.

    Raises:
        ConfigError: Names the key and the nearest known one.
    """
    check_names(config)
    for name, keys in (SECTIONS | PLAIN).items():
        if config.get(name) is not None:
            _check(config[name], keys, name)
    for name in LOADERS:
        for part in ("dataset", "sampler", "batch_sampler"):
            own_keys((config.get(name) or {}).get(part), f"{name}.{part}")
    for name in ("val_evaluator", "test_evaluator"):
        own_keys(config.get(name), name)
    visualizer = config.get("visualizer") or {}
    _check_each(config.get("vis_backends"), _BACKENDS, "vis_backends")
    _check_each(visualizer.get("vis_backends"), _BACKENDS, "visualizer.vis_backends")
    _check_each(config.get("custom_hooks"), _NEEDLESS_HOOKS, "custom_hooks")


def _check_each(entries: Any, known: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Raises ConfigError for keys that known classes in a list of dicts do not take."""
    for i, entry in enumerate([entries] if isinstance(entries, Mapping) else entries or ()):
        if isinstance(entry, Mapping):
            name = unscoped(str(entry["type"])) if "type" in entry else None
            if name is None or name in known:
                _check(entry, {"type": str, **known.get(name or "", {})}, f"{where}.{i}")


def _stands_in(value: Any, within: Any) -> bool:
    """Whether a dict or list is part of another one, perhaps merged with further entries."""
    if not isinstance(value, Mapping | list | tuple) or not value:
        return False
    inner = within.values() if isinstance(within, Mapping) else within if isinstance(within, list | tuple) else ()
    return any(_holds(item, value) or _stands_in(value, item) for item in inner)


def _holds(whole: Any, part: Any) -> bool:
    """Whether two values are equal, or dicts of which the first may have further entries."""
    if isinstance(whole, Mapping) and isinstance(part, Mapping):
        return all(key in whole and _holds(whole[key], value) for key, value in part.items())
    return bool(whole == part)


def _check(value: Any, allowed: Any, where: str) -> None:
    """Raises ConfigError unless ``value`` matches ``allowed``: a dict of keys, a type, or values and types."""
    if allowed is ANY:
        return
    if isinstance(allowed, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: need a dict, got {kind(value)}")
        for key, item in value.items():
            if key not in allowed:
                raise ConfigError(f"{where}: has no {key!r}{nearest(key, allowed)}")
            # None stands for the default hook.
            if item is not None or not isinstance(allowed[key], Mapping):
                _check(item, allowed[key], f"{where}.{key}")
        return
    choices = allowed if isinstance(allowed, tuple) else (allowed,)
    check_value(value, choices, where, reason=f"need {' or '.join(map(words, choices))}")
