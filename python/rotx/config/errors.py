"""The error of configs, and helpers for its messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Any

_KINDS = {dict: "a dict", list: "a list", tuple: "a tuple", str: "text", bool: "True or False", type(None): "None"}
_KINDS |= {int: "a whole number", float: "a number", bytes: "bytes", complex: "a complex number"}

#: Greatest number of names to compare a misspelt one with, and greatest length of a name.
_COMPARED = 2000
_LONG = 100


class ConfigError(ValueError):
    """Error of a config that cannot be read; one line with the place, the reason and the fix."""


def kind(value: Any) -> str:
    """Kind of a value in words, for messages."""
    return _KINDS.get(type(value), type(value).__name__)


def nearest(name: object, names: Iterable[object]) -> str:
    """Hint with the nearest name, ``: did you mean 'x'?``, or with all names if there are few, or an empty text."""
    # Comparing long or very many texts would take longer than reading the config.
    known = [text for text in map(str, islice(names, _COMPARED)) if len(text) < _LONG]
    near = get_close_matches(str(name)[:_LONG], known, n=1, cutoff=0.6)
    if near:
        return f": did you mean {near[0]!r}?"
    return f": there are {', '.join(known)}" if 0 < len(known) <= 10 else ""
