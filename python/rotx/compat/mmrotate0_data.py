"""Translation of ``data = dict(...)`` of MMRotate 0.x to dataloaders, datasets and pipelines of 1.x."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rotx.compat.mmrotate0_keys import check_old_dataset, check_old_step
from rotx.config.errors import ConfigError

Config = dict[str, Any]
Notice = Callable[[str], None]

_META = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")

#: Renamed keys of datasets.
_DATASET_KEYS = {"difficulty": "diff_thr"}
#: Keys of datasets without counterpart in 1.x: heads and coders hold the angle version, dataloaders the batch size.
_DATASET_GONE = ("version", "samples_per_gpu")
#: Steps that are part of the model's preprocessor or PackDetInputs in 1.x.
_GONE = ("Normalize", "Pad", "DefaultFormatBundle", "ImageToTensor", "Collect")


def translate_data(config: Config, notice: Notice) -> tuple[Config, Config]:
    """Translates the dataloaders of a config; also returns what its pipelines leave to the model's preprocessor.

    Returns:
        The entries ``train_dataloader``, ``val_dataloader`` and ``test_dataloader`` as far as the config has
        them, and ``data_preprocessor``, empty if no pipeline normalizes.
    """
    data = config.get("data")
    data = data if isinstance(data, dict) else {}
    workers = data.get("workers_per_gpu", 2)
    new: Config = {}
    preprocessor: Config = {}
    for part in ("train", "val", "test"):
        old = data.get(part)
        if isinstance(old, list) and old:  # datasets to concatenate
            data = {**data, part: {"type": "ConcatDataset", "datasets": old}}
        if not isinstance(data.get(part), dict):
            continue
        steps = _pipeline_of(data[part])
        for step in steps:
            check_old_step(step, f"data.{part}.pipeline: {step.get('type')}")
        preprocessor = preprocessor or _preprocessor(steps)
        new[f"{part}_dataloader"] = {
            "batch_size": _batch_size(data, part),
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "sampler": {"type": "DefaultSampler", "shuffle": part == "train"},
            "dataset": _dataset(data[part], part, config.get("data_root"), notice),
        }
    return new, preprocessor


def _batch_size(data: Config, part: str) -> Any:
    """Batch size of a part; 0.x tests single images by default."""
    own = data.get(f"{part}_dataloader", {}).get("samples_per_gpu") or data[part].get("samples_per_gpu")
    return own or (data.get("samples_per_gpu", 1) if part == "train" else 1)


def _dataset(old: Config, part: str, root: Any, notice: Notice) -> Config:
    check_old_dataset(old, f"data.{part}")
    if isinstance(old.get("dataset"), dict):  # a wrapper such as RepeatDataset
        return {**old, "dataset": _dataset(old["dataset"], part, root, notice)}
    if isinstance(old.get("datasets"), list):
        inner = [_dataset(one, part, root, notice) for one in old["datasets"] if isinstance(one, dict)]
        return {"type": old.get("type", "ConcatDataset"), "datasets": inner}
    old = {key: value for key, value in old.items() if key not in _DATASET_GONE}
    new: Config = {"type": old.pop("type", "DOTADataset")}
    if new["type"] == "SARDataset":
        new["type"] = "DOTADataset"
        old = {"classes": ("ship",), **old}
    images, annotations = old.pop("img_prefix", None), old.pop("ann_file", "")
    annotations = "" if annotations == images else annotations  # 0.x repeats the images if there are none
    folders = [old.pop(key) for key in ("ann_subdir", "img_subdir") if key in old]
    paths = [path for path in (images, annotations, *folders) if path]
    if "data_root" in old:
        root, new["data_root"] = "", old.pop("data_root")
    elif isinstance(root, str) and all(isinstance(path, str) and path.startswith(root) for path in paths):
        new["data_root"] = root
    else:
        root = ""
    new["ann_file"] = _below(annotations, root)
    if len(folders) == 2:  # HRSC
        parent, new["ann_subdir"] = _split(_below(folders[0], root))
        _, new["img_subdir"] = _split(_below(folders[1], root))
        new["data_prefix"] = {"sub_data_root": parent}
    elif images is not None:
        new["data_prefix"] = {"img_path": _below(images, root)}
    if "classes" in old:
        new["metainfo"] = {"classes": old.pop("classes")}
    if part == "train":
        new["filter_cfg"] = {"filter_empty_gt": old.pop("filter_empty_gt", True)}
    else:
        old.pop("filter_empty_gt", None)
        new["test_mode"] = True
    pipeline = _pipeline(old.pop("pipeline", []), part, notice)
    new |= {_DATASET_KEYS.get(key, key): value for key, value in old.items()}
    return {**new, "pipeline": pipeline}


def annotated(dataset: Config) -> bool:
    """Whether a translated dataset, or a dataset within it, has annotations."""
    if "datasets" in dataset:
        return any(map(annotated, dataset["datasets"]))
    return annotated(dataset["dataset"]) if "dataset" in dataset else bool(dataset.get("ann_file"))


def _below(path: Any, root: str) -> Any:
    """Removes the root of the data, which 0.x puts in front of paths."""
    return path.removeprefix(root) if isinstance(path, str) else path


def _split(path: str) -> tuple[str, str]:
    """Splits ``'FullDataSet/Annotations/'`` into ``'FullDataSet/'`` and ``'Annotations'``."""
    folder, slash, name = path.rstrip("/").rpartition("/")
    return folder + slash, name


def _pipeline_of(dataset: Config) -> list[Config]:
    """Returns the steps of a dataset's pipeline, including those inside ``MultiScaleFlipAug``."""
    if isinstance(dataset.get("dataset"), dict):
        return _pipeline_of(dataset["dataset"])
    if isinstance(dataset.get("datasets"), list):
        return [step for one in dataset["datasets"] if isinstance(one, dict) for step in _pipeline_of(one)]
    steps = [step for step in dataset.get("pipeline", []) if isinstance(step, dict)]
    return [inner for step in steps for inner in (step, *step.get("transforms", ())) if isinstance(inner, dict)]


