"""Outputs of the scoring commands: tables, files, the HTML report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rotx.evaluation import CocoEvaluation, Evaluation, Protocol, TextEvaluation

F = TypeVar("F", bound=Callable[..., Any])


def output_options(command: F) -> F:
    """Decorator that adds the output options of scoring commands: the fields of `Outputs`."""
    for option in (
        click.option("--report", type=click.Path(), metavar="DIR", help="Write an HTML report to DIR."),
        click.option(
            "--per-image", type=click.Path(), metavar="FILE", help="Write the outcome of each detection as CSV."
        ),
        click.option("--csv", "csv_file", type=click.Path(), metavar="FILE", help="Write the scores as CSV."),
        click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write the scores as JSON."),
        click.option("--ci", is_flag=True, help="Also print a 95 % bootstrap interval of mAP over the images."),
        click.option("--explain", metavar="PROTOCOL", help="Also print what each rule of another protocol changes."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a scoring command prints and writes besides the table: the values of its output options."""

    explain: str | None
    ci: bool
    json_file: str | None
    csv_file: str | None
    per_image: str | None
    report: str | None

    def __post_init__(self) -> None:
        for path in (self.json_file, self.csv_file, self.per_image):
            if path and not Path(path).absolute().parent.is_dir():
                raise ValueError(f"{path}: its folder does not exist")
        _ = self.target  # raises now, before the work, if the name is unknown

    @property
    def paths(self) -> dict[str, str | None]:
        """Path of each output, by its option."""
        return {
            "--json": self.json_file,
            "--csv": self.csv_file,
            "--per-image": self.per_image,
            "--report": self.report,
        }

    @cached_property
    def target(self) -> Protocol | None:
        """The protocol of ``--explain``, or None."""
        from rotx.evaluation import get_protocol

        return get_protocol(self.explain) if self.explain else None

    def check_coco(self) -> None:
        """Raises ValueError if an option is given that COCO's official numbers do not support."""
        options = {"--report": self.report, "--per-image": self.per_image, "--ci": self.ci, "--explain": self.explain}
        for option, value in options.items():
            if value:
                raise ValueError(f"{option}: does not work with the evaluator CocoMetric; add --protocol coco")

    def show(self, evaluation: Evaluation | TextEvaluation | CocoEvaluation, *, iou: bool, classes: bool) -> None:
        """Prints and writes the requested outputs of an evaluation.

        Args:
            evaluation: The evaluation; its table is already printed.
            iou: Whether the user chose the IoU thresholds; they then also apply to the protocol of ``--explain``.
            classes: Whether the user chose the classes; likewise.
        """
        from rotx.evaluation import Evaluation

        interval = None
        if isinstance(evaluation, Evaluation):
            if self.ci:
                low, high = interval = evaluation.interval()
                click.echo(f"mAP {evaluation.map:.4f}, 95 % interval over images {low:.4f} to {high:.4f}")
            if target := self.target:
                target = replace(target, iou=evaluation.protocol.iou) if iou else target
                target = replace(target, classes=evaluation.protocol.classes) if classes else target
                _explain(evaluation, target)
        self._write(evaluation, interval)

    def _write(
        self, evaluation: Evaluation | TextEvaluation | CocoEvaluation, interval: tuple[float, float] | None
    ) -> None:
        from rotx.atomic import write_text
        from rotx.evaluation import CocoEvaluation
        from rotx.evaluation.report import to_csv, to_json, verdicts

        if self.json_file:
            write_text(self.json_file, to_json(evaluation))
        if self.csv_file:
            write_text(self.csv_file, to_csv(evaluation))
        if isinstance(evaluation, CocoEvaluation):
            return
        if self.per_image:
            write_text(self.per_image, "".join(verdicts(evaluation)))
        if self.report:
            from rotx.evaluation.html import write_report

            note(write_report(evaluation, self.report, interval))
            click.echo(f"report: {Path(self.report) / 'index.html'}")


def print_table(evaluation: Evaluation | TextEvaluation | CocoEvaluation) -> None:
    """Prints the scores of each class; for COCO also those of small, medium and large objects."""
    from rotx.evaluation import Evaluation
    from rotx.evaluation.report import score_table, size_table

    click.echo(score_table(evaluation))
    if isinstance(evaluation, Evaluation) and evaluation.protocol.average == "coco":
        click.echo(size_table(evaluation))


def note(sentences: Iterable[str]) -> None:
    """Prints each sentence as a note on stderr."""
    for sentence in sentences:
        click.echo(f"note: {sentence}", err=True)


def _explain(evaluation: Evaluation, target: Protocol) -> None:
    from rotx.evaluation.explain import explain
    from rotx.evaluation.report import explain_table

    steps = explain(evaluation, target)
    click.echo(f"Points of mAP that each rule changes, from {evaluation.protocol.name} to {target.name}:")
    click.echo(explain_table(steps, evaluation.protocol.name, evaluation.map, target.name))
