"""A detector from the ``model`` part of a config, as MMRotate 1.x writes it.

There, the settings of training and inference stand apart from the heads they are for; here a head gets its own as
keywords of its constructor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotx.models.detectors import Detector
from rotx.models.heads.rpn import Proposals
from rotx.registry import build, keywords_of, resolve

#: A key that may say anything.
ANY: tuple[Any, ...] = ()

#: Keys of MMRotate's configs that have nothing to choose here, with what they may say. They count where the class
#: that is built does not take the key itself.
WITHOUT_CHOICE: dict[str, tuple[Any, ...]] = {
    # How MMRotate wraps boxes, finds classes and saves memory.
    "_scope_": ANY,
    "boxtype2tensor": ANY,
    "gpu_assign_thr": ANY,
    "non_blocking": ANY,
    "pad_mask": ANY,
    "split_thr": ANY,
    "use_box_type": ANY,
    "use_torchvision": ANY,
    "debug": (False,),
    "with_cp": (False,),
    # Boxes and losses
    "clip_border": ANY,  # of coders of rboxes, which never clip
    "cls_predictor_cfg": ("Linear",),
    "h_bbox_coder": ("DistancePointBBoxCoder",),
    "predict_box_type": ("rbox",),
    "reg_predictor_cfg": ("Linear",),
    "representation": ("xy_wh_r",),
    "avg_non_ignore": (False,),
    "class_agnostic": (False,),
    "loss_key": ("loss_cls",),
    "pool_mode": ("avg",),
    "reg_decoded_bbox": (False,),
    # Layers
    "act_cfg": (None,),
    "avg_down": (False,),
    "batch_augments": (None,),
    "conv_bias": ("auto",),
    "conv_cfg": (None, "Conv2d"),
    "dcn": (None,),
    "dcn_on_last_conv": (False,),
    "deep_stem": (False,),
    "dilations": ((1, 1, 1, 1),),
    "in_channels": (3,),
    "norm_cfg": (None,),
    "num_classes": (1,),  # of an RPN
    "num_convs": (1,),
    "plugins": (None,),
    "shared_head": (None,),
    "stage_with_dcn": ((False, False, False, False),),
    "stem_channels": (None, 64),
    "strides": ((1, 2, 2, 2),),
    "upsample_cfg": ({"mode": "nearest"},),
    "with_avg_pool": (False,),
    "with_cls": (True,),
    "with_reg": (True,),
    # Initial weights: a file for the backbone, else what the classes here begin with anyway.
    "init_cfg": (
        None,
        {"type": "Xavier", "layer": "Conv2d", "distribution": "uniform"},
        {"type": "Normal", "layer": "Conv2d", "std": 0.01},
    ),
    "pretrained": (None,),
}

#: Other names of mmcv's for keywords: type → name there → name here.
SYNONYMS = {
    "RoIAlign": {"out_size": "output_size", "sample_num": "sampling_ratio"},
    "RoIAlignRotated": {"output_size": "out_size", "sampling_ratio": "sample_num"},
}

#: Where the config has what a head needs: head → keyword → place.
PLACES = {
    "bbox_head": {"assigner": "train_cfg.assigner", "nms": "test_cfg.nms"},
    "rpn_head": {
        "assigner": "train_cfg.rpn.assigner",
        "sampler": "train_cfg.rpn.sampler",
        "train_proposals": "train_cfg.rpn_proposal",
        "test_proposals": "test_cfg.rpn",
    },
    "roi_head": {
        "assigner": "train_cfg.rcnn.assigner",
        "sampler": "train_cfg.rcnn.sampler",
        "pos_weight": "train_cfg.rcnn.pos_weight",
        "nms": "test_cfg.rcnn.nms",
    },
}

#: What the RoI head's part of ``test_cfg`` carries without using it, in MMRotate too.
UNUSED_OF_RCNN = ("nms_pre", "min_bbox_size")


def build_detector(model: Mapping[str, Any]) -> Detector:
    """Builds a detector; its weights are random until ``init_weights()`` or :func:`load_checkpoint`.

    Args:
        model: the ``model`` dict of a config.

    Raises:
        ValueError: for what cannot be built, with its path in the config.
    """
    parts = _drop_without_choice(model, "model")
    train, test = (_settings(parts.pop(name, None), name) for name in ("train_cfg", "test_cfg"))
    if "roi_head" in parts:
        _only(train, ("rpn", "rpn_proposal", "rcnn"), "train_cfg")
        _only(test, ("rpn", "rcnn"), "test_cfg")
        _give(parts, "rpn_head", _rpn_settings(train, test))
        _give(parts, "roi_head", _rcnn_settings(train, test, parts["roi_head"]))
    else:
        _give(parts, "bbox_head", {**train, **test})
    detector: Detector = build(parts, "model")
    return detector


def _settings(value: Any, name: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"model.{name}: need a dict or None, got {value!r}")
    settings: dict[str, Any] = build(value or {}, f"model.{name}")
    return settings


def _only(settings: Mapping[str, Any], known: tuple[str, ...], name: str) -> None:
    for key in settings:
        if key not in known:
            raise ValueError(f"model.{name}: has no part {key!r} in a two-stage detector: known are {', '.join(known)}")


def _rpn_settings(train: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    settings = dict(train.get("rpn") or {})
    at_test = test.get("rpn") or {}
    proposals = {"train_proposals": train.get("rpn_proposal") or at_test, "test_proposals": at_test}
    for name, values in proposals.items():
        if values:
            settings[name] = build({"type": Proposals, **values}, f"model.{PLACES['rpn_head'][name]}")
    return settings


def _rcnn_settings(train: dict[str, Any], test: dict[str, Any], roi_head: Any) -> dict[str, Any]:
    found = {key: value for key, value in (test.get("rcnn") or {}).items() if key not in UNUSED_OF_RCNN}
    stages = train.get("rcnn") or {}
    in_stages = isinstance(roi_head, Mapping) and isinstance(roi_head.get("bbox_head"), list | tuple)
    if stages and in_stages != isinstance(stages, list | tuple):
        need = "a list with one dict for each stage" if in_stages else "one dict"
        raise ValueError(f"model.train_cfg.rcnn: need {need}, as model.roi_head.bbox_head has")
    if not in_stages:
        return {**stages, **found}
    names = dict.fromkeys(name for stage in stages for name in stage)
    for i, stage in enumerate(stages):
        for name in names:
            if name not in stage:
                raise ValueError(f"model.train_cfg.rcnn.{i}: needs {name!r}, which another stage has")
    return {name: [stage[name] for stage in stages] for name in names} | found


def _give(parts: dict[str, Any], head: str, settings: dict[str, Any]) -> None:
    if not isinstance(parts.get(head), Mapping):
        raise ValueError(f"model: needs a {head!r}")
    for key in settings:
        if key in parts[head]:
            raise ValueError(f"model.{head}.{key}: stands in train_cfg or test_cfg, too: keep one")
    parts[head] = {**parts[head], **settings}
    keywords = _keywords(parts[head])
    places = PLACES[head].items()
    missing = [f"model.{place}" for key, place in places if keywords.get(key) and key not in parts[head]]
    if missing:
        raise ValueError(f"{', '.join(missing)}: missing; a detector is built for training and inference at once")


def _keywords(config: Mapping[str, Any]) -> dict[str, bool]:
    """What the class that a config names takes, and whether it must be given; nothing without a name.

    For an unknown name it is what the config holds: building says what is wrong.
    """
    if "type" not in config:
        return {}
    try:
        return keywords_of(resolve(config["type"]))[0]
    except (ValueError, AttributeError):
        return dict.fromkeys(config, False)


def _drop_without_choice(config: Any, where: str) -> Any:
    if isinstance(config, list | tuple):
        return type(config)([_drop_without_choice(item, f"{where}.{i}") for i, item in enumerate(config)])
    if not isinstance(config, Mapping):
        return config
    keywords = _keywords(config)
    synonyms = SYNONYMS.get(str(config.get("type")).rpartition(".")[2], {})
    kept = {}
    for key, value in config.items():
        if key in keywords or key not in WITHOUT_CHOICE:
            kept[synonyms.get(key, key)] = _drop_without_choice(value, f"{where}.{key}")
            continue
        allowed = WITHOUT_CHOICE[key]
        said = _said(value)
        if allowed is not ANY and said not in allowed:
            raise ValueError(f"{where}.{key}: only {' or '.join(map(repr, allowed))} is supported, got {said!r}")
    return kept


def _said(value: Any) -> Any:
    """A value as WITHOUT_CHOICE has it: a dict with nothing but a type as its name, sequences as tuples."""
    if isinstance(value, Mapping) and list(value) == ["type"]:
        return str(value["type"]).removeprefix("mmdet.")
    return tuple(value) if isinstance(value, list) else value
