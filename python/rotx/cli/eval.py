"""``rotx-eval``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rotx.cli import user_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotx.evaluation import Evaluation, Protocol


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rotx")
def main() -> None:
    """Score detections of rotated objects."""


@main.command()
@click.argument("annotations", type=click.Path())
@click.argument("results", type=click.Path())
@click.option(
    "--protocol",
    default="dota-v1.0",
    show_default=True,
    metavar="NAME",
    help="dota-v1.0, dota-v1.5, dota-v2.0, voc07, voc12, coco, mmrotate or icdar2015.",
)
@click.option(
    "--task", type=click.IntRange(1, 2), default=1, show_default=True, help="1: rotated, 2: horizontal boxes."
)
@click.option("--iou", multiple=True, metavar="T[,T...]", help="IoU thresholds; default: those of the protocol.")
@click.option("--classes", metavar="A,B,...", help="Class names; default: those of the protocol or of the files.")
@click.option(
    "--images", type=click.Path(), metavar="FILE", help="Names of the images that count; default: annotated ones."
)
@click.option("--lenient", is_flag=True, help="Skip and count what cannot be read.")
@click.option("--jobs", type=click.IntRange(1), help="Threads; default: one a core.")
@click.option("--explain", metavar="PROTOCOL", help="Also say what each rule of another protocol changes.")
@click.option("--ci", is_flag=True, help="Also print a 95 % bootstrap interval of mAP over the images.")
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write the scores as JSON.")
@click.option("--csv", "csv_file", type=click.Path(), metavar="FILE", help="Write the scores as CSV.")
@click.option("--per-image", type=click.Path(), metavar="FILE", help="Write what became of each detection, as CSV.")
@click.option("--report", type=click.Path(), metavar="DIR", help="Write an HTML page with curves and tables.")
@user_errors
def score(
    annotations: str,
    results: str,
    protocol: str,
    task: int,
    iou: tuple[str, ...],
    classes: str | None,
    images: str | None,
    lenient: bool,
    jobs: int | None,
    explain: str | None,
    ci: bool,
    json_file: str | None,
    csv_file: str | None,
    per_image: str | None,
    report: str | None,
) -> None:
    """Score RESULTS (a folder or archive of Task1_<class>.txt files) against ANNOTATIONS.

    ANNOTATIONS is a folder or archive of DOTA labelTxt, VOC-style xml or ICDAR files, or one file with a line
    for each object or image. Nothing is trained or run: the files are read, matched and counted.
    """
    from rotx.atomic import write_text
    from rotx.evaluation import ICDAR2015, Evaluation, evaluate, get_protocol
    from rotx.evaluation.report import score_table, size_table, to_csv, to_json, verdicts

    if protocol == ICDAR2015 and (explain or ci):
        raise ValueError("--explain and --ci are for protocols with scores, not icdar2015")
    target = get_protocol(explain) if explain else None
    for path in (json_file, csv_file, per_image):
        if path and not Path(path).absolute().parent.is_dir():
            raise ValueError(f"{path}: its folder does not exist")
    evaluation = evaluate(
        annotations,
        results,
        protocol,
        task=task,
        iou=_thresholds(iou),
        classes=_names(classes),
        also=target.classes or () if target else (),
        images=images,
        lenient=lenient,
        jobs=jobs,
    )
    for notice in evaluation.notices:
        click.echo(f"note: {notice}", err=True)
    click.echo(score_table(evaluation))
    interval = None
    if isinstance(evaluation, Evaluation):
        if evaluation.protocol.average == "coco":
            click.echo(size_table(evaluation))
        if ci:
            interval = evaluation.interval()
            click.echo(f"mAP {evaluation.map:.4f}, 95 % interval over images {interval[0]:.4f} to {interval[1]:.4f}")
        if target:
            # What the user asked for holds for both.
            target = replace(target, iou=evaluation.protocol.iou) if iou else target
            target = replace(target, classes=evaluation.protocol.classes) if classes else target
            _explain(evaluation, target)
    outputs: list[tuple[str | None, Callable[[], str]]] = [
        (json_file, lambda: to_json(evaluation)),
        (csv_file, lambda: to_csv(evaluation)),
        (per_image, lambda: "".join(verdicts(evaluation))),
    ]
    for path, text in outputs:
        if path:
            write_text(path, text())
    if report:
        from rotx.evaluation.html import write_report

        for notice in write_report(evaluation, report, interval):
            click.echo(f"note: {notice}", err=True)
        click.echo(f"report: {Path(report) / 'index.html'}")


def _thresholds(options: tuple[str, ...]) -> list[float] | None:
    """The numbers of ``--iou 0.5,0.75 --iou 0.9``."""
    words = [word for option in options for word in option.split(",")]
    try:
        return [float(word) for word in words] or None
    except ValueError:
        raise ValueError(f"--iou: need numbers such as 0.5,0.75, got '{','.join(words)}'") from None


def _names(option: str | None) -> list[str] | None:
    if option is None:
        return None
    names = [name.strip() for name in option.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"--classes: need different names such as plane,ship, got '{option}'")
    return names


def _explain(evaluation: Evaluation, target: Protocol) -> None:
    from rotx.evaluation.explain import explain
    from rotx.evaluation.report import explain_table

    steps = explain(evaluation, target)
    click.echo(f"Points of mAP that each rule makes, from {evaluation.protocol.name} to {target.name}:")
    click.echo(explain_table(steps, evaluation.protocol.name, evaluation.map, target.name))
