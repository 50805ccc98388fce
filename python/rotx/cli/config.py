"""``rotx config``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from rotx.cli import Command, refuse_inputs, user_errors


@click.group()
def config() -> None:
    """Print and check configs."""


F = TypeVar("F", bound=Callable[..., Any])

# Help texts of options that several commands have.
CFG_OPTIONS_HELP = "Set a config value; +PATH=VALUE adds a new key."
PLUGIN_HELP = "Import MODULE, which registers your classes."
TRUST_HELP = "Import what the config's custom_imports names; this runs its code."


def config_arguments(command: F) -> F:
    """Decorator that adds the arguments of commands that read a config: ``file``, ``options`` and ``more``."""
    for decorate in (
        click.argument("more", nargs=-1, metavar=""),
        click.option("--cfg-options", "options", multiple=True, metavar="PATH=VALUE ...", help=CFG_OPTIONS_HELP),
        click.argument("file", type=click.Path()),
    ):
        command = decorate(command)
    return command


def read(file: str, options: tuple[str, ...], more: tuple[str, ...]) -> dict[str, Any]:
    """Reads a config and applies ``--cfg-options``; as in MMRotate, several values may follow the option once.

    Args:
        file: Path of the config.
        options: Values of ``--cfg-options``, ``path=value`` each.
        more: Further ``path=value`` words after the last option.
    """
    from rotx.compat import load_config

    if more and not options:
        raise ValueError(f"unexpected argument {more[0]!r}: give one FILE, and values as --cfg-options path=value")
    return load_config(file, (*options, *more), notice=lambda sentence: click.echo(f"note: {sentence}", err=True))


@config.command(cls=Command)
@config_arguments
@click.option("--out", type=click.Path(), metavar="FILE", help="Write to FILE instead of stdout.")
@click.option("--parts", is_flag=True, help="Print the parts of the model, each with its own settings.")
@user_errors
def show(file: str, options: tuple[str, ...], more: tuple[str, ...], out: str | None, parts: bool) -> None:
    """Print a config as one file, with all base configs merged.

    MMRotate 0.x configs are printed with the keys of MMRotate 1.x. Nothing in FILE is executed.
    """
    from rotx.atomic import write_text
    from rotx.compat import format_parts
    from rotx.config import dumps

    refuse_inputs({"--out": out}, (file,))
    settings = read(file, options, more)
    if parts and not isinstance(settings.get("model"), dict):
        raise ValueError(f"{file}: has no model")
    text = format_parts(settings["model"]) if parts else dumps(settings)
    if out:
        write_text(out, text)
    else:
        click.echo(text, nl=False)


@config.command(cls=Command)
@config_arguments
@click.option("--plugin", "plugins", multiple=True, metavar="MODULE", help=PLUGIN_HELP)
@click.option("--trust-config", is_flag=True, help=TRUST_HELP)
@user_errors
def check(
    file: str, options: tuple[str, ...], more: tuple[str, ...], plugins: tuple[str, ...], trust_config: bool
) -> None:
    """Build the detector of a config, check all other keys, and print the numbers of parameters.

    Nothing is downloaded, trained or written, and no data is read. An error is one line that names the key.
    """
    settings = read(file, options, more)
    import torch
    from torch.nn import ModuleList

    from rotx.config import custom_imports
    from rotx.models import build_detector
    from rotx.registry import load_plugins

    try:
        load_plugins([*plugins, *custom_imports(settings, trusted=trust_config)])
        if not isinstance(settings.get("model"), dict):
            raise ValueError("has no model")
        # The meta device allocates no memory for weights: only their shapes matter here.
        with torch.device("meta"):
            detector = build_detector(settings["model"])
        if "train_dataloader" in settings:
            _check_training(settings, detector)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    parts: dict[str, Any] = {}
    for name, part in detector.named_children():
        parts |= {f"{name}.{i}": one for i, one in enumerate(part)} if isinstance(part, ModuleList) else {name: part}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    frozen = sum(p.numel() for p in detector.parameters() if not p.requires_grad)
    click.echo(f"{settings['model']['type']}: {sum(counts.values()):,} parameters, {frozen:,} of them frozen")
    width = max(10, *map(len, parts))
    for name, count in counts.items():
        if count:
            click.echo(f"  {name:{width}} {type(parts[name]).__name__:24} {count:>12,}")


def _check_training(settings: dict[str, Any], detector: Any) -> None:
    """Raises ValueError if a training setting is invalid; does not look at the files of the datasets."""
    from rotx.engine.ema import build_ema
    from rotx.engine.optim import build_optimizer
    from rotx.engine.schedule import build_schedule
    from rotx.engine.settings import read_settings

    training = read_settings(settings)
    build_optimizer(detector, training.optim_wrapper)
    build_schedule(training.param_scheduler, epoch_length=1000)
    if training.ema is not None:
        build_ema(detector, training.ema, epoch_length=1000, where="custom_hooks: EMAHook")


if __name__ == "__main__":
    config(prog_name="rotx config")
