"""``rotx browse``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rotx.cli import max_pixels_option, user_errors


@click.command()
@click.argument("data", required=False, type=click.Path())
@click.option("--out", required=True, type=click.Path(), metavar="DIR", help="Write the pictures to DIR.")
@click.option("--images", type=click.Path(), metavar="DIR", help="Image folder; default: beside the annotations.")
@click.option("--number", type=click.IntRange(min=1), default=20, show_default=True, help="Number of images to draw.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Draw random images, with this seed; default: evenly spaced ones."
)
@click.option("--augment", type=click.Path(), metavar="CONFIG", help="Draw augmented training images of CONFIG.")
@click.option("--draws", type=click.IntRange(1, 16), default=1, show_default=True, help="Augmented views per image.")
@click.option("--cfg-options", "options", multiple=True, metavar="PATH=VALUE", help="Override a value in CONFIG.")
@max_pixels_option
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
    """Draw images with their annotated objects.

    DATA is a folder or file of annotations in any format that rotx-eval reads, or COCO-style JSON. Difficult objects
    have dashed outlines. With --augment CONFIG instead of DATA, images are drawn as training sees them, and objects
    that training ignores are dashed.

    Exit code 1: an image could not be read.
    """
    from rotx.datasets import browse as run

    if (data is None) == (augment is None):
        raise ValueError("give one of DATA and --augment CONFIG")
    if data is not None:
        if draws > 1 or options:
            raise ValueError("--draws and --cfg-options: need --augment CONFIG")
        from rotx.annotations.check import read_set

        labelled = read_set(Path(data), Path(images) if images else None)
        if labelled.faults:
            click.echo(f"note: {data}: some annotations have faults; list them with: rotx check {data}", err=True)
        count, problems = run.browse(labelled, out, number, seed)
    else:
        if images:
            raise ValueError("--images: works with DATA only; with --augment, CONFIG names the images")
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


if __name__ == "__main__":
    browse(prog_name="rotx browse")
