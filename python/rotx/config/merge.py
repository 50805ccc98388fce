"""Merging a config into its base, as ``_base_`` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotx.config.errors import ConfigError, kind

_DELETE = "_delete_"


def merge(base: Mapping[Any, Any], child: Mapping[Any, Any], where: str = "") -> dict[Any, Any]:
    """Merges ``child`` into a copy of ``base``: dicts are merged by entry, any other value replaces the old one.

    A dict that holds ``_delete_=True`` replaces the old one, too. Neither argument is changed.

    Args:
        base, child: Configs or parts of them.
        where: Path of both in the config, for messages.

    Raises:
        ConfigError: If a dict would be merged into a value that is not a dict.
    """
    merged = dict(base)
    for key, value in child.items():
        if key != _DELETE:
            merged[key] = merged_entry(merged, key, value, where)
    return merged


def merged_entry(base: Mapping[Any, Any], key: Any, value: Any, where: str = "") -> Any:
    """Returns the value that :func:`merge` puts at ``key`` of ``base`` for ``value``."""
    if not isinstance(value, dict) or key not in base or value.get(_DELETE):
        return _without_delete(value)
    here = f"{where}.{key}" if where else str(key)
    if not isinstance(base[key], dict):
        raise ConfigError(f"{here} is a dict, but {kind(base[key])} in the base: add _delete_=True to replace it")
    return merge(base[key], value, here)


def _without_delete(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_delete(item) for key, item in value.items() if key != _DELETE}
    if isinstance(value, list | tuple):
        return type(value)([_without_delete(item) for item in value])
    return value
