"""Other projects' configs and checkpoints: MMRotate's and MMDetection's words, brought into rotx's.

A config goes through two steps. :func:`load_config` reads a file and brings keys of MMRotate 0.x into those of 1.x.
When something is built from it, :func:`own_keys` and :func:`own_model` look at every key: those that have nothing to
choose here are dropped after a look at their values (:mod:`rotx.compat.harmless`), settings of training and inference
go to the heads that use them (:mod:`rotx.compat.places`), and any other key is an error that names the nearest one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rotx import registry
from rotx.compat.keys import own_keys
from rotx.compat.mmrotate0 import is_mmrotate0, translate
from rotx.compat.model_keys import own_model
from rotx.compat.parts import to_parts
from rotx.compat.sections import check_names
from rotx.compat.tree import format_parts
from rotx.config import ConfigError, apply_options, read

__all__ = ["build", "format_parts", "load_config", "own_keys", "own_model", "to_parts"]


def load_config(
    path: str | Path, options: Sequence[str] = (), notice: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """The config in a file, in the keys of MMRotate 1.x: dicts, lists, tuples, numbers, texts, True, False and None.

    Reading executes nothing and takes less than a second whatever the file holds.

    Args:
        path: A .py file.
        options: ``path=value`` texts of ``--cfg-options``, applied last; see :func:`rotx.config.apply_options`.
        notice: Called with each sentence that the user should know, such as that the config was translated from
            MMRotate 0.x; a warning if None.

    Raises:
        ConfigError: In one line that names the file and the line.
    """
    say = notice or warnings.warn
    config = read(path)
    try:
        if is_mmrotate0(config):
            config = translate(config, lambda text: say(f"{path}: {text}"))
        check_names(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (AttributeError, KeyError, TypeError) as error:  # a value of another kind than MMRotate's
        raise ConfigError(f"{path}: cannot be translated from MMRotate 0.x: {error!r}") from error
    return apply_options(config, options)


def build(config: Any, where: str = "config") -> Any:
    """Builds what a part of a config describes: :func:`rotx.registry.build` of its :func:`own_keys`.

    Args:
        config: Part of a loaded config, such as a dataset or a list of schedulers.
        where: Path of ``config`` in its file, for messages.

    Raises:
        ValueError: For an unknown type or keyword, a missing keyword, or a value that is rejected; the message starts
            with the path.
    """
    return registry.build(own_keys(config, where), where)
