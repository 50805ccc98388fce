"""``rotx predict``."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotx.cli import INTERRUPTED, Number, class_names, fail, max_pixels_option, merge_rule_option, user_errors
from rotx.cli.config import CFG_OPTIONS_HELP, PLUGIN_HELP, TRUST_HELP
from rotx.cli.report import note

if TYPE_CHECKING:
    from rotx.inference.run import RunReport
    from rotx.inference.windowed import WindowOptions


@click.command()
@click.argument("config", type=click.Path())
@click.argument("checkpoint", type=click.Path())
@click.argument("inputs", nargs=-1, required=True, metavar="INPUTS...")
@click.option("--out", type=click.Path(), required=True, metavar="DIR", help="Write the results to DIR.")
@click.option(
    "--format",
    "formats",
    default="json",
    show_default=True,
    metavar="A,B,...",
    help="Result formats: json, dota (Task1 files), coco, yolo (oriented boxes), geojson (GeoTIFFs only).",
)
@click.option(
    "--show-dir", type=click.Path(), metavar="DIR", help="Also draw detections: pictures, and an .mp4 for a video."
)
@click.option(
    "--score-thr",
    type=Number(0, 1),
    default=0.3,
    show_default=True,
    help="Keep detections with higher scores; set 0 to measure mAP.",
)
@click.option("--classes", metavar="A,B,...", help="Keep only these classes.")
@click.option("--tta", metavar="flip,rotate,scales", help="Test-time augmentation: detect in several views.")
@click.option("--window", type=click.IntRange(1), help="Side of the windows of large images, in pixels; see above.")
@click.option("--gap", type=click.IntRange(0), help="Overlap of windows in pixels; default: a fifth of the window.")
@merge_rule_option("seams", "windows")
@click.option("--batch-size", type=click.IntRange(1), default=2, show_default=True, help="Images or windows per batch.")
@click.option("--device", default="auto", show_default=True, help="Device: cpu, cuda, cuda:1; auto: a GPU if present.")
@click.option("--amp", is_flag=True, help="Compute with autocast: float16 on CUDA, bfloat16 on the CPU.")
@click.option("--cfg-options", "options", multiple=True, metavar="PATH=VALUE", help=CFG_OPTIONS_HELP)
@click.option("--plugin", "plugins", multiple=True, metavar="MODULE", help=PLUGIN_HELP)
@click.option("--trust-config", is_flag=True, help=TRUST_HELP)
@max_pixels_option
@user_errors
def predict(config: str, checkpoint: str, inputs: tuple[str, ...], out: str, **options: Any) -> None:
    """Detect objects in images and videos.

    INPUTS are images, videos, folders with their subfolders, and quoted patterns such as "scenes/*.tif". Images larger
    than a window are processed window by window. The default window is the longer side of the size to which CONFIG
    resizes test images, or 1024 pixels if CONFIG does not resize. Run the same command again to resume an interrupted
    run.
    """
    from importlib.util import find_spec

    if find_spec("torch") is None:
        fail("predicting needs torch: pip install 'rotx[train]'")
    from rotx.inference.inputs import find_inputs

    place, show_dir = Path(out), Path(options["show_dir"]) if options["show_dir"] else None
    formats = list(dict.fromkeys(name.strip() for name in options["formats"].split(",")))
    for path in filter(None, (place, show_dir)):
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path}: is a file; need a folder")
    found, notices = find_inputs(inputs, leave_out=[show_dir] if show_dir else [])
    note(notices)
    import torch

    from rotx.inference import load
    from rotx.inference.run import run
    from rotx.inference.windowed import WindowOptions
    from rotx.models.tta import views_of

    views, names = None if options["tta"] is None else views_of(options["tta"]), class_names(options["classes"])
    keys = {key: options[key] for key in ("options", "plugins", "trust_config", "amp")}
    predictor = load(config, checkpoint, options["device"], **keys)
    labels = None if names is None else _labels(names, predictor.classes)
    window, gap, batch_size, score_thr = (options[key] for key in ("window", "gap", "batch_size", "score_thr"))
    rule = options["merge_rule"]
    windows = WindowOptions.of(predictor.scale, window, gap, batch_size, score_thr, views, labels, rule)
    bound = _bound(config, checkpoint, inputs, options, windows, names, str(predictor.device))
    try:
        report = run(predictor, found, place, windows, formats=formats, show_dir=show_dir, bound=bound, progress=True)
    except KeyboardInterrupt:
        click.echo(f"{out}: stopped; run the same command again to resume", err=True)
        sys.exit(INTERRUPTED)
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise  # torch has no exception class for running out of CPU memory
        fail(f"out of memory on {predictor.device}: try a smaller --batch-size or --window")
    if report.cut:
        note([f"windows of larger images are merged by the rule {rule}, at an IoU of {predictor.merge_iou:g}"])
    _print(report, predictor.classes, labels)
    sys.exit(1 if report.failed else 0)


def _bound(
    config: str,
    checkpoint: str,
    inputs: tuple[str, ...],
    options: dict[str, Any],
    windows: WindowOptions,
    names: list[str] | None,
    device: str,
) -> dict[str, Any]:
    """Everything that results depend on, by option: a run is resumed only if all of it is the same."""
    # Options that rotx 0.1 did not have are included only if given, so that journals of 0.1 can be resumed.
    later = {"--merge-rule": windows.merge_rule != "seams" and windows.merge_rule, "--amp": options["amp"]}
    return {
        "CONFIG": _settings(config, options["options"]),
        "CHECKPOINT": _digest(Path(checkpoint)),
        "INPUTS": inputs,
        "--plugin": options["plugins"],
        "--score-thr": windows.score_thr,
        "--classes": names,
        "--tta": options["tta"],
        "--window": windows.window,
        "--gap": windows.gap,
        "--batch-size": windows.batch_size,
        "--device": device,
        **{key: value for key, value in later.items() if value},
    }


def _labels(names: list[str], classes: tuple[str, ...]) -> tuple[int, ...]:
    from rotx.config.errors import nearest

    for name in names:
        if name not in classes:
            raise ValueError(f"--classes: the detector has no class {name!r}{nearest(name, classes)}")
    return tuple(classes.index(name) for name in names)


def _settings(config: str, options: tuple[str, ...]) -> str:
    """Digest of the merged content of a config; independent of the path of its file."""
    from rotx.compat import load_config
    from rotx.config import dumps

    return hashlib.sha256(dumps(load_config(config, options)).encode()).hexdigest()[:16]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()[:16]


def _print(report: RunReport, classes: tuple[str, ...], labels: tuple[int, ...] | None) -> None:
    if report.earlier:
        click.echo(f"{report.earlier:,} images were processed by an earlier run")
    for label in range(len(classes)) if labels is None else labels:
        click.echo(f"{classes[label]}: {report.counts[label]:,}")
    click.echo(f"{report.counts.sum():,} objects in {report.images:,} images: {', '.join(_places(report.files))}")
    for path, reason in report.failed.items():
        click.echo(f"error: {path}: {reason}", err=True)
    if report.failed:
        click.echo(f"error: {len(report.failed):,} files could not be read completely", err=True)


def _places(files: list[Path]) -> list[str]:
    """The paths to print: if several files lie in one folder, the folder instead."""
    counts = Counter(path.parent for path in files if path.suffix == ".txt")
    return list(dict.fromkeys(str(path.parent if counts[path.parent] > 1 else path) for path in files))


if __name__ == "__main__":
    predict(prog_name="rotx predict")
