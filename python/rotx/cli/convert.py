"""``rotx convert``."""

from __future__ import annotations

import sys

import click

from rotx.cli import user_errors
from rotx.cli.report import note

_FORMATS = ("dota", "coco", "yolo", "voc", "rolabelimg", "hrsc", "labelme")


@click.command()
@click.argument("source", metavar="IN", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--to", type=click.Choice(_FORMATS), required=True, help="The format of OUT.")
@click.option("--images", type=click.Path(), metavar="DIR", help="The images, for their sizes; all but dota need them.")
@click.option("--lenient", is_flag=True, help="Skip and count what is wrong instead of failing.")
@click.option("--jobs", type=click.IntRange(min=1), help="Number of threads.  [default: one a core]")
@user_errors
def convert(source: str, out: str, to: str, images: str | None, lenient: bool, jobs: int | None) -> None:
    """Convert the annotations IN to another format, as OUT: a folder, or for coco a file .json.

    IN is a folder, file or archive of DOTA's labelTxt, VOC-style xml, COCO's json, YOLO-OBB, labelme's json or
    whatever rotx-eval reads; which of them is found by looking. voc is xml with corners, as DIOR-R's; rolabelimg and
    hrsc hold rectangles only. What OUT cannot hold is said at the end. Images are not copied.
    """
    from rotx.annotations.convert import convert as run

    report = run(source, out, to, images=images, lenient=lenient, jobs=jobs, progress=sys.stderr.isatty())
    note(report.notices)
    for line in report.lines():
        click.echo(line)
