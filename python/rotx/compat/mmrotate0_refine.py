"""R3Det of MMRotate 0.x: its parts where 1.x has them. Their names stay for :mod:`rotx.compat.mmrotate0_model`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rotx.compat.mmrotate0_keys import check_misspelt
from rotx.config.errors import ConfigError

Config = dict[str, Any]

_KEYS = ("frm_cfgs", "num_refine_stages", "refine_heads", "bbox_head")
_FRM = {"in_channels": "feat_channels", "featmap_strides": "strides"}
_TRAIN = {"s0": "init", "sr": "refine"}


def r3det(model: Config, notice: Callable[[str], None]) -> Config:
    """Translates an R3Det to the parts of a refining detector of 1.x.

    The modules that refine features become parts of the heads that look at them.

    Args:
        model: Model of 0.x.
        notice: Function that is called with each note about what is not translated.

    Raises:
        ConfigError: For a misspelt or missing part.
    """
    check_misspelt(model, _KEYS, "model")
    check_misspelt(model.get("train_cfg"), (*_TRAIN, "stage_loss_weights"), "model.train_cfg")
    missing = [key for key in _KEYS if not model.get(key)]
    if missing:
        raise ConfigError(f"model: R3Det of MMRotate 0.x needs {', '.join(map(repr, missing))}")
    modules, heads = model["frm_cfgs"], model["refine_heads"]
    if not len(modules) == len(heads) == model["num_refine_stages"]:
        counts = f"{model['num_refine_stages']}, {len(modules)}, {len(heads)}"
        raise ConfigError(f"model: num_refine_stages, frm_cfgs, refine_heads: need one of each a stage, got {counts}")
    new = {key: value for key, value in model.items() if key not in _KEYS}
    new["bbox_head_init"] = model["bbox_head"]
    new["bbox_head_refine"] = [
        _refining(head, module, f"refine_heads.{i}", notice)
        for i, (head, module) in enumerate(zip(heads, modules, strict=True))
    ]
    if isinstance(model.get("train_cfg"), dict):
        new["train_cfg"] = {_TRAIN.get(key, key): value for key, value in model["train_cfg"].items()}
    return new


def _refining(head: Config, module: Config, where: str, notice: Callable[[str], None]) -> Config:
    """Returns a refining head with its module."""
    check_misspelt(module, tuple(_FRM), where.replace("refine_heads", "model.frm_cfgs"))
    # 0.x compares by the upright boxes around the objects unless told None.
    if head.get("assign_by_circumhbbox", "oc") is not None:
        notice(f"left out, for it has no counterpart: {where}.assign_by_circumhbbox; None is what is published")
    own = {key: value for key, value in head.items() if key != "assign_by_circumhbbox"}
    return {**own, "frm_cfg": {"type": "FRM", **{_FRM.get(key, key): value for key, value in module.items()}}}
