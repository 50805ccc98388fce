"""``rotx split``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotx.cli import INTERRUPTED, max_pixels_option, user_errors

if TYPE_CHECKING:
    from rotx.tiling.split import SplitReport
    from rotx.tiling.windows import Tiling


@click.command()
@click.argument("source", type=click.Path())
@click.argument("out", type=click.Path(), required=False)
@click.option("--ann", type=click.Path(), help="Annotations, in any format that rotx-eval reads.")
@click.option("--preset", help="MMRotate's settings for DOTA: dota1.0-ss or dota1.0-ms; also dota1.5-..., dota2.0-...")
@click.option("--size", "sizes", type=int, multiple=True, help="Window size in pixels; may be repeated.")
@click.option(
    "--gap",
    "gaps",
    type=int,
    multiple=True,
    help="Overlap of neighbours in pixels; one for each --size.  [default: in proportion to the size]",
)
@click.option("--rate", "rates", type=float, multiple=True, help="Divisor of sizes and gaps; may be repeated.")
@click.option("--img-rate-thr", type=float, help="Least share of a window that the image must cover.")
@click.option("--iof-thr", type=float, help="Least share of an object's area that a window must contain.")
@click.option("--no-padding", is_flag=True, help="Crop windows at the border of the image instead of padding them.")
@click.option("--padding-value", type=int, nargs=3, help="Colour of the padding: blue, green, red.")
@click.option("--ext", type=click.Choice(["png", "jpg"]), help="File format of the patches.  [default: png]")
@click.option("--jobs", type=click.IntRange(min=1), help="Number of threads.  [default: one per core]")
@max_pixels_option
@user_errors
def split(source: str, out: str | None, ann: str | None, preset: str | None, **options: Any) -> None:
    """Split large images into patches.

    Images and annotations are split as by MMRotate. SOURCE is a folder of images, a folder with the sub-folders images
    and labelTxt like DOTA, or a JSON file of MMRotate's img_split.py, which may also name OUT. The command writes
    images/, annfiles/ and manifest.json to OUT. The default is the preset dota1.0-ss. Run the same command again to
    resume an interrupted run.
    """
    from dataclasses import replace

    from rotx.tiling.split import split as run
    from rotx.tiling.split.config import SplitConfig, read_config

    jobs, ext = options.pop("jobs"), options.pop("ext")
    if Path(source).suffix.lower() == ".json":
        if ann or preset:
            raise ValueError(f"{'--ann' if ann else '--preset'}: {source} sets it already; leave one of them out")
        config = read_config(source)
    else:
        config = SplitConfig([_folders(source, ann)], None, _preset(preset), ".png", None)
    # An option that is not given is None, an empty tuple or False; 0 is a value.
    given = {key: value for key, value in options.items() if value is not None and value is not False and value != ()}
    if "sizes" in given and "gaps" not in given:
        # The preset's gap belongs to its size.
        size, gap = config.tiling.sizes[0], config.tiling.gaps[0]
        given["gaps"] = tuple(round(gap * one / size) for one in given["sizes"])
        click.echo(f"--gap: {', '.join(map(str, given['gaps']))}, in proportion to the size", err=True)
    tiling = replace(config.tiling, **given)
    out = out or config.out
    if out is None:
        raise ValueError("OUT: missing; name the folder to write")
    if jobs is None and config.nproc:
        jobs = min(config.nproc, os.cpu_count() or 1)
    ext = f".{ext}" if ext else config.ext
    try:
        report = run(config.folders, out, tiling, ext=ext, jobs=jobs, progress=True)
    except KeyboardInterrupt:
        click.echo(f"{out}: stopped; run the same command again to resume", err=True)
        sys.exit(INTERRUPTED)
    _print(report, out)
    sys.exit(1 if report.failed else 0)


def _folders(source: str, ann: str | None) -> tuple[Path, str | Path | None]:
    """Finds the image and annotation folders; prints them if SOURCE has DOTA's layout."""
    folder = Path(source)
    images, labels = folder / "images", folder / "labelTxt"
    if not images.is_dir():
        return folder, ann
    if ann is None and labels.is_dir():
        click.echo(f"{source}: using images from {images} and annotations from {labels}")
        return images, labels
    click.echo(f"{source}: using images from {images}" + ("" if ann else "; no annotations: name them with --ann"))
    return images, ann


def _preset(name: str | None) -> Tiling:
    from rotx.tiling.windows import PRESETS

    if name is not None and name not in PRESETS:
        raise ValueError(f"--preset: unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name or "dota1.0-ss"]


def _print(report: SplitReport, out: str) -> None:
    for notice in report.notices:
        click.echo(notice)
    totals = report.totals
    if report.earlier == totals["images"] and not report.failed:
        click.echo(f"{out}: already complete; nothing to do")
    elif report.earlier:
        click.echo(f"{out}: {report.earlier:,} images were split by an earlier run")
    line = f"{out}: {totals['patches']:,} patches of {totals['images']:,} images"
    if "objects" in totals:
        reasons = [f"{count:,} {reason}" for reason, count in totals["in_no_patch"].items() if count]
        lost = sum(totals["in_no_patch"].values())
        line += f"; {totals['objects']:,} objects appear {totals['in_patches']:,} times on patches, {lost:,} on none"
        line += f" ({', '.join(reasons)})" if reasons else ""
    click.echo(line)
    for file, reason in sorted(report.failed.items()):
        click.echo(f"error: {file}: {reason}", err=True)
    if report.failed:
        failed = len(report.failed)
        count = failed + totals["images"]
        click.echo(f"error: {failed:,} of {count:,} images failed; run the same command again to retry them", err=True)


if __name__ == "__main__":
    split(prog_name="rotx split")
