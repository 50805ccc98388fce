"""Checks of the keys of a model, its heads, ``train_cfg`` and ``test_cfg``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rotx.compat.keys import Slot, belongs, check_slots, is_ours, name_of, resolved, typed_slots
from rotx.compat.parts import SETTINGS, at, check_heads, dicts_at, harmless_at, kind_of, strip_model
from rotx.compat.places import KINDS, OF_DETECTOR, Place
from rotx.config.errors import ConfigError
from rotx.registry import keywords_of, nearest

Model = Mapping[str, Any]


def own_model(model: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the model of a config with only the keys that its classes and settings take, each where it belongs.

    Args:
        model: The ``model`` of a loaded config.

    Raises:
        ConfigError: For an unknown or misplaced key, and for missing parts.
    """
    own = strip_model(model)
    _check_model(own)
    return own


def _check_model(model: Model) -> None:
    """Raises ConfigError unless every key of a model, without harmless keys, is allowed where it is."""
    if "type" not in model:
        check_slots(list(typed_slots(model, "model")))
        raise ConfigError("model: needs a 'type', such as 'RetinaNet'")
    kind = kind_of(model)
    heads = KINDS[kind]
    root, *slots = typed_slots({key: value for key, value in model.items() if key not in SETTINGS}, "model")
    slots = [replace(root, keys=(*root.keys, *SETTINGS)), *slots]
    if is_ours(model["type"]):
        slots[0] = _without(slots[0], {key: path.rpartition(".")[0] for key, path in OF_DETECTOR.get(kind, {}).items()})
    try:
        check_heads(model)
        for head, places in heads.items():
            slots = [_head(slot, head, places, model) for slot in slots]
        slots += [slot for head, places in heads.items() for slot in _settings(model, head, places)]
    except ConfigError:
        check_slots(slots)  # the reason may be a misspelt key
        raise
    _check_containers(model, kind, slots)
    check_slots(slots)
    for head, places in heads.items():
        _check_complete(model, head, places)


def _first(model: Model, head: str) -> Mapping[str, Any]:
    """Returns the config of a head, or of the first of several heads."""
    config: Mapping[str, Any] = model[head][0] if isinstance(model[head], list | tuple) else model[head]
    return config


def _without(slot: Slot, elsewhere: Mapping[str, str]) -> Slot:
    """Returns a slot without the settings that belong to another dict."""
    theirs = {key: f"model.{path}" for key, path in elsewhere.items() if key in slot.keys}
    return replace(slot, keys=tuple(key for key in slot.keys if key not in theirs), elsewhere=theirs)


def _head(slot: Slot, head: str, places: tuple[Place, ...], model: Model) -> Slot:
    """Returns the slot of one of our heads without the settings in ``train_cfg`` and ``test_cfg``."""
    if slot.path.rstrip(".0123456789") != f"model.{head}" or not is_ours(slot.config["type"]):
        return slot
    elsewhere: dict[str, str] = {}
    for place in places:
        elsewhere |= dict.fromkeys(_keywords(place), place.path)
    found = [key for key in elsewhere if key in slot.config and key in slot.keys]
    for key in found:
        if any(key in settings for place in places for _, settings in dicts_at(model, head, place)):
            raise ConfigError(f"{slot.path}.{key}: stands in train_cfg or test_cfg, too: keep the one there")
    return _without(slot, elsewhere)


def _keywords(place: Place) -> tuple[str, ...]:
    """Keywords of a head that a place sets."""
    return (place.keyword,) if place.keyword else tuple(place.prefix + key for key in place.keys)


def _settings(model: Model, head: str, places: tuple[Place, ...]) -> Iterator[Slot]:
    """Yields a slot for each dict of settings of a head, and for each dict with a ``type`` in them."""
    paths = {place.path for place in places}
    for place in places:
        kind = place.type or _first(model, head).get("type")
        if kind is None:
            continue
        target = resolved(kind, f"model.{head}")
        keywords, takes_others = keywords_of(target)
        keys = [key for key in place.keys if place.prefix + key in keywords or takes_others]
        keys += [] if is_ours(kind) else [key for key in keywords if key not in keys]
        keys += [path.rpartition(".")[2] for path in paths if path.rpartition(".")[0] == place.path]
        for where, found in dicts_at(model, head, place):
            yield Slot(f"model.{where}", found, name_of(target), (*keys, *harmless_at(place, model[head])))
            for key, value in found.items():
                if f"{place.path}.{key}" not in paths:
                    yield from typed_slots(value, f"model.{where}.{key}")


def _check_containers(model: Model, kind: str, slots: list[Slot]) -> None:
    """Raises ConfigError for an unknown key of a ``train_cfg`` or ``test_cfg`` that only holds other dicts."""
    paths = [place.path for places in KINDS[kind].values() for place in places]
    paths += OF_DETECTOR.get(kind, {}).values()
    for name in SETTINGS:
        at(model, f"{name}.")  # raises unless it is None or a dict
        known = [path.removeprefix(f"{name}.") for path in dict.fromkeys(paths) if path.startswith(f"{name}.")]
        for key in () if name in paths else model.get(name) or ():
            if key not in known:
                near = nearest(key, known).partition(": known")[0]
                problem = f"has no part {key!r} in a {kind} detector{near}{belongs(key, slots)}"
                raise ConfigError(f"model.{name}: {problem}; known are {', '.join(known)}")


def _check_complete(model: Model, head: str, places: tuple[Place, ...]) -> None:
    """Raises ConfigError if settings that the class of a head requires are missing."""
    config = _first(model, head)
    if "type" not in config:
        return
    needed = {key for key, required in keywords_of(resolved(config["type"], f"model.{head}"))[0].items() if required}
    missing = []
    for place in places:
        dicts = [found for _, found in dicts_at(model, head, place) if found]
        given = {place.prefix + key for found in dicts for key in found} | ({place.keyword} if dicts else set())
        for key in _keywords(place):
            if key in needed and key not in given and key not in config:
                path = place.path if place.keyword else f"{place.path}.{key.removeprefix(place.prefix)}"
                missing.append(f"model.{path}")
    if missing:
        raise ConfigError(f"{', '.join(missing)}: missing; a detector is built for training and inference at once")
