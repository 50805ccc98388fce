"""``--cfg-options a.b.0.c=value``: setting single values of a config from the command line."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any

from rotx.config.errors import ConfigError, kind
from rotx.config.merge import merged_entry
from rotx.config.source import MAX_DEPTH

_PAIRS = {"(": ")", "[": "]"}
_WORDS = {"true": True, "false": False, "none": None}
_MAX_CHARACTERS = 10_000


def apply_options(config: dict[str, Any], options: Sequence[str]) -> dict[str, Any]:
    """Returns a copy of a config with values set from ``path=value`` texts.

    A path names keys of dicts and indices of lists, joined by dots. It must exist, so that typing errors are noticed;
    ``+path=value`` adds what does not exist yet. A dict is merged into the old one.

    Raises:
        ConfigError: For an option without ``=``, or a path that does not exist; names the nearest one.
    """
    for option in options:
        path, equals, text = option.partition("=")
        path = path.strip()
        keys = path.removeprefix("+").split(".")
        if not equals or not all(keys) or len(keys) > MAX_DEPTH:
            raise ConfigError(f"--cfg-options {option[:80]!r}: need path=value, such as model.backbone.depth=50")
        value = _parse(text, option)
        try:
            config = _changed(config, keys, value, path.startswith("+"))
        except _NoSuchPath as error:
            raise ConfigError(f"--cfg-options {option!r}: {error}{_near(config, keys)}") from None
        except ConfigError as error:
            raise ConfigError(f"--cfg-options {option!r}: {error}") from None
    return config


def variables_of(options: Sequence[str]) -> dict[str, Any]:
    """Values of options ``name=value``, by name; a dict is none of them, as it is merged into the old value."""
    found: dict[str, Any] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if equals and name.strip().isidentifier():
            value = _parse(text, option)
            if not isinstance(value, dict):
                found[name.strip()] = value
    return found


class _NoSuchPath(Exception):
    """Error for a path that does not exist."""


def _changed(owner: Any, keys: list[str], value: Any, add: bool, where: str = "") -> Any:
    """Returns ``owner`` with the value at the path ``keys``; copies whatever changes."""
    name, rest = keys[0], keys[1:]
    what = where or "the config"
    here = f"{where}.{name}" if where else name
    if isinstance(owner, list | tuple):
        items = list(owner)
        index = int(name) if name.removeprefix("-").isdecimal() and len(name) < 10 else None
        if index is None or not -len(items) <= index < len(items) + add:
            raise _NoSuchPath(f"{what} is {kind(owner)} of {len(items)}, which has no item {name!r}")
        if index == len(items):
            items.append({})
        items[index] = _changed(items[index], rest, value, add, here) if rest else value
        return type(owner)(items)
    if not isinstance(owner, dict):
        raise _NoSuchPath(f"{what} is {kind(owner)}, which has no entry {name!r}")
    key = int(name) if name not in owner and name.isdecimal() and int(name) in owner else name
    if key not in owner and not add:
        raise _NoSuchPath(f"{what} has no {name!r}")
    if rest:
        return {**owner, key: _changed(owner.get(key, {}), rest, value, add, here)}
    # A dict is merged into a dict, and replaces any other value.
    base = owner if isinstance(owner.get(key), dict) else {}
    return {**owner, key: merged_entry(base, key, value, where)}


def _near(config: dict[str, Any], keys: list[str]) -> str:
    """Hint with the most similar path, or else a path with the same last key."""
    known = [path for path in islice(_paths(config), 2000) if len(path) < 200]
    path = ".".join(keys)[:200]
    near = get_close_matches(path, known, n=1, cutoff=0.75)
    same_end = [other for other in known if other.rpartition(".")[2] == keys[-1]]
    near = near or get_close_matches(path, same_end, n=1, cutoff=0.0)
    return f": did you mean {near[0]!r}?" if near else f"; +{path}=... adds it"


def _paths(value: Any, path: str = "") -> Iterator[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        here = f"{path}.{key}" if path else str(key)
        yield here
        yield from _paths(item, here)


def _parse(text: str, option: str) -> Any:
    """Parses a value typed in a shell: a Python literal, ``true``, ``a,b``, ``[a, b]``, ``(1, b)``, or text."""
    text = text.strip()
    if len(text) > _MAX_CHARACTERS:
        raise ConfigError(f"--cfg-options {option[:40]!r}…: longer than {_MAX_CHARACTERS:,} characters")
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        value = ...
    if _is_plain(value) and (isinstance(value, str | list | dict) or text.startswith("(")):
        return value
    if text[:1] in _PAIRS:
        if text[-1:] != _PAIRS[text[0]]:
            raise ConfigError(f"--cfg-options {option!r}: no {_PAIRS[text[0]]!r} closes the {text[0]!r}")
        items = [_parse(item, option) for item in _split(text[1:-1], option)]
        return tuple(items) if text[0] == "(" else items
    items = _split(text, option)
    return [_parse(item, option) for item in items] if len(items) > 1 else text


def _is_plain(value: Any) -> bool:
    """Whether a literal consists of values that configs may hold."""
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return isinstance(value, str | int | float | None)


def _split(text: str, option: str) -> list[str]:
    """Splits a text at commas outside brackets."""
    parts = [""]
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth > 20:
            raise ConfigError(f"--cfg-options {option[:40]!r}: too many brackets")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts if parts[-1].strip() or len(parts) == 1 else parts[:-1]
