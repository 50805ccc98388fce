"""Builds a detector from the ``model`` of a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotx.compat import own_model, to_parts
from rotx.models.detectors import Detector
from rotx.registry import build


def build_detector(model: Mapping[str, Any]) -> Detector:
    """Builds a detector; its weights are random until ``init_weights()`` or :func:`load_checkpoint`.

    Args:
        model: ``model`` of a config, with MMRotate's keys: ``train_cfg`` and ``test_cfg`` contain the settings of
            training and inference.

    Raises:
        ValueError: If a part cannot be built; the message gives its path in the config.
    """
    own = own_model(model)
    # Built before they move to the heads, so that errors give their paths in the config.
    own |= {name: build(own[name], f"model.{name}") for name in ("train_cfg", "test_cfg") if name in own}
    detector: Detector = build(to_parts(own), "model")
    return detector
