"""Translation of an MMRotate model to parts that each hold their own settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotx.compat.allowed import Allowed, check_value
from rotx.compat.harmless import harmless_keys, strip
from rotx.compat.places import KINDS, OF_DETECTOR, Place
from rotx.config.errors import ConfigError

Config = Mapping[str, Any]

#: Keys of a model that hold settings of its heads.
SETTINGS = ("train_cfg", "test_cfg")


def strip_model(model: Config) -> dict[str, Any]:
    """Returns the model of a config without harmless keys, see :func:`rotx.compat.harmless.strip`; imports no class.

    Raises:
        ConfigError: For a harmless key with an unsupported value.
    """
    own: dict[str, Any] = strip(model, "model")
    for head, place in ((head, place) for head, places in KINDS[kind_of(own)].items() for place in places):
        harmless = harmless_at(place, own.get(head))
        found = at(own, place.path)
        stages = found if isinstance(found, list | tuple) else [found]
        for i, settings in enumerate(stages):
            where = f"model.{place.path}" + (f".{i}" if stages is found else "")
            for key in harmless if isinstance(settings, dict) else ():
                if key in settings:
                    check_value(settings.pop(key), harmless[key], f"{where}.{key}")
    return own


def harmless_at(place: Place, head: Any) -> dict[str, Allowed]:
    """The keys at a place that have nothing to choose, for its head, with the values that they may have."""
    config = head[0] if isinstance(head, list | tuple) and head else head
    own = harmless_keys(config["type"]) if isinstance(config, Mapping) and "type" in config else {}
    return {**place.harmless, **{key: own[place.prefix + key] for key in place.keys if place.prefix + key in own}}


def to_parts(model: Config) -> dict[str, Any]:
    """Returns the model of a config with every setting in the part that uses it; imports no class.

    Args:
        model: The ``model`` of a config in the keys of MMRotate 1.x, without harmless keys.

    Returns:
        The model without ``train_cfg`` and ``test_cfg``; their entries have become keywords of the heads.

    Raises:
        ConfigError: For a missing head, and for settings whose structure differs from the heads'.
    """
    kind = kind_of(model)
    check_heads(model)
    own = {key: value for key, value in model.items() if key not in SETTINGS}
    for head, places in KINDS[kind].items():
        if isinstance(model[head], list | tuple):
            stages = range(len(model[head]))
            own[head] = [{**model[head][i], **_settings(model, head, places, i)} for i in stages]
        else:
            own[head] = {**model[head], **_settings(model, head, places)}
    for key, path in OF_DETECTOR.get(kind, {}).items():
        if at(model, path) is not None:
            own[key] = at(model, path)
    return own


def kind_of(model: Config) -> str:
    """Kind of a detector by its heads, such as ``single-stage``; see :data:`rotx.compat.places.KINDS`."""
    return next((kind for kind, heads in KINDS.items() if any(head in model for head in heads)), "single-stage")


def check_heads(model: Config) -> None:
    """Raises ConfigError unless a model has all heads of its kind."""
    for head in KINDS[kind_of(model)]:
        if not isinstance(model.get(head), Mapping | list | tuple) or not model[head]:
            raise ConfigError(f"model: needs a {head!r}")


def at(model: Config, path: str) -> Any:
    """Returns the entry of a model at a path; None if it is missing.

    Raises:
        ConfigError: If the path leads through a value that is not a dict.
    """
    value: Any = model
    for i, key in enumerate(names := path.split(".")):
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ConfigError(f"model.{'.'.join(names[:i])}: need a dict or None, got {value!r}")
        value = value.get(key)
    return value


def dicts_at(model: Config, head: str, place: Place) -> list[tuple[str, Config]]:
    """Returns the dicts of settings at a place with their paths: none, one, or one for each stage.

    Raises:
        ConfigError: For settings whose structure differs from the head's.
    """
    path = place.path
    found = at(model, path)
    if not found and place.otherwise:
        path, found = place.otherwise, at(model, place.otherwise)
    if found is None:
        return []
    if place.per_stage and found and _has_stages(model[head]) != isinstance(found, list | tuple):
        need = "a list with one dict for each stage" if _has_stages(model[head]) else "one dict"
        raise ConfigError(f"model.{path}: need {need}, as model.{head} has")
    dicts = [(path, found)]
    if place.per_stage and isinstance(found, list | tuple):
        dicts = [(f"{path}.{i}", item) for i, item in enumerate(found)]
        if isinstance(model[head], list | tuple) and len(dicts) != len(model[head]):
            raise ConfigError(f"model.{path}: need {len(model[head])} dicts, one for each of model.{head}")
    for where, item in dicts:
        if not isinstance(item, Mapping):
            raise ConfigError(f"model.{where}: need a dict or None, got {item!r}")
    return dicts


def _has_stages(head: Any) -> bool:
    inner = head.get("bbox_head") if isinstance(head, Mapping) else head
    return isinstance(inner, list | tuple)


def _settings(model: Config, head: str, places: tuple[Place, ...], stage: int | None = None) -> dict[str, Any]:
    """Returns the keywords of a head, or of one of several heads, that are in ``train_cfg`` and ``test_cfg``."""
    settings: dict[str, Any] = {}
    inner = {place.path for place in places}
    for place in places:
        dicts = []
        for where, found in dicts_at(model, head, place):
            own = {key: value for key, value in found.items() if f"{place.path}.{key}" not in inner}
            dicts.append((where, own))
        if place.keyword:
            if dicts and dicts[0][1]:
                settings[place.keyword] = {"type": place.type, **dicts[0][1]}
        elif place.per_stage and stage is not None:
            settings |= dicts[stage][1] if dicts else {}
        elif place.per_stage and _has_stages(model[head]):
            settings |= _by_stage(dicts)
        else:
            settings |= {f"{place.prefix}{key}": value for _, own in dicts for key, value in own.items()}
    return settings


def _by_stage(dicts: list[tuple[str, dict[str, Any]]]) -> dict[str, list[Any]]:
    """Returns the settings of stages as lists with a value for each stage."""
    names = dict.fromkeys(name for _, settings in dicts for name in settings)
    for where, settings in dicts:
        for name in names:
            if name not in settings:
                raise ConfigError(f"model.{where}: needs {name!r}, which another stage has")
    return {name: [settings[name] for _, settings in dicts] for name in names}