def _preprocessor(steps: list[Config]) -> Config:
    """Translates ``Normalize`` and ``Pad`` to ``data_preprocessor``."""
    normalize = next((step for step in steps if step.get("type") == "Normalize"), None)
    if normalize is None:
        return {}
    pad = next((step for step in steps if step.get("type") == "Pad"), {})
    return {
        "type": "DetDataPreprocessor",
        "mean": normalize["mean"],
        "std": normalize["std"],
        "bgr_to_rgb": normalize.get("to_rgb", True),
        "pad_size_divisor": pad.get("size_divisor") or 1,
    }


def _pipeline(steps: Any, part: str, notice: Notice) -> list[Any]:
    new: list[Any] = []
    for step in steps:
        if isinstance(step, dict) and step.get("type") == "MultiScaleFlipAug":
            new += _test_time(step, notice)
        else:
            new += _step(step, notice)
    if part == "val":
        # 1.x evaluates against the loaded boxes: load them after the resize, so that they keep the size of the file.
        place = next((i + 1 for i, step in enumerate(new) if step.get("type") == "Resize"), len(new))
        new[place:place] = _annotations({})
    return [*new, {"type": "PackDetInputs"} if part == "train" else {"type": "PackDetInputs", "meta_keys": _META}]


def _test_time(step: Config, notice: Notice) -> list[Any]:
    """Translates ``MultiScaleFlipAug`` to its steps at its first scale."""
    scale = step.get("img_scale")
    scales = scale if isinstance(scale, list) else [scale]
    if len(scales) > 1 or step.get("flip"):
        notice("left out: MultiScaleFlipAug's flips and further scales; images are tested once, at the first scale")
    inner: list[Any] = []
    for transform in step.get("transforms", []):
        name = transform.get("type")
        if name in ("RResize", "Resize"):
            transform = {"img_scale": scales[0], **transform}
        if name not in ("RRandomFlip", "RandomFlip"):  # only flips if the outer step asks for it
            inner += _step(transform, notice)
    return inner


def _step(step: Any, notice: Notice) -> list[Any]:
    """Translates a step of 0.x to none, one or two steps of 1.x."""
    name = step.get("type") if isinstance(step, dict) else None
    if name in _GONE:
        return []
    if name in _STEPS:
        options = {key: value for key, value in step.items() if key not in ("type", "version")}
        return _STEPS[name](options)
    if name != "LoadImageFromFile":
        notice(f"kept as it stands: the step {name} of a pipeline; 1.x may call it otherwise")
    return [step]


def _annotations(old: Config) -> list[Any]:
    return [
        {"type": "LoadAnnotations", "with_bbox": True, **old, "box_type": "qbox"},
        {"type": "ConvertBoxType", "box_type_mapping": {"gt_bboxes": "rbox"}},
    ]


def _resize(old: Config) -> list[Any]:
    scale, keep = old.get("img_scale"), {"keep_ratio": old.get("keep_ratio", True)}
    if isinstance(scale, list) and len(scale) == 1:
        scale = scale[0]
    if old.get("ratio_range") is not None:
        return [{"type": "RandomResize", "scale": scale, "ratio_range": old["ratio_range"], **keep}]
    if not isinstance(scale, list):
        return [{"type": "Resize", "scale": scale, **keep}]
    if old.get("multiscale_mode", "range") == "value":
        return [{"type": "RandomChoiceResize", "scales": scale, **keep}]
    return [{"type": "RandomResize", "scale": scale, **keep}]


def _flip(old: Config) -> list[Any]:
    prob, direction = old.get("flip_ratio"), old.get("direction", "horizontal")
    if prob is None:
        return []  # only flips if another step asks for it
    if isinstance(prob, list) and len(set(prob)) == 1:
        prob = sum(prob)  # 1.x shares one probability between the directions
    return [{"type": "RandomFlip", "prob": prob, "direction": direction}]


def _rotate(old: Config) -> list[Any]:
    angles = old.get("angles_range", 180)
    if old.get("mode", "range") == "value":
        new: Config = {"type": "RandomChoiceRotate", "prob": old.get("rotate_ratio", 0.5), "angles": angles}
    else:
        new = {"type": "RandomRotate", "prob": old.get("rotate_ratio", 0.5), "angle_range": angles}
    if old.get("rect_classes"):
        new["rect_obj_labels"] = old["rect_classes"]
    if old.get("auto_bound"):
        raise ConfigError("PolyRandomRotate.auto_bound=True has no counterpart: images keep their size; leave it out")
    return [new]


_STEPS: dict[str, Callable[[Config], list[Any]]] = {
    "LoadAnnotations": _annotations,
    "RResize": _resize,
    "Resize": _resize,
    "RRandomFlip": _flip,
    "RandomFlip": _flip,
    "PolyRandomRotate": _rotate,
}
