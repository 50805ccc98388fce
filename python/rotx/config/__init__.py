"""Configs: MMRotate-style Python files, read without executing anything.

A config is a file of assignments. :func:`read` parses it and the files that it names in ``_base_`` into one plain dict,
:func:`apply_options` sets single values from the command line, and :func:`dumps` writes the dict as a file again.
The meaning of the keys is defined in :mod:`rotx.compat`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rotx.config.dump import dumps
from rotx.config.errors import ConfigError
from rotx.config.files import read as read_file
from rotx.config.merge import merge
from rotx.config.options import apply_options, variables_of
from rotx.config.source import Budget

__all__ = ["ConfigError", "apply_options", "custom_imports", "dumps", "load", "merge", "read"]


def read(path: str | Path, options: Sequence[str] = ()) -> dict[str, Any]:
    """Reads a config file as it is written; a config of MMRotate 0.x keeps its keys.

    The config holds every name that the file or its bases assign, except names that begin with an underscore. Reading
    executes nothing and takes less than a second, whatever the file holds.

    Args:
        path: Path of a .py file.
        options: Texts of ``--cfg-options``; an option ``name=value`` for a name that the files assign counts as if they
            assigned this value. :func:`apply_options` applies all others.

    Raises:
        ConfigError: If the config is invalid; one line that names the file and the line.
    """
    return read_file(Path(path), Budget(), variables=variables_of(options))


def load(path: str | Path, options: Sequence[str] = (), notice: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Deprecated: use :func:`rotx.compat.load_config`."""
    warnings.warn("rotx.config.load is rotx.compat.load_config now", DeprecationWarning, stacklevel=2)
    config: dict[str, Any] = import_module("rotx.compat").load_config(path, options, notice)
    return config


def custom_imports(config: Mapping[str, Any], trusted: bool) -> list[str]:
    """Returns the modules that ``custom_imports = dict(imports=[...])`` names; importing them runs their code.

    Args:
        config: The loaded config.
        trusted: Whether the user gave ``--trust-config``.

    Raises:
        ConfigError: If there are any and the config is not trusted, or the names are not module names.
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
