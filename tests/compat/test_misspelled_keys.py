"""Every key of every config, misspelt once: an error names the misspelt key and the right one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from rotx.compat import build, load_config, own_model
from rotx.compat.sections import LOADERS, NAMES, check_sections
from rotx.engine.ema import build_ema
from rotx.engine.optim import build_optimizer
from rotx.engine.schedule import build_schedule

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.py"))
LAYER = nn.Conv2d(3, 3, 1)

Keys = tuple[str | int, ...]


def keys_of(value: Any, path: Keys = ()) -> Iterator[Keys]:
    """The path of every key within a config; the names of parameters in ``custom_keys`` are none."""
    if isinstance(value, dict):
        for key, item in value.items():
            if path[-1:] != ("custom_keys",):
                yield (*path, key)
            yield from keys_of(item, (*path, key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from keys_of(item, (*path, i))


def at(config: Any, path: Keys) -> Any:
    for key in path:
        config = config[key]
    return config


def misspelt(key: str) -> str:
    """Without a letter in the middle, or with the last one twice if it is short."""
    return key[: len(key) // 2] + key[len(key) // 2 + 1 :] if len(key) > 4 else key + key[-1]


def renamed(config: Any, path: Keys, name: str) -> Any:
    """A copy of a config in which one key has another name; what is not changed is shared."""
    first, *rest = path
    if isinstance(config, list | tuple):
        return [renamed(item, tuple(rest), name) if i == first else item for i, item in enumerate(config)]
    if rest:
        return {key: renamed(item, tuple(rest), name) if key == first else item for key, item in config.items()}
    return {name if key == first else key: item for key, item in config.items()}


def check(config: dict[str, Any], path: Keys) -> None:
    """What looks at the part of a config that a path leads to, as training does before the first step."""
    top = path[0] if len(path) > 1 else None
    if top == "model":
        own_model(config["model"])
    elif top == "optim_wrapper":
        build_optimizer(LAYER, config["optim_wrapper"])
    elif top == "param_scheduler":
        build_schedule(config["param_scheduler"], epoch_length=1000)
    else:
        check_sections(config)
        if top == "custom_hooks":
            build_ema(LAYER, config["custom_hooks"][path[1]], epoch_length=1000)
        if top in LOADERS:
            build(config[top]["dataset"], f"{top}.dataset")


def place(config: dict[str, Any], path: Keys) -> tuple[object, ...]:
    """What a key is a key of, however often that stands in the configs: a class and its role, or a section."""
    names = tuple(name for name in path if isinstance(name, str))
    types = [(i, at(config, path[:i])["type"]) for i in range(1, len(path)) if "type" in _dict(at(config, path[:i]))]
    if path[0] not in NAMES:
        return (None,)
    head = config["model"]["bbox_head"]["type"] if path[0] == "model" and "bbox_head" in config["model"] else None
    model = config["model"]["type"] if path[0] == "model" and "type" in config["model"] else None
    if types and types[-1][0] > 1:
        return (
            types[-1][1],
            *names[len([n for n in path[: types[-1][0]] if isinstance(n, str)]) :],
            path[0] == "model",
        )
    return (model, head, *names)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def cases() -> dict[tuple[object, ...], tuple[Path, Keys]]:
    """Each key of each class and section once: what it is a key of → a config and where it stands in that."""
    found: dict[tuple[object, ...], tuple[Path, Keys]] = {}
    for file in FILES:
        config = load_config(file)
        if "type" not in _dict(config.get("model", {"type": ""})):
            config = {key: value for key, value in config.items() if key != "model"}  # a part of a base
        for path in keys_of(config):
            if path[0] in NAMES and isinstance(path[-1], str):
                found.setdefault(place(config, path), (file, path))
    return found


def test_every_key_of_every_config() -> None:
    configs = {file: load_config(file) for file in FILES}
    found = cases()
    silent = []
    for file, path in found.values():
        key = path[-1]
        assert isinstance(key, str)
        typo = misspelt(key)
        where = f"{file.stem}: {'.'.join(map(str, path))} → {typo}"
        try:
            check(renamed(configs[file], path, typo), path)
        except ValueError as error:
            message = str(error)
            if typo not in message or key not in message.replace(typo, "") or "\n" in message:
                silent.append(f"{where}: {message}")
        else:
            silent.append(f"{where}: no error")
    assert len(found) > 300
    assert not silent, "\n".join(silent)
