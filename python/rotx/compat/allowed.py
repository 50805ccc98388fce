"""Checks of config values against the tables of allowed values in this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotx.config.errors import ConfigError, kind
from rotx.registry import unscoped

#: Allowed values of a key; a type stands for all values of that type.
Allowed = tuple[Any, ...]


def check_value(value: Any, allowed: Allowed, where: str, reason: str | None = None) -> None:
    """Raises ConfigError unless a value is allowed.

    ``True`` differs from ``1``, a list equals the tuple of its items, and prefixes such as ``mmdet.`` are ignored.

    Args:
        value: Value in the config.
        allowed: Allowed values and types.
        where: Path of the value in the config, for the message.
        reason: Message to use instead of the list of allowed values.

    Raises:
        ConfigError: ``<where>: only <allowed> is supported, got <value>``.
    """
    said = normalized(value)
    if any(_fits(said, choice) for choice in allowed):
        return
    only = reason or f"only {' or '.join(map(words, allowed))} is supported"
    raise ConfigError(f"{where}: {only}, got {words(said)}")


def normalized(value: Any) -> Any:
    """Returns a value with lists as tuples, and without prefixes of names such as ``mmdet.Linear``."""
    if isinstance(value, Mapping):
        return {key: normalized(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(normalized, value))
    return unscoped(value) if isinstance(value, str) else value


def words(value: Any) -> str:
    """Text of a value or type for messages; a dict that holds only a type is shown by its name."""
    if isinstance(value, type):
        return kind(value())
    if isinstance(value, Mapping) and list(value) == ["type"]:
        return repr(value["type"])
    return repr(value)


def _fits(value: Any, choice: Any) -> bool:
    if isinstance(choice, type):
        kinds = {float: (int, float), list: (tuple,)}.get(choice, (choice,))
        return isinstance(value, kinds) and (choice is bool or not isinstance(value, bool))
    return same(value, normalized(choice))


def same(value: Any, other: Any) -> bool:
    """Whether two normalized values are equal; 1 equals 1.0 but not True."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return value.keys() == other.keys() and all(same(item, other[key]) for key, item in value.items())
    if isinstance(value, tuple) and isinstance(other, tuple):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    return bool(value == other)
