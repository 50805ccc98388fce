"""Text of the parts of a model: the class of each, and its own settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rotx.compat.harmless import class_name
from rotx.compat.parts import strip_model, to_parts

_WIDTH = 110


def format_parts(model: Mapping[str, Any]) -> str:
    """Formats the parts of a model as an indented tree; imports no class.

    Args:
        model: The ``model`` of a loaded config.

    Returns:
        Lines such as ``assigner: MaxIoUAssigner``, each followed by the settings of that part.

    Raises:
        ConfigError: For a harmless key with an unsupported value, and for settings whose structure differs from
            the heads'.
    """
    return "\n".join(_lines("model", to_parts(strip_model(model)), 0)) + "\n"


def _lines(name: str, part: Mapping[str, Any], depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}{name}: {class_name(part['type']) if 'type' in part else ''}".rstrip()
    settings, inner = [], []
    for key, value in part.items():
        found = list(_parts_in(key, value))
        inner += found
        if not found and key != "type":
            settings.append(f"{key}={value!r}")
    yield from _filled(settings, "  " * (depth + 2))
    for key, value in inner:
        yield from _lines(key, value, depth + 1)


def _filled(settings: Sequence[str], indent: str) -> Iterator[str]:
    """Fills lines of at most ``_WIDTH`` characters with settings, without breaking a setting."""
    line = ""
    for setting in settings:
        if line and len(indent) + len(line) + len(setting) + 3 > _WIDTH:
            yield f"{indent}{line},"
            line = ""
        line += f", {setting}" if line else setting
    if line:
        yield indent + line


def _parts_in(key: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields a value that is a part, or the parts in a list, each with its name."""
    if isinstance(value, Mapping) and "type" in value:
        yield key, value
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _parts_in(f"{key}[{i}]", item)
