"""``rotx browse``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rotx.cli import user_errors


@click.command()
@click.argument("data", required=False, type=click.Path())
@click.option("--out", required=True, type=click.Path(), metavar="DIR", help="Where the pictures go.")
@click.option("--images", type=click.Path(), metavar="DIR", help="Of the images; else those beside the annotations.")
@click.option("--number", type=click.IntRange(min=1), default=20, show_default=True, help="Of images.")
@click.option("--seed", type=click.IntRange(min=0), help="Choose images at random; evenly without it.")
@click.option("--augment", type=click.Path(), metavar="CONFIG", help="Show what its training sees, instead of DATA.")
@click.option("--draws", type=click.IntRange(1, 16), default=1, show_default=True, help="Of each image.")
@click.option("--cfg-options", "options", multiple=True, metavar="PATH=VALUE", help="Set a value of CONFIG.")
@user_errors
def browse(
    data: str | None,
    out: str,
    images: str | None,
    number: int,
    seed: int | None,
    augment: str | None,
    draws: int,
    options: tuple[str, ...],
) -> None:
    """Draw images of DATA with their objects into DIR, or those that a training sees.

    DATA is a folder or file of annotations: all that rotx-eval takes, and COCO-style json. Difficult objects are
    dashed; with --augment, those that training ignores. Exit code 1: an image could not be read.
    """
    from rotx.datasets import browse as run

    if (data is None) == (augment is None):
        raise ValueError("need DATA, or --augment CONFIG, whose training set is shown then; not both")
    if data is not None:
        if draws > 1 or options:
            raise ValueError("--draws and --cfg-options: are for --augment CONFIG")
        from rotx.annotations.check import read_set

        labelled = read_set(Path(data), Path(images) if images else None)
        if labelled.faults:
            click.echo(f"note: {data}: not all of it is as it should be: rotx check {data}", err=True)
        count, problems = run.browse(labelled, out, number, seed)
    else:
        if images:
            raise ValueError("--images: is for DATA; the config says itself where its images are")
        assert augment is not None
        from rotx.cli.config import read

        config = read(augment, options, ())
        try:
            count, problems = run.browse_training(config, out, number, seed, draws)
        except ValueError as error:
            raise ValueError(f"{augment}: {error}") from error
    click.echo(f"{out}: {count:,} picture{'' if count == 1 else 's'}")
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(1 if problems else 0)
