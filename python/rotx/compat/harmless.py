"""Drops keywords of MMRotate's classes that have no choice here, after a check of their values."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from rotx.compat.allowed import Allowed, check_value
from rotx.compat.harmless_models import MODELS, SYNONYMS
from rotx.compat.harmless_runs import REASONS, RUNS
from rotx.config.errors import ConfigError
from rotx.registry import unscoped

#: Class → keyword → values that have no effect.
HARMLESS: dict[str, dict[str, Allowed]] = MODELS | RUNS

#: Keywords of every class, which MMEngine removes before building.
EVERYWHERE: dict[str, Allowed] = {"_scope_": (str,)}


def class_name(kind: object) -> str:
    """Name of the class that a ``type`` means, without a prefix such as ``mmdet.``."""
    return unscoped(kind) if isinstance(kind, str) else getattr(kind, "__name__", repr(kind))


def harmless_keys(kind: object) -> dict[str, Allowed]:
    """Harmless keywords of the class that a ``type`` means, with their allowed values."""
    return EVERYWHERE | HARMLESS.get(class_name(kind), {})


def check_type(config: Any, where: str) -> None:
    """Raises ConfigError for a dict that has a misspelt ``type``."""
    if isinstance(config, Mapping) and "type" not in config:
        near = get_close_matches("type", map(str, config), n=1, cutoff=0.75)
        if near:
            raise ConfigError(f"{where}: takes no {near[0]!r}: did you mean 'type'?")


def strip(config: Any, where: str) -> Any:
    """Returns a config without harmless keywords, and with our names for the others; imports no classes.

    Args:
        config: Config, or a part of one.
        where: Path of ``config`` in its file, for messages.

    Raises:
        ConfigError: For a harmless keyword with a value that is not supported.
    """
    if isinstance(config, list | tuple):
        return type(config)([strip(item, f"{where}.{i}") for i, item in enumerate(config)])
    if not isinstance(config, Mapping):
        return config
    check_type(config, where)
    harmless = harmless_keys(config["type"]) if "type" in config else {}
    synonyms = SYNONYMS.get(class_name(config.get("type")), {})
    kept = {}
    for key, value in config.items():
        if key in harmless:
            check_type(value, f"{where}.{key}")
            check_value(value, harmless[key], f"{where}.{key}", REASONS.get(key))
        else:
            kept[synonyms.get(key, key)] = strip(value, f"{where}.{key}")
    return kept
