"""``rotx convert``."""

from __future__ import annotations

import sys

import click

from rotx.cli import max_pixels_option, user_errors
from rotx.cli.report import note

_FORMATS = ("dota", "coco", "yolo", "voc", "rolabelimg", "hrsc", "labelme")


@click.command()
@click.argument("source", metavar="IN", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--to", type=click.Choice(_FORMATS), required=True, help="Format of OUT.")
@click.option(
    "--images", type=click.Path(), metavar="DIR", help="Image folder; sizes are read from it, except for dota."
)
@click.option(
    "--classes",
    metavar="A,B,...|FILE",
    help="Classes to keep, in the order of their numbers.  [default: all; the order of the source, or sorted]",
)
@click.option(
    "--rename", "renames", multiple=True, metavar="OLD=NEW", help="Rename a class; may be repeated, also to merge some."
)
@click.option("--lenient", is_flag=True, help="Skip and count objects that cannot be read instead of failing.")
@click.option("--jobs", type=click.IntRange(min=1), help="Number of threads.  [default: one per core]")
@max_pixels_option
@user_errors
def convert(
    source: str,
    out: str,
    to: str,
    images: str | None,
    classes: str | None,
    renames: tuple[str, ...],
    lenient: bool,
    jobs: int | None,
) -> None:
    """Convert annotations to another format.

    IN is a folder, file or archive of annotations: DOTA labelTxt, VOC-style XML (DIOR-R, FAIR1M, DroneVehicle), COCO,
    YOLO-OBB, labelme, X-AnyLabeling, CVAT for images, Label Studio, VIA, Supervisely, Datumaro, VisDrone, or any other
    format that rotx-eval reads. The format is detected. OUT is a folder, or a .json file for coco.

    voc is XML with the four corners, like DIOR-R; rolabelimg and hrsc store rectangles only. The command ends with
    a summary of everything that OUT cannot store. Images are not copied.
    """
    from rotx.annotations.convert import convert as run
    from rotx.annotations.convert.class_numbers import read_class_names, read_renames

    report = run(
        source,
        out,
        to,
        images=images,
        classes=None if classes is None else read_class_names(classes),
        renames=read_renames(renames),
        lenient=lenient,
        jobs=jobs,
        progress=sys.stderr.isatty(),
    )
    note(report.notices)
    for line in report.lines():
        click.echo(line)


if __name__ == "__main__":
    convert(prog_name="rotx convert")
