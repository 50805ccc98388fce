"""``rotx config``."""

from __future__ import annotations

import click

from rotx.cli import user_errors


@click.group()
def config() -> None:
    """Look at configs."""


@config.command()
@click.argument("file", type=click.Path())
@click.option("--cfg-options", "options", multiple=True, metavar="PATH=VALUE ...", help="Values to set; +PATH adds.")
@click.argument("more", nargs=-1, metavar="")
@click.option("--out", type=click.Path(), metavar="FILE", help="Write the config to FILE, not to the screen.")
@user_errors
def show(file: str, options: tuple[str, ...], more: tuple[str, ...], out: str | None) -> None:
    """Print the config in FILE with all its bases, as one file.

    A config of MMRotate 0.x is shown in the keys of 1.x. Nothing in FILE is executed.
    """
    from rotx.atomic import write_text
    from rotx.config import dumps, load

    if more and not options:
        raise ValueError(f"unexpected {more[0]!r}: one FILE is shown; values are set with --cfg-options path=value")
    # As in MMRotate, several values may follow one --cfg-options.
    text = dumps(load(file, (*options, *more), notice=lambda sentence: click.echo(f"note: {sentence}", err=True)))
    if out:
        write_text(out, text)
    else:
        click.echo(text, nl=False)
