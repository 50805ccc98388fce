"""``rotx config``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from rotx.cli import user_errors


@click.group()
def config() -> None:
    """Look at configs."""


F = TypeVar("F", bound=Callable[..., Any])


def config_arguments(command: F) -> F:
    """The arguments of every command that reads a config: ``file``, ``options`` and ``more``."""
    for decorate in (
        click.argument("more", nargs=-1, metavar=""),
        click.option("--cfg-options", "options", multiple=True, metavar="PATH=VALUE ...", help="Set; +PATH adds."),
        click.argument("file", type=click.Path()),
    ):
        command = decorate(command)
    return command


def read(file: str, options: tuple[str, ...], more: tuple[str, ...]) -> dict[str, Any]:
    """The config; as in MMRotate, several values may follow one --cfg-options."""
    from rotx.compat import load_config

    if more and not options:
        raise ValueError(f"unexpected {more[0]!r}: need one FILE; values are set with --cfg-options path=value")
    return load_config(file, (*options, *more), notice=lambda sentence: click.echo(f"note: {sentence}", err=True))


@config.command()
@config_arguments
@click.option("--out", type=click.Path(), metavar="FILE", help="Write to FILE instead of the screen.")
@click.option("--parts", is_flag=True, help="Print the parts of the model, each with its own settings.")
@user_errors
def show(file: str, options: tuple[str, ...], more: tuple[str, ...], out: str | None, parts: bool) -> None:
    """Print the config in FILE with all its bases, as one file.

    A config of MMRotate 0.x is shown in the keys of 1.x. Nothing in FILE is executed.
    """
    from rotx.atomic import write_text
    from rotx.compat import format_parts
    from rotx.config import dumps

    settings = read(file, options, more)
    if parts and not isinstance(settings.get("model"), dict):
        raise ValueError(f"{file}: has no model")
    text = format_parts(settings["model"]) if parts else dumps(settings)
    if out:
        write_text(out, text)
    else:
        click.echo(text, nl=False)


@config.command()
@config_arguments
@click.option("--plugin", "plugins", multiple=True, metavar="MODULE", help="Import what the config names of yours.")
@click.option("--trust-config", is_flag=True, help="Also import what custom_imports of the config says: it runs.")
@user_errors
def check(
    file: str, options: tuple[str, ...], more: tuple[str, ...], plugins: tuple[str, ...], trust_config: bool
) -> None:
    """Build the detector of the config in FILE and say what it is; check every other key, too.

    Nothing is downloaded, read, trained or written; what is wrong is one line with its path in the config.
    """
    settings = read(file, options, more)
    import torch

    from rotx.config import custom_imports
    from rotx.models import build_detector
    from rotx.registry import load_plugins

    try:
        load_plugins([*plugins, *custom_imports(settings, trusted=trust_config)])
        if not isinstance(settings.get("model"), dict):
            raise ValueError("has no model")
        # Without memory for weights: only their shapes are of interest.
        with torch.device("meta"):
            detector = build_detector(settings["model"])
        if "train_dataloader" in settings:
            _check_training(settings, detector)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in detector.named_children()}
    frozen = sum(p.numel() for p in detector.parameters() if not p.requires_grad)
    click.echo(f"{settings['model']['type']}: {sum(counts.values()):,} parameters, {frozen:,} of them frozen")
    for name, count in counts.items():
        if count:
            click.echo(f"  {name:10} {type(getattr(detector, name)).__name__:24} {count:>12,}")


def _check_training(settings: dict[str, Any], detector: Any) -> None:
    """Raises ValueError for what is wrong with the settings of a training, its datasets' files aside."""
    from rotx.engine.ema import build_ema
    from rotx.engine.optim import build_optimizer
    from rotx.engine.schedule import build_schedule
    from rotx.engine.settings import read_settings

    training = read_settings(settings)
    build_optimizer(detector, training.optim_wrapper)
    build_schedule(training.param_scheduler, epoch_length=1000)
    if training.ema is not None:
        build_ema(detector, training.ema, epoch_length=1000, where="custom_hooks: EMAHook")
