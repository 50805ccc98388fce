"""Configs: MMRotate-style Python files, read without executing anything.

A config is a file of assignments. :func:`load` reads it and the files it names in ``_base_`` from their syntax
trees to one plain dict, brings MMRotate 0.x keys into those of 1.x, and sets single values from the command
line. :func:`dumps` writes the dict as a file again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rotx.config.dump import dumps
from rotx.config.errors import ConfigError
from rotx.config.files import read
from rotx.config.merge import merge
from rotx.config.options import apply_options
from rotx.config.source import Budget
from rotx.config.translate import is_mmrotate0, translate

__all__ = ["ConfigError", "apply_options", "custom_imports", "dumps", "load", "merge"]


def load(path: str | Path, options: Sequence[str] = (), notice: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The config in a file, as nested dicts, lists, tuples, numbers, texts, True, False and None.

    It holds every name that the file or its bases assign, except those that begin with an underscore. Reading
    executes nothing and takes less than a second whatever the file holds.

    Args:
        path: a .py file.
        options: ``path=value`` texts of ``--cfg-options``, applied last; see :func:`apply_options`.
        notice: called with each sentence that the user should know, such as that the config was translated
            from MMRotate 0.x; a warning if None.

    Raises:
        ConfigError: in one line that names the file and the line.
    """
    say = notice or warnings.warn
    config = read(Path(path), Budget())
    try:
        if is_mmrotate0(config):
            config = translate(config, lambda text: say(f"{path}: {text}"))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (AttributeError, KeyError, TypeError) as error:  # a value of another kind than MMRotate's
        raise ConfigError(f"{path}: cannot be translated from MMRotate 0.x: {error!r}") from error
    return apply_options(config, options)


def custom_imports(config: Mapping[str, Any], trusted: bool) -> list[str]:
    """The modules that ``custom_imports = dict(imports=[...])`` wants imported; they are code that would run.

    Args:
        config: as loaded.
        trusted: whether the user gave ``--trust-config``.

    Raises:
        ConfigError: if there are any and the config is not trusted, or they are no names of modules.
    """
    entry = config.get("custom_imports")
    if not entry:
        return []
    imports = entry.get("imports") if isinstance(entry, Mapping) else None
    modules = [imports] if isinstance(imports, str) else imports
    if not isinstance(modules, list | tuple) or not all(_is_module(module) for module in modules):
        raise ConfigError(f"custom_imports: need dict(imports=['package.module']), got {entry!r}")
    if modules and not trusted:
        names = ", ".join(modules)
        raise ConfigError(
            f"custom_imports: the config wants to run {names}; if you trust it, give --trust-config, "
            "or trust_config=True"
        )
    return list(modules)


def _is_module(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))
