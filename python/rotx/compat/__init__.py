"""Configs and checkpoints of other projects: translates the terms of MMRotate and MMDetection to those of rotx.

A config is translated in two steps. :func:`load_config` reads a file and translates MMRotate 0.x keys to 1.x. When
something is built from it, :func:`own_keys` and :func:`own_model` check every key: keys without a choice here are
dropped after a check of their values (:mod:`rotx.compat.harmless`), settings of training and inference are moved to the
heads that use them (:mod:`rotx.compat.places`), and any other key is an error that names the nearest one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rotx import registry
from rotx.compat.keys import own_keys
from rotx.compat.mmrotate0 import is_mmrotate0, translate, without_leftovers
from rotx.compat.model_keys import own_model
from rotx.compat.parts import to_parts
from rotx.compat.sections import check_names
from rotx.compat.tree import format_parts
from rotx.config import ConfigError, apply_options, read

__all__ = ["build", "format_parts", "load_config", "own_keys", "own_model", "to_parts"]


def load_config(
    path: str | Path, options: Sequence[str] = (), notice: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Reads a config file into the keys of MMRotate 1.x: dicts, lists, tuples, numbers, texts, True, False and None.

    Reading executes nothing and takes less than a second, whatever the file holds.

    Args:
        path: A .py file.
        options: ``path=value`` texts of ``--cfg-options``, applied last; see :func:`rotx.config.apply_options`.
        notice: Function that is called with each note for the user, such as that the config was translated from
            MMRotate 0.x; None: issue a warning.

    Raises:
        ConfigError: If the config is invalid; one line that names the file and the line.
    """
    warn = notice or warnings.warn
    config = read(path, options)
    try:
        config = without_leftovers(config, lambda text: warn(f"{path}: {text}"))
        if is_mmrotate0(config):
            config = translate(config, lambda text: warn(f"{path}: {text}"))
        check_names(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (AttributeError, KeyError, TypeError) as error:  # a value of an unexpected kind
        raise ConfigError(f"{path}: cannot be translated from MMRotate 0.x: {error!r}") from error
    return apply_options(config, options)


def build(config: Any, where: str = "config") -> Any:
    """Builds the object that a part of a config describes: :func:`rotx.registry.build` of its :func:`own_keys`.

    Args:
        config: Part of a loaded config, such as a dataset or a list of schedulers.
        where: Path of ``config`` in its file, for messages.

    Raises:
        ValueError: For an unknown type or keyword, a missing keyword, or an invalid value; the message starts
            with the path.
    """
    return registry.build(own_keys(config, where), where)
