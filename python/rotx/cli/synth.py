"""``rotx synth``."""

from __future__ import annotations

import click

from rotx.cli import user_errors


@click.command()
@click.argument("out", type=click.Path())
@click.option("--train", type=click.IntRange(min=0), default=200, show_default=True, help="Images to learn from.")
@click.option("--val", type=click.IntRange(min=0), default=60, show_default=True, help="Images to validate with.")
@click.option("--size", type=click.IntRange(min=128), default=512, show_default=True, help="Of an image, in pixels.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides every pixel.")
@user_errors
def synth(out: str, train: int, val: int, size: int, seed: int) -> None:
    """Make a set of aerial-like scenes in OUT/{train,val}/{images,labelTxt}, with annotations as DOTA's.

    The classes are ship, plane, vehicle and tank. A set made here before is replaced; a folder with other
    files in it is refused.
    """
    from tqdm import tqdm

    from rotx.datasets.synthetic import write_dataset

    counts = write_dataset(
        out, train=train, val=val, size=size, seed=seed, progress=lambda images: tqdm(images, unit="image", leave=False)
    )
    objects = ", ".join(f"{count} of {name}" for name, count in counts.items())
    click.echo(f"{out}: {train} images to train with, {val} to validate; objects: {objects}")
