"""``rotx synth``."""

from __future__ import annotations

import click

from rotx.cli import Command, user_errors


@click.command(cls=Command)
@click.argument("out", type=click.Path())
@click.option("--train", type=click.IntRange(min=0), default=200, show_default=True, help="Number of training images.")
@click.option("--val", type=click.IntRange(min=0), default=60, show_default=True, help="Number of validation images.")
@click.option("--size", type=click.IntRange(min=128), default=512, show_default=True, help="Image size in pixels.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed of all images.")
@user_errors
def synth(out: str, train: int, val: int, size: int, seed: int) -> None:
    """Generate a synthetic dataset.

    The images are aerial scenes, annotated in DOTA format. Images and annotations are written to
    OUT/{train,val}/{images,labelTxt}. The classes are ship, plane, vehicle and tank. The command replaces a dataset
    that it wrote earlier, and refuses a folder that contains other files.
    """
    from tqdm import tqdm

    from rotx.datasets.synthetic import write_dataset

    counts = write_dataset(
        out,
        train=train,
        val=val,
        size=size,
        seed=seed,
        progress=lambda images: tqdm(images, unit="image", leave=False, disable=None),
    )
    objects = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    click.echo(f"{out}: {train:,} training images, {val:,} validation images; objects: {objects}")


if __name__ == "__main__":
    synth(prog_name="rotx synth")
