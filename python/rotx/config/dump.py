"""Writing a config back to text."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from typing import Any

from rotx.config.errors import ConfigError, kind

_WIDTH = 100
_INDENT = "    "


def dumps(config: Mapping[str, Any]) -> str:
    """Returns the text of a file that :func:`rotx.config.read` reads back to an equal dict.

    Raises:
        ConfigError: If the dict holds what no config can: an object, or a name that is not a Python name.
    """
    text = ""
    for name, value in config.items():
        if not _is_name(name) or name.startswith("_"):
            raise ConfigError(f"{name!r} cannot be the name of a value in a config: use letters, digits and _")
        text += f"{name} = {_text(value, name, 0, len(name) + 3)}\n"
    return text


def _text(value: Any, where: str, level: int, used: int) -> str:
    """Python syntax for a value, broken into lines if it does not fit after ``used`` characters."""
    if isinstance(value, dict):
        opening, parts, closing = _entries(value, where, level)
    elif isinstance(value, list | tuple):
        parts = [_text(item, f"{where}.{i}", level + 1, len(_INDENT) * (level + 1)) for i, item in enumerate(value)]
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
    else:
        return _scalar(value, where)
    line = ", ".join(parts)
    if isinstance(value, tuple) and len(value) == 1:
        line += ","
    if not parts or (used + len(line) + 3 <= _WIDTH and "\n" not in line):
        return f"{opening}{line}{closing}"
    inside = _INDENT * (level + 1)
    return opening + "\n" + "".join(f"{inside}{part},\n" for part in parts) + _INDENT * level + closing


def _entries(value: dict[Any, Any], where: str, level: int) -> tuple[str, list[str], str]:
    """Formats a dict as ``dict(a=1)`` if its keys allow it, else as ``{'a': 1}``."""
    named = all(_is_name(key) for key in value)
    parts = []
    for key, item in value.items():
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise ConfigError(f"{where}: the key {key!r} cannot stand in a config: use text or whole numbers")
        start = f"{key}=" if named else f"{_scalar(key, where)}: "
        used = len(_INDENT) * (level + 1) + len(start)
        parts.append(start + _text(item, f"{where}.{key}", level + 1, used))
    return ("dict(", parts, ")") if named else ("{", parts, "}")


def _scalar(value: Any, where: str) -> str:
    # Exact types only: numpy numbers and other subclasses have other texts.
    if type(value) is float and not math.isfinite(value):
        return f"float('{value}')"
    if type(value) is str:
        # In an f-string, ``{{`` is not replaced when the file is read.
        text = repr(value)
        return "f" + text.replace("{", "{{").replace("}", "}}") if "{{" in value else text
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    raise ConfigError(f"{where}: {kind(value)} cannot be written to a config")


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and key.isascii() and key.isidentifier() and not keyword.iskeyword(key)
