"""Builds a detector from the ``model`` of a config."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from rotx.compat import own_model, to_parts
from rotx.models.detectors import Detector
from rotx.registry import TABLE, build, resolve, unscoped


def build_detector(model: Mapping[str, Any]) -> Detector:
    """Builds a detector; its weights are random until ``init_weights()`` or :func:`load_checkpoint`.

    Args:
        model: ``model`` of a config, with MMRotate's keys: ``train_cfg`` and ``test_cfg`` contain the settings of
            training and inference.

    Raises:
        ValueError: If the detector is unknown, or a part cannot be built; the message gives its path in the config.
    """
    _check_type(model)
    own = own_model(model)
    # Built before they move to the heads, so that errors give their paths in the config.
    own |= {name: build(own[name], f"model.{name}") for name in ("train_cfg", "test_cfg") if name in own}
    detector: Detector = build(to_parts(own), "model")
    return detector


def _check_type(model: Mapping[str, Any]) -> None:
    """Raises ValueError for an unknown detector, whose parts are likely unknown, too, but say less."""
    name = model.get("type")
    if not isinstance(name, str):
        return
    try:
        resolve(name)
    except ValueError:
        known = sorted(name for name, place in TABLE.items() if place.startswith("rotx.models.detectors:"))
        near = get_close_matches(unscoped(name), known, n=1, cutoff=0.8)
        hint = f"; did you mean {near[0]!r}?" if near else " (docs/models.md says how to add one)"
        raise ValueError(f"model.type {name!r} is not among the detectors of rotx: {', '.join(known)}{hint}") from None
