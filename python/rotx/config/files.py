"""Reading a config file and merging it with its bases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rotx.config.errors import ConfigError
from rotx.config.merge import merged_entry
from rotx.config.source import Budget, Source
from rotx.config.statements import bases, run
from rotx.config.values import Evaluator


def read(
    path: Path, budget: Budget, above: tuple[Path, ...] = (), variables: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Reads the names that a file and its bases assign, without names that begin with an underscore.

    Args:
        path: Path of the file.
        budget: Remaining limits for reading the config.
        above: Files that name this one as a base, from the top, to detect circles.
        variables: Values that replace those which the files assign to these names.

    Raises:
        ConfigError: If a file cannot be read; names the file and the line.
    """
    source = Source(path, budget)
    tree = source.parse()
    above = (*above, path)
    base: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    for name, line in bases(tree, Evaluator(source, {})):
        other = _base_path(source, name, line, above)
        for key, value in read(other, budget, above, variables).items():
            if key in base:
                reason = f"{key!r} is assigned in two bases, {origin[key]} and {other}: name one of them"
                raise source.error(line, reason)
            base[key] = value
            origin[key] = other
    evaluator = Evaluator(source, base)
    lines = run(tree, evaluator, variables or {})
    config = dict(base)
    for key, value in evaluator.names.items():
        if key.startswith("_"):
            continue
        try:
            config[key] = merged_entry(base, key, value)
        except ConfigError as error:
            raise source.error(lines[key], str(error)) from None
    return config


#: Packages whose configs are among those of rotx.
_SCOPES = ("mmrotate", "mmdet", "rotx")
#: Folders of the configs of rotx: in a checkout, and in the package.
_CONFIGS = (Path(__file__).parents[3] / "configs", Path(__file__).parents[1] / "configs")


def _shipped(source: Source, scope: str, name: str, line: int) -> Path:
    """Path of a config of rotx."""
    if scope not in _SCOPES:
        raise source.error(line, f"_base_ '{scope}::{name}': only configs of {', '.join(_SCOPES)} are known by name")
    name = name.removeprefix("configs/")
    folder = next((folder for folder in _CONFIGS if folder.is_dir()), None)
    found = sorted(folder.rglob(Path(name).name)) if folder else []
    exact = [path for path in found if folder and path == folder / name]
    if len(exact or found) != 1 or ".." in Path(name).parts:
        raise source.error(line, f"_base_ '{scope}::{name}' is not among the configs of rotx: copy it, give its path")
    return (exact or found)[0]


def _base_path(source: Source, name: str, line: int, above: tuple[Path, ...]) -> Path:
    """Path of a base; relative paths start at the file that names it, ``mmrotate::`` at the configs of rotx."""
    scope, _, inner = name.partition("::")
    if inner:
        return _shipped(source, scope, inner, line)
    try:
        path = source.path.parent / name
        is_file = path.is_file()
        circle = any(path.resolve() == other.resolve() for other in above)
    except (OSError, ValueError, RuntimeError):
        raise source.error(line, f"_base_ {name!r} is not the path of a file") from None
    if not is_file:
        raise source.error(line, f"_base_ {name!r}: no file {path}")
    if circle:
        names = " → ".join(str(file) for file in (*above, path))
        raise source.error(line, f"_base_ goes round in a circle: {names}")
    return path
