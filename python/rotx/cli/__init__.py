"""Command-line tools: ``rotx``, ``rotx-eval``, ``rotx-train``.

Modules here parse arguments and print. A command imports what it needs when it runs, so that ``--help`` is fast.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from rotx.datasets.workers import WorkerKilled

F = TypeVar("F", bound=Callable[..., Any])

# rotx reports each problem of a file once; OpenCV would add a line for each unknown TIFF tag. OpenCV reads this
# variable when it is imported; set it yourself to see those lines.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

# While a team of OpenMP threads waits, its threads spin by default: on a machine that does other work, that costs up to
# ten times the work itself. The libraries read these variables when torch is imported.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}

#: Exit code for errors that the user can fix: bad options, bad files, a missing extra.
USER_ERROR = 2
#: Exit code if the system killed a process that loads images.
WORKER_KILLED = 3
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
        except WorkerKilled as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(WORKER_KILLED)
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


def set_threads(number: int | None, workers: int = 0) -> None:
    """Sets the number of threads that torch computes with on the CPU.

    Args:
        number: The number; None: what the user set by OMP_NUM_THREADS, or else one for each core that the loader
            processes leave, and at least half of them.
        workers: Number of loader processes.
    """
    import torch

    if number is None and not {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & os.environ.keys():
        cores = torch.get_num_threads()
        number = max(cores - workers, (cores + 1) // 2)
    if number is not None:
        torch.set_num_threads(number)


threads_option = click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Number of threads on the CPU; default: one per core that the loader processes leave, at least half of them.",
)


#: What options of other tools are called here. Those that a command has are suggested.
_ELSEWHERE = {
    "--conf": ("--score-thr",),
    "--conf-thres": ("--score-thr",),
    "--score": ("--score-thr",),
    "--threshold": ("--score-thr",),
    "--show-score-thr": ("--score-thr",),
    "--iou-thr": ("--iou", "--cfg-options model.test_cfg.nms.iou_threshold="),
    "--iou": ("--cfg-options model.test_cfg.nms.iou_threshold=",),
    "--lr": ("--cfg-options optim_wrapper.optimizer.lr=",),
    "--lr0": ("--cfg-options optim_wrapper.optimizer.lr=",),
    "--learning-rate": ("--cfg-options optim_wrapper.optimizer.lr=",),
    "--epochs": ("--cfg-options train_cfg.max_epochs=",),
    "--max-epochs": ("--cfg-options train_cfg.max_epochs=",),
    "--batch": ("--batch-size", "--cfg-options train_dataloader.batch_size="),
    "--batch-size": ("--cfg-options train_dataloader.batch_size=",),
    "--samples-per-gpu": ("--batch-size", "--cfg-options train_dataloader.batch_size="),
    "--imgsz": ("--window", "scale= of the Resize in the config's pipeline"),
    "--img-size": ("--window", "scale= of the Resize in the config's pipeline"),
    "--weights": ("the argument CHECKPOINT", "--cfg-options load_from="),
    "--checkpoint": ("the argument CHECKPOINT", "--cfg-options load_from="),
    "--pretrained": ("--cfg-options load_from=",),
    "--load-from": ("--cfg-options load_from=",),
    "--resume-from": ("--resume",),
    "--project": ("--work-dir", "--out"),
    "--output": ("--out", "--work-dir"),
    "--output-dir": ("--out", "--work-dir"),
    "--out-dir": ("--out", "--work-dir"),
    "--save-dir": ("--work-dir", "--out"),
    "--show": ("--show-dir",),
    "--save-img": ("--show-dir",),
    "--half": ("--amp",),
    "--fp16": ("--amp",),
    "--gpu-id": ("--device",),
    "--gpu-ids": ("--device",),
    "--gpus": ("--device",),
    "--num-workers": ("--workers", "--jobs"),
    "--launcher": ("torchrun --nproc-per-node N -m rotx.cli.train ...",),
    "--options": ("--cfg-options",),
    "--cfg": ("--cfg-options",),
    "--overlap": ("--gap",),
    "--augment": ("--tta",),
}
#: Options that are never suggested because they are spelt alike: they run code.
_NEVER_BY_NEARNESS = {"--trust-config"}


class Command(click.Command):
    """A command that says what an option of another tool is called here."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the words of the command line; see `click.Command.parse_args`."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            own = {option for param in self.params for option in param.opts}
            near = [*(error.possibilities or ())]
            if _NEVER_BY_NEARNESS & {*near, *(option for option in own if option.startswith(error.option_name))}:
                near = []
            meant = self._elsewhere(error.option_name.replace("_", "-"), own) or near
            # click would leave out what is not spelt alike.
            hint = f" Did you mean {' or '.join(meant)}?" if meant else ""
            raise click.UsageError(f"No such option '{error.option_name}'.{hint}", ctx) from None

    def _elsewhere(self, name: str, own: set[str]) -> list[str]:
        """What this command calls an option of another tool."""
        if name in own:
            return [name]
        arguments = {f"the argument {p.name.upper()}" for p in self.params if isinstance(p, click.Argument) and p.name}
        trains = "--work-dir" in own

        def fits(hint: str) -> bool:
            if hint.startswith("--cfg-options "):
                return "--cfg-options" in own and (trains or " model." in hint)
            return hint in own | arguments or (trains and not hint.startswith(("--", "the argument")))

        return [hint for hint in _ELSEWHERE.get(name, ()) if fits(hint)]


class Number(click.FloatRange):
    """Option type: a number in a range. Unlike click's own type it rejects NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Converts the text of an option to a number in the range; see `click.ParamType.convert`."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value} is not a number.", param, ctx)
        return number


#: Suffixes of files in folders of annotations and results.
_LABELS = {".txt", ".xml", ".gt"}
#: Options that name a file, not a folder.
_FILES = {"--json", "--csv", "--per-image", "--picture"}


def refuse_inputs(outputs: Mapping[str, str | None], inputs: Iterable[str | None]) -> None:
    """Refuses outputs that would replace an input.

    Args:
        outputs: Path of each output, by its option.
        inputs: Paths of the files and folders that the command reads.

    Raises:
        ValueError: For an output that is an input, or a label file in a folder that is one.
    """
    sources = [Path(path) for path in inputs if path and Path(path).exists()]
    for option, path in outputs.items():
        out = Path(path or "")
        if not path or not out.exists() or (out.is_dir() and option in _FILES):
            continue  # a folder where a file is written is an error of its own
        for source in sources:
            within = out.suffix.lower() in _LABELS and out.resolve().is_relative_to(source.resolve())
            if within or out.samefile(source):
                raise ValueError(f"{option} {path}: would replace what is read from {source}: name another path")


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
