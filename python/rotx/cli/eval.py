"""``rotx-eval``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotx.cli import (
    Command,
    Number,
    class_names,
    max_pixels_option,
    merge_rule_option,
    refuse_inputs,
    set_threads,
    threads_option,
    user_errors,
)
from rotx.cli.config import CFG_OPTIONS_HELP, PLUGIN_HELP, TRUST_HELP
from rotx.cli.report import Outputs, note, output_options, print_table

if TYPE_CHECKING:
    from rotx.evaluation import Protocol
    from rotx.evaluation.metrics import Metric
    from rotx.evaluation.setup import EvaluationSetup
    from rotx.records import InstanceTable
    from rotx.tiling.merging import Patches
    from rotx.tiling.rules import MergeRule

_PROTOCOLS = "dota-v1.0, dota-v1.5, dota-v2.0, voc07, voc12, coco or mmrotate"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rotx")
def main() -> None:
    """Evaluate detections of rotated objects."""


@main.command(cls=Command)
@click.argument("annotations", type=click.Path())
@click.argument("results", type=click.Path())
@click.option(
    "--protocol",
    default="dota-v1.0",
    show_default=True,
    metavar="NAME",
    help=f"Scoring rules: {_PROTOCOLS}; or icdar2015.",
)
@click.option(
    "--task", type=click.IntRange(1, 2), default=1, show_default=True, help="1: rotated boxes, 2: horizontal boxes."
)
@click.option("--iou", multiple=True, metavar="T[,T...]", help="IoU thresholds; default: those of the protocol.")
@click.option("--classes", metavar="A,B,...", help="Class names; default: those of the protocol or of the files.")
@click.option(
    "--images",
    type=click.Path(),
    metavar="FILE",
    help="File with image names, one a line; default: all annotated images.",
)
@click.option("--lenient", is_flag=True, help="Skip and count lines that cannot be read.")
@click.option("--jobs", type=click.IntRange(1), help="Number of threads; default: one per core.")
@output_options
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
    **outputs: Any,
) -> None:
    """Score result files against annotations, without running a detector.

    ANNOTATIONS is in any format that rotx convert reads: a folder or archive of DOTA labelTxt, VOC-style XML or ICDAR
    files, COCO's JSON, or one file with a line for each object or image. RESULTS is a folder or archive of
    Task1_<class>.txt files, or a JSON file of results: COCO's, or Ultralytics' predictions.json.
    """
    from rotx.evaluation import ICDAR2015, evaluate

    output = Outputs(**outputs)
    refuse_inputs(output.paths, (annotations, results, images))
    if protocol == ICDAR2015 and (output.explain or output.ci):
        raise ValueError("--explain and --ci: not available for icdar2015, whose results have no scores")
    target = output.target
    evaluation = evaluate(
        annotations,
        results,
        protocol,
        task=task,
        iou=_thresholds(iou),
        classes=class_names(classes),
        also=target.classes or () if target else (),
        images=images,
        lenient=lenient,
        jobs=jobs,
    )
    note(evaluation.notices)
    print_table(evaluation)
    output.show(evaluation, iou=bool(iou), classes=bool(classes))


@main.command(cls=Command)
@click.argument("config", type=click.Path())
@click.argument("checkpoint", type=click.Path())
@click.argument("more", nargs=-1, metavar="")
@click.option("--merge", is_flag=True, help="The images are patches: also merge and score whole images.")
@merge_rule_option("nms", "patches")
@click.option("--whole", type=click.Path(), metavar="ANNOTATIONS", help="Annotations of the whole images.")
@click.option("--out", type=click.Path(), metavar="DIR", help="Write Task1_<class>.txt files and Task1.zip.")
@click.option("--show-dir", type=click.Path(), metavar="DIR", help="Draw detections and annotations into DIR.")
@click.option("--tta", metavar="flip,rotate,scales", help="Test-time augmentation: detect in several views.")
@click.option("--protocol", metavar="NAME", help=f"Scoring rules: {_PROTOCOLS}; default: the config's evaluator.")
@click.option("--score-thr", type=Number(0, 1), default=0.0, metavar="T", help="Drop detections with lower scores.")
@click.option("--device", default="auto", show_default=True, help="Device: cpu, cuda, cuda:1; auto: a GPU if present.")
@click.option("--amp", is_flag=True, help="Compute with autocast: float16 on CUDA, bfloat16 on the CPU.")
@click.option("--batch-size", type=click.IntRange(1), help="Images per batch; default: the config's.")
@click.option("--workers", type=click.IntRange(0), help="Number of loader processes; default: the config's.")
@threads_option
@click.option("--cfg-options", "options", multiple=True, metavar="PATH=VALUE ...", help=CFG_OPTIONS_HELP)
@click.option("--plugin", "plugins", multiple=True, metavar="MODULE", help=PLUGIN_HELP)
@click.option("--trust-config", is_flag=True, help=TRUST_HELP)
@output_options
@max_pixels_option
@user_errors
def model(
    config: str,
    checkpoint: str,
    more: tuple[str, ...],
    merge: bool,
    merge_rule: MergeRule,
    whole: str | None,
    out: str | None,
    show_dir: str | None,
    tta: str | None,
    protocol: str | None,
    score_thr: float,
    device: str,
    amp: bool,
    batch_size: int | None,
    workers: int | None,
    threads: int | None,
    options: tuple[str, ...],
    plugins: tuple[str, ...],
    trust_config: bool,
    **outputs: Any,
) -> None:
    """Run a trained detector on the test dataset of CONFIG and score it.

    Without a test dataset, the validation dataset is used. CHECKPOINT holds the weights. With --merge, detections on
    patches are also merged into whole images; both mAPs are printed, and JSON, CSV and report describe the whole
    images. Under torchrun, each process evaluates a part of the images.
    """
    from rotx.annotations.task1 import check_names
    from rotx.datasets.loader import check_shared_memory
    from rotx.engine import distributed
    from rotx.evaluation import get_protocol
    from rotx.evaluation.detect import detect
    from rotx.evaluation.pictures import write_pictures
    from rotx.evaluation.setup import load_setup
    from rotx.models.tta import views_of
    from rotx.tiling.merging import merge_detections
    from rotx.tiling.rules import check_rule

    if more and not options:
        raise ValueError(f"unexpected argument {more[0]!r}: give one CONFIG and one CHECKPOINT")
    if whole and not merge:
        raise ValueError("--whole: needs --merge")
    output, views = Outputs(**outputs), None if tta is None else views_of(tta)
    refuse_inputs({**output.paths, "--out": out, "--show-dir": show_dir}, (config, checkpoint, whole))
    rules = get_protocol(protocol) if protocol else None
    world = distributed.start(device)
    try:
        setup = load_setup(
            config, checkpoint, world.device, options=(*options, *more), plugins=plugins, trust_config=trust_config
        )
        # Errors of the other options are reported before the detector starts.
        patches, truth = _whole_images(setup, whole) if merge or setup.merge_patches else (None, None)
        if setup.official_coco and rules is None:
            output.check_coco()
        if patches is not None:
            check_rule(merge_rule, patches.windows())
            if setup.compares_masks and rules is None:
                raise ValueError("--merge: masks on patches cannot be merged: score boxes alone, by metric='bbox'")
        folder = out or setup.folder
        scored = not setup.format_only and any(len(a.quads) for a in (setup.annotations, truth) if a)
        if not scored and not folder and not show_dir:
            raise ValueError(f"{config}: no annotated objects to score against; give --out to write the detections")
        if folder:
            check_names(setup.annotations.images, setup.dataset.classes)
        for target in filter(None, (folder, show_dir)):
            Path(target).mkdir(parents=True, exist_ok=True)
        batch_size, workers = batch_size or setup.batch_size, setup.num_workers if workers is None else workers
        set_threads(threads, workers)
        check_shared_memory(setup.dataset, batch_size, workers, processes=distributed.processes_here())
        found = detect(
            setup.detector,
            setup.dataset,
            device=world.device,
            batch_size=batch_size,
            num_workers=workers,
            tta=views,
            score_thr=score_thr,
            amp=amp,
        )
    finally:
        distributed.stop()
    if not world.first:
        return
    sets = [(setup.annotations, found)]
    if patches is not None and truth is not None:
        note([*patches.notices, f"patches are merged by the rule {merge_rule}, at an IoU of {setup.merge_iou:g}"])
        sets.append((truth, merge_detections(found, patches, setup.merge_iou, merge_rule)))
    note([*setup.dataset.notices, *found.notices])
    if folder:
        _write_files(sets, Path(folder))
    if show_dir:
        count = write_pictures(setup.dataset, found, show_dir)
        click.echo(f"pictures: {count:,} in {show_dir}")
    if scored:
        _score_sets(sets, setup.metric, rules, output)


def _whole_images(setup: EvaluationSetup, whole: str | None) -> tuple[Patches, InstanceTable]:
    """Returns the positions of the patches, and the annotations of the whole images."""
    from rotx.annotations.formats import read_annotations
    from rotx.tiling.merging import merge_annotations, of_images, parse_patches

    patches = parse_patches(setup.annotations.images)
    if whole is None and setup.whole is not None:
        return patches, of_images(setup.whole, patches.images, "the dataset of whole images")
    if whole is None:
        return patches, merge_annotations(setup.annotations, patches)
    return patches, of_images(read_annotations(whole, classes=setup.dataset.classes), patches.images, whole)


def _write_files(sets: list[tuple[InstanceTable, InstanceTable]], folder: Path) -> None:
    """Writes Task1 files of the images and, with ``--merge``, of the whole images."""
    from rotx.evaluation import write_task1, write_task1_zip

    for place, (_, detections) in zip((folder, folder / "merged"), sets, strict=False):
        write_task1(detections, place)
        write_task1_zip(detections, place / "Task1.zip")
        click.echo(f"detections: {place / 'Task1.zip'}")


def _score_sets(
    sets: list[tuple[InstanceTable, InstanceTable]], metric: Metric, rules: Protocol | None, output: Outputs
) -> None:
    """Prints the scores on the images and, with ``--merge``, on the whole images; skips any without annotations."""
    from rotx.evaluation import evaluate_boxes
    from rotx.evaluation.metrics import Several

    evaluations = []
    for truth, found in sets:
        if len(truth.quads):
            score = (
                evaluate_boxes(truth, found, rules, classes=truth.classes) if rules else metric.evaluate(truth, found)
            )
            note(truth.notices)
            print_table(score)
            if isinstance(metric, Several) and not rules:
                click.echo(", ".join(f"{name} {value:.4f}" for name, value in metric.headline(score).items()))
            evaluations.append(score)
    if len(evaluations) == 2:
        patches, images = (len(truth.images) for truth, _ in sets)
        on_patches, on_images = evaluations
        click.echo(f"mAP {on_patches.map:.4f} on {patches:,} patches, {on_images.map:.4f} on {images:,} whole images")
    output.show(evaluations[-1], iou=False, classes=True)


def _thresholds(options: tuple[str, ...]) -> list[float] | None:
    """Parses the values of ``--iou 0.5,0.75 --iou 0.9``."""
    words = [word for option in options for word in option.split(",")]
    try:
        return [float(word) for word in words] or None
    except ValueError:
        raise ValueError(f"--iou: need numbers such as 0.5,0.75, got '{','.join(words)}'") from None


if __name__ == "__main__":
    main(prog_name="rotx-eval")
