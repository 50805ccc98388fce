"""The one error of configs, and the words for it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Any

_KINDS = {dict: "a dict", list: "a list", tuple: "a tuple", str: "text", bool: "True or False", type(None): "None"}
_KINDS |= {int: "a whole number", float: "a number", bytes: "bytes", complex: "a complex number"}

#: Names that an error is compared with, and the characters of one.
_COMPARED = 2000
_LONG = 100


class ConfigError(ValueError):
    """A config that cannot be read, in one line: where, what is wrong, the fix."""


def kind(value: Any) -> str:
    """What a value is, in words."""
    return _KINDS.get(type(value), type(value).__name__)


def nearest(name: object, names: Iterable[object]) -> str:
    """``: did you mean 'x'?``, or all names if they are few, or nothing."""
    # Comparing long texts, or very many, would take longer than reading the config.
    known = [text for text in map(str, islice(names, _COMPARED)) if len(text) < _LONG]
    near = get_close_matches(str(name)[:_LONG], known, n=1, cutoff=0.6)
    if near:
        return f": did you mean {near[0]!r}?"
    return f": there are {', '.join(known)}" if 0 < len(known) <= 10 else ""
