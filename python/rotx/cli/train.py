"""``rotx-train``."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from rotx.cli import fail, max_pixels_option, user_errors
from rotx.cli.config import PLUGIN_HELP, TRUST_HELP, config_arguments, read

#: Exit code for a loss or gradient that is not finite.
NOT_FINITE = 1


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rotx")
@config_arguments
@click.option("--work-dir", type=click.Path(), metavar="DIR", help="Write checkpoints and logs to DIR.")
@click.option(
    "--resume", is_flag=False, flag_value="auto", metavar="[FILE]", help="Resume from FILE, or the newest checkpoint."
)
@click.option("--amp", is_flag=True, help="Train in half precision: float16 on a GPU, bfloat16 on a CPU.")
@click.option("--auto-scale-lr", is_flag=True, help="Scale the learning rate to the batch size.")
@click.option("--seed", type=click.IntRange(min=0), help="Random seed; default: the config's, or 0.")
@click.option("--device", default="auto", show_default=True, help="Device: cpu, cuda, or auto for a GPU if present.")
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Number of loader processes for each GPU.")
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard events.")
@click.option("--plugin", "plugins", multiple=True, metavar="MODULE", help=PLUGIN_HELP)
@click.option("--trust-config", is_flag=True, help=TRUST_HELP)
@max_pixels_option
@user_errors
def main(
    file: str,
    options: tuple[str, ...],
    more: tuple[str, ...],
    work_dir: str | None,
    plugins: tuple[str, ...],
    trust_config: bool,
    device: str,
    **changes: Any,
) -> None:
    """Train the detector of the config FILE.

    Checkpoints and logs go to work_dirs/<config> unless --work-dir is given. --resume continues an interrupted
    training exactly where it stopped. To train with several processes, run torchrun --nproc-per-node N -m
    rotx.cli.train FILE ..., or srun rotx-train FILE ...
    """
    from importlib.util import find_spec

    if find_spec("torch") is None:
        fail("training needs torch: pip install 'rotx[train]'")
    config = read(file, options, more)
    import torch

    from rotx.config import custom_imports
    from rotx.engine import Interrupted, NotFinite, train
    from rotx.engine.checkpoints import numbered
    from rotx.registry import load_plugins

    folder = work_dir or config.get("work_dir") or str(Path("work_dirs", Path(file).stem))
    try:
        load_plugins([*plugins, *custom_imports(config, trusted=trust_config)])
        train(_changed(config, device, **changes), folder, device)
        last = next(iter(numbered(Path(folder))), None)
        if last is not None and _is_first_process():
            files = shlex.join([str(last.with_name("config.py")), str(last)])
            click.echo(f"finished; evaluate with: rotx-eval model {files}", err=True)
    except ValueError as error:
        fail(f"{file}: {error}" if not str(error).startswith(file) else str(error))
    except torch.OutOfMemoryError as error:
        fail(f"{file}: out of GPU memory: set a smaller train_dataloader.batch_size, or --amp ({str(error)[:80]})")
    except NotFinite as error:
        if _is_first_process():
            click.echo(f"error: {error}", err=True)
        sys.exit(NOT_FINITE)
    except Interrupted as stop:
        if _is_first_process():
            state = "everything is saved" if stop.saved else "the last steps could not be saved"
            command = _resume_command(folder, device, plugins, trust_config)
            click.echo(f"stopped by {stop}, {state}; resume with: {command}", err=True)
        sys.exit(128 + stop.number)


def _is_first_process() -> bool:
    """Whether this is the process that prints messages for all of them."""
    return os.environ.get("RANK", "0") == "0"


def _resume_command(folder: str, device: str, plugins: tuple[str, ...], trust_config: bool) -> str:
    """The command that resumes the training, with the launcher of its processes if there are several."""
    start = "rotx-train"
    if os.environ.get("WORLD_SIZE", "1") != "1":
        start = "torchrun ... -m rotx.cli.train" if "TORCHELASTIC_RUN_ID" in os.environ else "srun ... rotx-train"
    options = [str(Path(folder, "config.py")), "--work-dir", folder, "--resume"]
    options += [] if device == "auto" else ["--device", device]
    options += [word for name in plugins for word in ("--plugin", name)] + ["--trust-config"] * trust_config
    return f"{start} {shlex.join(options)}"


def _changed(
    config: dict[str, Any],
    device: str,
    *,
    resume: str | None,
    amp: bool,
    auto_scale_lr: bool,
    seed: int | None,
    workers: int | None,
    tensorboard: bool,
) -> dict[str, Any]:
    """Returns a copy of the config with the options of the command line applied."""
    config = dict(config)
    if resume is not None:
        config |= {"resume": "auto"} if resume == "auto" else {"resume": True, "load_from": resume}
    if amp and isinstance(config.get("optim_wrapper"), dict):
        config["optim_wrapper"] = {**config["optim_wrapper"], "type": "AmpOptimWrapper"}
        config["optim_wrapper"].setdefault("dtype", _half(device))
    if auto_scale_lr:
        config["auto_scale_lr"] = {**(config.get("auto_scale_lr") or {}), "enable": True}
    if seed is not None:
        config["randomness"] = {**(config.get("randomness") or {}), "seed": seed}
    for name in ("train_dataloader", "val_dataloader"):
        if workers is not None and isinstance(config.get(name), dict):
            config[name] = {**config[name], "num_workers": workers}
    if tensorboard:
        config["vis_backends"] = [*(config.get("vis_backends") or []), {"type": "TensorboardVisBackend"}]
    return config


def _half(device: str) -> str:
    import torch

    return "float16" if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()) else "bfloat16"


if __name__ == "__main__":
    main(prog_name="rotx-train")
