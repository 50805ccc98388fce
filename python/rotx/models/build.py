"""A detector from the ``model`` part of a config, as MMRotate 1.x writes it.

There, the settings of training and inference stand apart from the heads they are for; here a head gets its own as
keywords of its constructor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotx.models.detectors import SingleStage, TwoStage
from rotx.models.heads.dense.rpn import Proposals
from rotx.registry import build

#: Keys that MMRotate's configs carry and that have nothing to choose here, with what they may say.
WITHOUT_CHOICE: dict[str, tuple[Any, ...]] = {
    "debug": (False,),
    "use_box_type": (True, False),
    "boxtype2tensor": (True, False),
    "gpu_assign_thr": (-1,),
    "predict_box_type": ("rbox",),
    "reg_predictor_cfg": ("Linear",),
    "cls_predictor_cfg": ("Linear",),
    "h_bbox_coder": ("DistancePointBBoxCoder",),
}

#: What the RoI head's part of ``test_cfg`` carries without using it, in MMRotate too.
UNUSED_OF_RCNN = ("nms_pre", "min_bbox_size")


def build_detector(model: Mapping[str, Any]) -> SingleStage | TwoStage:
    """Builds a detector; its weights are random until ``init_weights()`` or :func:`load_checkpoint`.

    Args:
        model: the ``model`` dict of a config.

    Raises:
        ValueError: for what cannot be built, with its path in the config.
    """
    parts = _drop_without_choice(model, "model")
    train = build(parts.pop("train_cfg", None) or {}, "model.train_cfg")
    test = build(parts.pop("test_cfg", None) or {}, "model.test_cfg")
    if "roi_head" in parts:
        _give(parts, "rpn_head", _rpn_settings(train, test))
        _give(parts, "roi_head", _rcnn_settings(train, test))
    else:
        _give(parts, "bbox_head", {**train, **test})
    detector: SingleStage | TwoStage = build(parts, "model")
    return detector


def _rpn_settings(train: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    settings = dict(train.get("rpn") or {})
    at_test = test.get("rpn") or {}
    proposals = {"train_proposals": train.get("rpn_proposal") or at_test, "test_proposals": at_test}
    for name, values in proposals.items():
        if values:
            settings[name] = build({"type": Proposals, **values}, f"model.{name}")
    return settings


def _rcnn_settings(train: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    stages = train.get("rcnn") or {}
    if isinstance(stages, list | tuple):
        names = dict.fromkeys(name for stage in stages for name in stage)
        stages = {name: [stage.get(name) for stage in stages] for name in names}
    found = {key: value for key, value in (test.get("rcnn") or {}).items() if key not in UNUSED_OF_RCNN}
    return {**stages, **found}


def _give(parts: dict[str, Any], head: str, settings: dict[str, Any]) -> None:
    if head not in parts:
        raise ValueError(f"model: needs a {head!r}")
    for key in settings:
        if key in parts[head]:
            raise ValueError(f"model.{head}.{key}: stands in train_cfg or test_cfg, too: keep one")
    parts[head] = {**parts[head], **settings}


def _drop_without_choice(config: Any, where: str) -> Any:
    if isinstance(config, list | tuple):
        return [_drop_without_choice(item, f"{where}.{i}") for i, item in enumerate(config)]
    if not isinstance(config, Mapping):
        return config
    kept = {}
    for key, value in config.items():
        if key not in WITHOUT_CHOICE:
            kept[key] = _drop_without_choice(value, f"{where}.{key}")
            continue
        said = value.get("type", "").removeprefix("mmdet.") if isinstance(value, Mapping) else value
        if said not in WITHOUT_CHOICE[key]:
            allowed = " or ".join(map(repr, WITHOUT_CHOICE[key]))
            raise ValueError(f"{where}.{key}: only {allowed} is supported, got {said!r}")
    return kept
