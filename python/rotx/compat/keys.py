"""Checks that every key of a config is taken by its class; errors name the nearest key and where a key belongs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from rotx.compat.harmless import EVERYWHERE, class_name, harmless_keys, strip
from rotx.config.errors import ConfigError
from rotx.registry import TABLE, keywords_of, nearest, resolve

#: Greatest number of places named in an error for a misplaced key.
_NAMED = 2
#: Least similarity at which a key counts as misspelt, where other keys are allowed.
_MISSPELT = 0.9


@dataclass(frozen=True)
class Slot:
    """A dict in a config, with its allowed keys.

    Attributes:
        path: Path of the dict in the config.
        config: The dict.
        owner: Name of the class that takes the keys, for messages.
        keys: Allowed keys, besides ``type``.
        elsewhere: Keys of the same owner that belong to another dict: key → its path.
        takes_others: Whether any other key is allowed.
        problem: Error of its ``type``; "" if there is none.
    """

    path: str
    config: Mapping[str, Any]
    owner: str
    keys: tuple[str, ...]
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    takes_others: bool = False
    problem: str | None = None


def own_keys(config: Any, where: str) -> Any:
    """Returns a part of a config with only the keys that its classes take.

    Args:
        config: Part of a loaded config.
        where: Path of ``config`` in its file, for messages.

    Raises:
        ConfigError: For an unknown key, which may be misspelt, and for a harmless key with an unsupported value.
    """
    own = strip(config, where)
    check_slots(list(typed_slots(own, where)))
    return own


def typed_slots(config: Any, where: str) -> Iterator[Slot]:
    """Yields a slot for each dict with a ``type``, from the outside in."""
    if isinstance(config, list | tuple):
        for i, item in enumerate(config):
            yield from typed_slots(item, f"{where}.{i}")
    if not isinstance(config, Mapping):
        return
    if "type" in config:
        yield _slot(config, where)
    for key, value in config.items():
        yield from typed_slots(value, f"{where}.{key}")


def _slot(config: Mapping[str, Any], where: str) -> Slot:
    try:
        target = resolved(config["type"], where)
    except ConfigError as error:
        return Slot(where, config, "", (), problem=str(error))
    keywords, takes_others = keywords_of(target)
    return Slot(where, config, name_of(target), (*keywords, *harmless_keys(config["type"])), takes_others=takes_others)


def check_slots(slots: Sequence[Slot]) -> None:
    """Raises ConfigError for a key that its slot does not allow; the other slots tell where it belongs."""
    for slot in slots:
        if slot.problem:
            raise ConfigError(slot.problem)
        for key in slot.config:
            if key == "type" or key in slot.keys:
                continue
            if key in slot.elsewhere:
                raise ConfigError(f"{slot.path}.{key}: belongs in {slot.elsewhere[key]}")
            known = [*_named(slot), "type"]
            near = get_close_matches(str(key), known, n=1, cutoff=_MISSPELT)
            if near or not slot.takes_others:
                problem = f"{slot.owner} takes no {key!r}{nearest(key, near or known)}"
                raise ConfigError(f"{slot.path}: {problem}{belongs(key, slots)}")


def belongs(key: object, slots: Sequence[Slot]) -> str:
    """Hint such as ``; 'x' belongs in model.neck`` if one of the slots allows the key, else an empty text."""
    paths = [slot.path for slot in slots if key in _named(slot)]
    return f"; {key!r} belongs in {' or '.join(paths[:_NAMED])}" if paths else ""


def _named(slot: Slot) -> list[str]:
    return [key for key in slot.keys if key not in EVERYWHERE]


def resolved(kind: object, where: str) -> Callable[..., Any]:
    """Returns the class that a ``type`` means.

    Raises:
        ConfigError: If there is no such class.
    """
    try:
        target = resolve(kind) if isinstance(kind, str) else kind
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    if not callable(target):
        raise ConfigError(f"{where}: type must be a name, got {kind!r}")
    return target


def name_of(target: Callable[..., Any]) -> str:
    """Name of a class or function, for messages."""
    return getattr(target, "__name__", repr(target))


def is_ours(kind: object) -> bool:
    """Whether a ``type`` means a class of rotx, not a registered class of the user."""
    return class_name(kind) in TABLE
