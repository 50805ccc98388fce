"""Every key of every config, misspelt once: an error names the misspelt key and the right one."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

from torch import nn

import mmrotate_style
from mmrotate_style import write
from rotx.compat import build, load_config, own_model
from rotx.compat.mmrotate0 import OLD_KEYS, translate
from rotx.compat.sections import LOADERS, NAMES, check_sections
from rotx.config import read
from rotx.engine.ema import build_ema
from rotx.engine.optim import build_optimizer
from rotx.engine.schedule import build_schedule
from test_config_mmrotate0 import DATA, SCHEDULE

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
    """What a key is a key of, wherever in the configs that stands: a class, or a section of a kind of model."""
    inner = [i for i in range(2, len(path)) if "type" in _dict(at(config, path[:i]))]
    if inner:
        below = tuple(name for name in path[inner[-1] :] if isinstance(name, str))
        return (path[0] == "model", at(config, path[: inner[-1]])["type"], *below)
    model = _dict(config.get("model") if path[0] == "model" else None)
    return (model.get("type"), _dict(model.get("bbox_head")).get("type"), *path)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def cases(configs: dict[str, dict[str, Any]], names: Container[str]) -> list[tuple[str, Keys]]:
    """Each key of each class and section once: a config, and where the key stands in it."""
    found: dict[tuple[object, ...], tuple[str, Keys]] = {}
    for name, config in configs.items():
        for path in keys_of(config):
            if path[0] in names and isinstance(path[-1], str):
                found.setdefault(place(config, path), (name, path))
    return list(found.values())


def unnoticed(name: str, config: Any, path: Keys, look: Callable[[Any, Keys], object]) -> str | None:
    """What is wrong with the error for a misspelt key; None if it names both the key and the right one."""
    key = path[-1]
    assert isinstance(key, str)
    typo = misspelt(key)
    try:
        look(renamed(config, path, typo), path)
    except ValueError as error:
        said = str(error)
        if typo in said and key in said.replace(typo, "") and "\n" not in said:
            return None
    else:
        said = "no error"
    return f"{name}: {'.'.join(map(str, path))} → {typo}: {said}"


def data_and_schedule(folder: Path) -> dict[str, Any]:
    (folder / "parts.py").write_text(DATA + SCHEDULE)
    return read(folder / "parts.py")


def test_every_key_of_every_config(tmp_path: Path) -> None:
    """Those of configs/, and of MMRotate's own with their harmless keys."""
    files = {file.stem: load_config(file) for file in FILES}
    files |= {f"1.x {name}": load_config(write(tmp_path, mmrotate_style.V1, name)) for name in mmrotate_style.V1}
    # A base may hold a part of a model.
    configs = {
        name: config if "type" in _dict(config.get("model")) else {**config, "model": {}}
        for name, config in files.items()
    }
    found = cases(configs, NAMES)
    problems = [unnoticed(name, configs[name], path, check) for name, path in found]
    assert len(found) > 300
    assert not list(filter(None, problems)), "\n".join(filter(None, problems))


def test_every_key_of_mmrotate_0x(tmp_path: Path) -> None:
    configs = {
        name: {**read(write(tmp_path, mmrotate_style.V0, name)), **data_and_schedule(tmp_path)}
        for name in mmrotate_style.V0
    }

    def look(config: dict[str, Any], path: Keys) -> None:
        new = translate(config, lambda text: None)
        check_sections(new)
        own_model(new["model"])
        build_optimizer(LAYER, new["optim_wrapper"])

    # Names of four letters are too short to tell a misspelt one from a variable.
    found = [(name, path) for name, path in cases(configs, OLD_KEYS | {"model"}) if len(path) > 1 or len(path[0]) > 4]
    problems = [unnoticed(name, configs[name], path, look) for name, path in found]
    assert len(found) > 100
    assert not list(filter(None, problems)), "\n".join(filter(None, problems))
