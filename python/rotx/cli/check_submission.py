"""``rotx check-submission``."""

from __future__ import annotations

import sys

import click

from rotx.cli import user_errors


@click.command()
@click.argument("results", type=click.Path())
@click.option(
    "--version", type=click.Choice(["1.0", "1.5", "2.0"]), default="1.0", show_default=True, help="DOTA version."
)
@click.option(
    "--task", type=click.IntRange(1, 2), default=1, show_default=True, help="1: rotated boxes, 2: horizontal boxes."
)
@user_errors
def check_submission(results: str, version: str, task: int) -> None:
    """Check result files before submission to the DOTA server.

    RESULTS is a folder or .zip of Task1_<class>.txt files. Exit code 1: the server would fail, or the score would
    suffer.
    """
    from rotx.evaluation.submission import check_submission as check

    findings = check(results, version=version, task=task)
    for finding in findings:
        click.echo(str(finding))
    errors = sum(finding.level == "error" for finding in findings)
    click.echo(f"{errors} errors, {len(findings) - errors} warnings")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    check_submission(prog_name="rotx check-submission")
