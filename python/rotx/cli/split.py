"""``rotx split``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotx.cli import INTERRUPTED, user_errors

if TYPE_CHECKING:
    from rotx.tiling.split import Report
    from rotx.tiling.windows import Tiling


@click.command()
@click.argument("source", type=click.Path())
@click.argument("out", type=click.Path(), required=False)
@click.option("--ann", type=click.Path(), help="Annotations: a folder of labelTxt files, or what rotx-eval takes.")
@click.option("--preset", help="dota1.0-ss, dota1.0-ms, and the same of 1.5 and 2.0: MMRotate's windows for DOTA.")
@click.option("--size", "sizes", type=int, multiple=True, help="Of the windows, in pixels; may be repeated.")
@click.option("--gap", "gaps", type=int, multiple=True, help="Pixels that neighbours share; one for each --size.")
@click.option("--rate", "rates", type=float, multiple=True, help="Divides sizes and gaps; may be repeated.")
@click.option("--img-rate-thr", type=float, help="Share of a window that must be image.")
@click.option("--iof-thr", type=float, help="Share of an object that a window must hold.")
@click.option("--no-padding", is_flag=True, help="Cut windows off where the image ends.")
@click.option("--padding-value", type=int, nargs=3, help="Blue, green and red beyond the image.")
@click.option("--ext", type=click.Choice(["png", "jpg"]), help="Of the patches.  [default: png]")
@click.option("--jobs", type=click.IntRange(min=1), help="Number of threads.  [default: one a core]")
@user_errors
def split(source: str, out: str | None, ann: str | None, preset: str | None, **options: Any) -> None:
    """Cut the images in SOURCE, and their annotations, into patches as MMRotate does.

    SOURCE is a folder of images, one with DOTA's sub-folders images and labelTxt, or a JSON file for MMRotate's
    img_split.py, which may also say what OUT is. OUT gets images/, annfiles/ and manifest.json. The same command
    continues a run that was stopped. The windows are those of dota1.0-ss unless options say otherwise.
    """
    from dataclasses import replace

    from rotx.tiling.split import split as run
    from rotx.tiling.split.config import SplitConfig, read_config

    jobs, ext = options.pop("jobs"), options.pop("ext")
    if Path(source).suffix.lower() == ".json":
        if ann or preset:
            raise ValueError(f"{'--ann' if ann else '--preset'}: {source} says that; leave one of them out")
        config = read_config(source)
    else:
        config = SplitConfig([_folders(source, ann)], None, _preset(preset), ".png", None)
    # Options that are not given are None, empty, or a flag that is not set; 0 is a value.
    given = {key: value for key, value in options.items() if value is not None and value is not False and value != ()}
    tiling = replace(config.tiling, **given)
    out = out or config.out
    if out is None:
        raise ValueError("OUT: name the folder to be written")
    if jobs is None and config.nproc:
        jobs = min(config.nproc, os.cpu_count() or 1)
    ext = f".{ext}" if ext else config.ext
    try:
        report = run(config.folders, out, tiling, ext=ext, jobs=jobs, progress=True)
    except KeyboardInterrupt:
        click.echo(f"{out}: stopped; the same command goes on from here", err=True)
        sys.exit(INTERRUPTED)
    _print(report, out)
    sys.exit(1 if report.failed else 0)


def _folders(source: str, ann: str | None) -> tuple[Path, str | Path | None]:
    """The folders of images and of annotations, in one or in DOTA's layout; says which if not those given."""
    folder = Path(source)
    images, labels = folder / "images", folder / "labelTxt"
    if not images.is_dir():
        return folder, ann
    if ann is None and labels.is_dir():
        click.echo(f"{source}: taking images from {images} and annotations from {labels}")
        return images, labels
    click.echo(f"{source}: taking images from {images}" + ("" if ann else "; no annotations: name them by --ann"))
    return images, ann


def _preset(name: str | None) -> Tiling:
    from rotx.tiling.windows import PRESETS

    if name is not None and name not in PRESETS:
        raise ValueError(f"--preset: there is no {name!r}: there are {', '.join(PRESETS)}")
    return PRESETS[name or "dota1.0-ss"]


def _print(report: Report, out: str) -> None:
    for notice in report.notices:
        click.echo(notice)
    totals = report.totals
    if report.earlier == totals["images"] and not report.failed:
        click.echo(f"{out}: is complete already; nothing to do")
    elif report.earlier:
        click.echo(f"{out}: {report.earlier:,} images were split by an earlier run")
    line = f"{out}: {totals['patches']:,} patches of {totals['images']:,} images"
    if "objects" in totals:
        reasons = [f"{count:,} {reason}" for reason, count in totals["in_no_patch"].items() if count]
        lost = sum(totals["in_no_patch"].values())
        line += f"; {totals['objects']:,} objects are {totals['in_patches']:,} in patches, and {lost:,} are in none"
        line += f" ({', '.join(reasons)})" if reasons else ""
    click.echo(line)
    for file, reason in sorted(report.failed.items()):
        click.echo(f"error: {file}: {reason}", err=True)
    if report.failed:
        failed = len(report.failed)
        count = failed + totals["images"]
        click.echo(f"error: {failed:,} of {count:,} images failed; the same command tries them again", err=True)
