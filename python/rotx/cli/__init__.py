"""Command-line tools: ``rotx``, ``rotx-eval``, ``rotx-train``.

Modules here parse arguments and print. A command imports what it needs when it runs, so that ``--help`` is fast.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

# rotx reports each problem of a file once; OpenCV would add a line for each unknown TIFF tag. OpenCV reads this
# variable when it is imported; set it yourself to see those lines.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

#: Exit code for errors that the user can fix: bad options, bad files, a missing extra.
USER_ERROR = 2
#: Exit code after Ctrl-C, as in shells.
INTERRUPTED = 130


def fail(message: str) -> NoReturn:
    """Prints one error line on stderr and exits with code 2."""
    click.echo(f"error: {message}", err=True)
    sys.exit(USER_ERROR)


def user_errors(command: F) -> F:
    """Decorator that turns user errors into one line and exit code 2, and Ctrl-C into exit code 130.

    While the command runs, the package's log messages are printed on stderr.
    """

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            with messages():
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


@contextmanager
def messages() -> Iterator[None]:
    """Context in which log messages of ``rotx.…`` at level INFO and above are printed on stderr."""
    package, handler = logging.getLogger("rotx"), _Stderr()
    level = package.level
    package.setLevel(logging.INFO)
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)


class _Stderr(logging.Handler):
    """Log handler that prints messages on the current stderr, above progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(record.getMessage(), file=sys.stderr)


class Number(click.FloatRange):
    """Option type: a number in a range. Unlike click's own type it rejects NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Converts the text of an option to a number in the range; see `click.ParamType.convert`."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def class_names(option: str | None) -> list[str] | None:
    """Splits the value of ``--classes A,B,...`` into names; None if the option is not given.

    Raises:
        ValueError: If a name is empty or occurs twice.
    """
    if option is None:
        return None
    names = [name.strip() for name in option.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"--classes: need different names such as plane,ship, got '{option}'")
    return names


def merge_rule_option(default: str, what: str) -> Callable[[F], F]:
    """Decorator that adds the option ``--merge-rule``, passed to the command as ``merge_rule``.

    Args:
        default: Rule that applies if the option is not given.
        what: What is merged ("windows", "patches"), for the help text.
    """
    text = (
        f"Rule for merging {what}. nms: non-maximum suppression only; seams: first drop objects cut at a border "
        "that a neighbour sees whole."
    )
    rules = click.Choice(["nms", "seams"])
    return click.option("--merge-rule", type=rules, default=default, show_default=True, help=text)


def _set_max_pixels(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    if value is not None:
        from rotx.images.budget import set_max_pixels

        set_max_pixels(value)


#: Decorator that adds the option ``--max-pixels``, which applies to all images that the command reads.
max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    metavar="N",
    expose_value=False,
    callback=_set_max_pixels,
    help="Largest image that is held in memory whole, in pixels; up to N pixels, a small file may also claim more than "
    "it is likely to hold.  [default: 1073741824]",
)


class Lazy(click.Group):
    """Group of commands whose modules are imported only when a command is used."""

    def __init__(self, *args: Any, commands_in: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands_in = commands_in

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of the commands, in the order of the table."""
        return list(self.commands_in)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Imports and returns the command; None if there is none of that name."""
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
    """Tools for rotated object detection.

    See also rotx-train (training) and rotx-eval (evaluation).
    """
