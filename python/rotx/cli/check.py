"""``rotx check``."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotx.cli import Command, Number, class_names, max_pixels_option, refuse_inputs, user_errors
from rotx.cli.config import PLUGIN_HELP

if TYPE_CHECKING:
    from rotx.annotations.check import CheckedSet, CheckReport
    from rotx.datasets.check import DatasetUsage

#: Number of faults of each kind that are printed.
_SHOWN = 5


@click.command(cls=Command)
@click.argument("data", nargs=-1, required=True, type=click.Path())
@click.option(
    "--images", multiple=True, type=click.Path(), metavar="DIR", help="Image folder: one for all, or one for each DATA."
)
@click.option("--classes", metavar="A,B,...", help="Allowed class names; others are faults.")
@click.option("--tiny", type=Number(min=0), metavar="PX", help="Report objects with a shorter side.  [default: 2]")
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write all faults as JSON.")
@click.option("--picture", type=click.Path(), metavar="FILE.png", help="Plot object sizes, shapes, angles and counts.")
@click.option("--cfg-options", "options", multiple=True, metavar="PATH=VALUE", help="Override a value in the config.")
@click.option("--jobs", type=click.IntRange(min=1), help="Number of threads.  [default: one per core]")
@click.option("--plugin", "plugins", multiple=True, metavar="MODULE", help=PLUGIN_HELP)
@max_pixels_option
@user_errors
def check(
    data: tuple[str, ...],
    tiny: float | None,
    json_file: str | None,
    picture: str | None,
    jobs: int | None,
    **where: Any,
) -> None:
    """Find faults in annotations and images.

    DATA is a folder or file of annotations in any format that rotx-eval reads, or COCO-style JSON. An image that
    occurs in several DATA is a fault. Images are searched for beside the annotations unless --images names their
    folder. Each fault is named with its file and line. If DATA is a config, its training and evaluation datasets are
    checked, and the command also lists what training would leave out.

    Exit code 0: no faults; 1: faults were found; 2: DATA or an option is invalid.
    """
    from rotx.annotations.check import TINY, check_sets

    refuse_inputs({"--json": json_file, "--picture": picture}, data)
    for path in filter(None, (json_file, picture)):
        if not Path(path).absolute().parent.is_dir():
            raise ValueError(f"{path}: its folder does not exist")
    sets, config = _read(data, jobs, **where)
    report = check_sets(sets, tiny=TINY if tiny is None else tiny, jobs=jobs)
    drops: list[DatasetUsage] = []
    if config is not None:
        from rotx.datasets.check import dataset_usage

        drops = dataset_usage(config, jobs)
    _print(report, drops)
    if json_file:
        import json
        from dataclasses import asdict

        from rotx.atomic import write_text

        content = {**report.to_json(), "training": [asdict(part) for part in drops]}
        write_text(json_file, json.dumps(content, indent=1) + "\n")
    if picture:
        from rotx.annotations.check.picture import write_picture

        write_picture(sets, picture)
    sys.exit(1 if report.faults or any(part.error for part in drops) else 0)


def _read(
    data: tuple[str, ...],
    jobs: int | None,
    *,
    images: tuple[str, ...],
    classes: str | None,
    options: tuple[str, ...],
    plugins: tuple[str, ...],
) -> tuple[list[CheckedSet], dict[str, Any] | None]:
    """Reads the datasets of DATA; also returns the config if DATA is one."""
    from rotx.annotations.check import read_set

    config = next((path for path in data if path.lower().endswith(".py")), None)
    if config is not None:
        if images or classes or len(data) > 1:
            raise ValueError(f"{config}: a config excludes --images, --classes and other DATA")
        from rotx.cli.config import read
        from rotx.datasets.check import config_sets
        from rotx.registry import load_plugins

        settings = read(config, options, ())
        load_plugins(plugins)
        try:
            return config_sets(settings, jobs), settings
        except ValueError as error:
            raise ValueError(f"{config}: {error}") from error
    if options or plugins:
        raise ValueError(f"{'--cfg-options' if options else '--plugin'}: DATA is not a config")
    if len(images) not in (0, 1, len(data)):
        raise ValueError(f"--images: need one for all, or one for each of {len(data)} DATA, got {len(images)}")
    folders = [Path(folder) for folder in images] if len(images) == len(data) else [*map(Path, images)] * len(data)
    sets = [read_set(Path(path), folders[i] if folders else None, jobs=jobs) for i, path in enumerate(data)]
    names = class_names(classes)
    for one in sets:
        one.wanted = None if names is None else tuple(names)
    return sets, None


def _print(report: CheckReport, drops: list[DatasetUsage]) -> None:
    from rotx.annotations.check import KINDS
    from rotx.evaluation.report import table

    for one in report.sets:
        beside = f", images in {one.folder}" if one.folder else ""
        numbers = f"{len(one.table.images):,} images, {len(one.table):,} objects, {len(one.table.classes)} classes"
        click.echo(f"{one.name}: {numbers}{beside}")
        for notice in one.notices:
            click.echo(f"note: {notice}", err=True)
    faults = report.faults
    counts = Counter(fault.kind for fault in faults)
    if counts:
        rows = [[kind, f"{counts[kind]:,}", meaning] for kind, meaning in KINDS.items() if kind in counts]
        click.echo(table([["fault", "count", "what it is"], *rows]))
    for kind, count in counts.items():
        click.echo(f"{kind}:")
        for fault in [fault for fault in faults if fault.kind == kind][:_SHOWN]:
            click.echo(f"  {fault}")
        if count > _SHOWN:
            click.echo(f"  and {count - _SHOWN:,} more; --json FILE lists all")
    for part in drops:
        _print_drops(part)
    failed = sum(bool(part.error) for part in drops)
    end = f"{len(faults):,} fault{'' if len(faults) == 1 else 's'}" if faults else "no faults"
    joined = "and" if faults else "but"
    click.echo(f"{end}, {joined} {failed} of {len(drops)} datasets cannot be used" if failed else end)


def _print_drops(part: DatasetUsage) -> None:
    if part.error:
        click.echo(f"{part.name}: cannot be used: {part.error}")
        return
    click.echo(f"{part.name}: {part.images:,} images with {part.objects:,} objects are used; left out:")
    for notice in part.notices or ["nothing"]:
        click.echo(f"  {notice}")
    if part.drawn:
        lost = ", ".join(f"{count:,} {reason}" for reason, count in part.lost.items()) or "none"
        click.echo(f"  by the pipeline, of {part.seen:,} objects on {part.drawn:,} images drawn once: {lost}")


if __name__ == "__main__":
    check(prog_name="rotx check")
