"""Command-line tools: ``rotx``, ``rotx-eval``, ``rotx-train``.

Modules here parse arguments and print. What a command needs is imported when it runs, so that ``--help``
answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

# What is wrong with a file is said once, by us; OpenCV adds a line for each tag of a TIFF that it does not know. It
# reads this when it is imported; who wants those lines sets the variable.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

#: Exit code for what the user can mend: bad options, bad files, an absent extra.
USER_ERROR = 2
#: Exit code after Ctrl-C, as of shells.
INTERRUPTED = 130


def fail(message: str) -> NoReturn:
    """Ends the program with one line on stderr and exit code 2."""
    click.echo(f"error: {message}", err=True)
    sys.exit(USER_ERROR)


def user_errors(command: F) -> F:
    """Turns the errors that are the user's to mend into one line and exit code 2, and Ctrl-C into exit code 130."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (ValueError, ImportError) as error:
            fail(str(error))
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            fail(f"{name}{error.strerror or error}")
        except MemoryError:
            fail("out of memory: try fewer files at a time")
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            sys.exit(INTERRUPTED)

    return wrapper  # type: ignore[return-value]


class Number(click.FloatRange):
    """A number in a range; NaN, which click takes to be in every range, is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def class_names(option: str | None) -> list[str] | None:
    """The names of ``--classes A,B,...``; None without it."""
    if option is None:
        return None
    names = [name.strip() for name in option.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"--classes: need different names such as plane,ship, got '{option}'")
    return names


def merge_rule_option(default: str, what: str) -> Callable[[F], F]:
    """The option ``--merge-rule``, as ``merge_rule``.

    Args:
        default: Name of the rule without the option.
        what: What is merged, for the help.
    """
    text = f"How {what} are merged. nms: the best of what overlaps; seams: what is cut off is left to its neighbour."
    rules = click.Choice(["nms", "seams"])
    return click.option("--merge-rule", type=rules, default=default, show_default=True, help=text)


class Lazy(click.Group):
    """A group whose commands live in modules that are imported when one of them is used."""

    def __init__(self, *args: Any, commands_in: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands_in = commands_in

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.commands_in)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Imports the command."""
        from importlib import import_module

        if name not in self.commands_in:
            return None
        module, attribute = self.commands_in[name]
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.group(
    cls=Lazy,
    commands_in={
        "browse": ("rotx.cli.browse", "browse"),
        "check": ("rotx.cli.check", "check"),
        "check-submission": ("rotx.cli.check_submission", "check_submission"),
        "config": ("rotx.cli.config", "config"),
        "convert": ("rotx.cli.convert", "convert"),
        "merge": ("rotx.cli.merge", "merge"),
        "predict": ("rotx.cli.predict", "predict"),
        "split": ("rotx.cli.split", "split"),
        "synth": ("rotx.cli.synth", "synth"),
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="rotx")
def main() -> None:
    """Tools for rotated object detection. See also rotx-eval and rotx-train."""
