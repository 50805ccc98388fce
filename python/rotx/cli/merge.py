"""``rotx merge``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rotx.cli import Number, class_names, merge_rule_option, user_errors
from rotx.cli.report import note

if TYPE_CHECKING:
    from rotx.tiling.rules import MergeRule


@click.command()
@click.argument("results", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--iou-thr", type=Number(0, 1), default=0.1, show_default=True, help="IoU threshold of the suppression.")
@merge_rule_option("nms", "patches")
@click.option(
    "--boxes",
    type=click.Choice(["quad", "rbox"]),
    default="quad",
    show_default=True,
    help="quad: keep quads; rbox: replace each quad by its minimum-area rectangle first.",
)
@click.option("--classes", metavar="A,B,...", help="Class names; default: those of the files.")
@user_errors
def merge(results: str, out: str, iou_thr: float, merge_rule: MergeRule, boxes: str, classes: str | None) -> None:
    """Merge detections on patches into whole images.

    RESULTS is a folder or archive of Task1_<class>.txt files whose image names are patch names of MMRotate,
    Ultralytics or the DOTA devkit. OUT is a folder or a .zip of Task1_<class>.txt files. Objects that several patches
    show are kept once.
    """
    from dataclasses import replace

    from rotx.annotations.formats import read_detections
    from rotx.annotations.task1 import check_names, check_target
    from rotx.evaluation import merge_detections, parse_patches, write_task1, write_task1_zip
    from rotx.evaluation.report import merge_table
    from rotx.geometry import quad_to_rbox, rbox_to_quad

    found = read_detections(results, classes=class_names(classes))
    note(found.notices)
    check_target(out, results, found.classes)
    patches = parse_patches(found.images)
    note(patches.notices)
    check_names(patches.images, found.classes)
    if boxes == "rbox":
        found = replace(found, boxes=rbox_to_quad(quad_to_rbox(found.quads)), kind="quad")
    note([f"patches are merged by the rule {merge_rule}, at an IoU of {iou_thr:g}"])
    merged = merge_detections(found, patches, iou_thr, merge_rule)
    write = write_task1_zip if out.lower().endswith(".zip") else write_task1
    write(merged, out)
    click.echo(merge_table(found, merged))
    click.echo(f"detections: {out}")


if __name__ == "__main__":
    merge(prog_name="rotx merge")
