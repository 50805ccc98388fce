"""Keys of MMRotate 0.x that the translation uses or ignores; similar other keys count as misspelt."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from rotx.config.errors import ConfigError

_FLIP = ("flip_ratio", "direction", "version")
_RESIZE = ("img_scale", "multiscale_mode", "ratio_range", "keep_ratio", "bbox_clip_border", "backend", "interpolation")
_LOADER = ("samples_per_gpu", "workers_per_gpu", "persistent_workers", "shuffle")

#: Section of a config → its keys.
SECTIONS = {
    "data": (*_LOADER, "train", "val", "test", "train_dataloader", "val_dataloader", "test_dataloader"),
    "data.train_dataloader": _LOADER,
    "data.val_dataloader": _LOADER,
    "data.test_dataloader": _LOADER,
    "runner": ("type", "max_epochs", "max_iters"),
    "evaluation": ("interval", "metric", "iou_thr", "save_best", "start", "by_epoch", "rule", "nproc", "scale_ranges"),
    "optimizer_config": ("type", "grad_clip", "cumulative_iters", "loss_scale", "distributed"),
    "fp16": ("loss_scale",),
    "lr_config": (
        *("policy", "by_epoch", "step", "gamma", "min_lr", "min_lr_ratio"),
        *("warmup", "warmup_iters", "warmup_ratio", "warmup_by_epoch"),
    ),
    "log_config": ("interval", "hooks"),
}
#: Step of a pipeline → its keys.
STEPS = {
    "LoadAnnotations": ("with_bbox", "with_label", "with_mask", "with_seg", "poly2mask", "file_client_args"),
    "RResize": _RESIZE,
    "Resize": _RESIZE,
    "RRandomFlip": _FLIP,
    "RandomFlip": _FLIP,
    "PolyRandomRotate": ("rotate_ratio", "mode", "angles_range", "auto_bound", "rect_classes", "version"),
    "Normalize": ("mean", "std", "to_rgb"),
    "Pad": ("size", "size_divisor", "pad_val", "pad_to_square"),
    "DefaultFormatBundle": ("img_to_float", "pad_val"),
    "ImageToTensor": ("keys",),
    "Collect": ("keys", "meta_keys"),
    "MultiScaleFlipAug": ("transforms", "img_scale", "scale_factor", "flip", "flip_direction"),
}
#: Keys of datasets, including those that 1.x has, too.
DATASET = (
    *("type", "ann_file", "img_prefix", "ann_subdir", "img_subdir", "data_root", "pipeline", "version", "classes"),
    *(
        "difficulty",
        "filter_empty_gt",
        "test_mode",
        "classwise",
        "samples_per_gpu",
        "img_suffix",
        "dataset",
        "datasets",
    ),
)


def check_old_sections(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for a misspelt key in the sections of a config of 0.x."""
    for path, known in SECTIONS.items():
        value: Any = config
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        check_misspelt(value, known, path)
    for i, hook in enumerate((config.get("log_config") or {}).get("hooks", ())):
        check_misspelt(hook, ("type", "interval", "by_epoch"), f"log_config.hooks.{i}")


def check_old_dataset(dataset: Mapping[str, Any], where: str) -> None:
    """Raises ConfigError for a misspelt key in a dataset of 0.x."""
    check_misspelt(dataset, DATASET, where)


def check_old_step(step: Mapping[str, Any], where: str) -> None:
    """Raises ConfigError for a misspelt key in a step of a pipeline of 0.x."""
    check_misspelt(step, ("type", *STEPS.get(str(step.get("type")), ())), where)


def check_misspelt(value: Any, known: tuple[str, ...], where: str) -> None:
    """Raises ConfigError for a key that is similar, but not equal, to a known one."""
    for key in value if isinstance(value, Mapping) else ():
        near = get_close_matches(str(key), known, n=1, cutoff=0.8)
        if near and key not in known:
            raise ConfigError(f"{where}: has no {key!r}: did you mean {near[0]!r}?")
