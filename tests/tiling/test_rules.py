"""The rules by which windows are merged: one function for all commands, whatever the windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from test_seams import NMS_IOU, ideal, plant

from rotx import geometry
from rotx.annotations.formats import read_detections
from rotx.annotations.task1 import write_task1
from rotx.cli import main
from rotx.records import InstanceTable
from rotx.tiling.merging import merge_detections, parse_patches
from rotx.tiling.rules import RULES, MergeRule, WindowSet, merge_rows
from rotx.tiling.windowed_image import grid
from rotx.tiling.windows import patch_name

SIZES = ((400, 300), (260, 500))


def seen(rng: np.random.Generator, windows: list[Any]) -> list[tuple[Any, ...]]:
    """For each image what an ideal detector sees in its windows, and which object each is."""
    found = []
    for size, areas in zip(SIZES, windows, strict=True):
        rboxes, where, which, _ = ideal(plant(rng, size, 120), areas, rng, visible=0.1)
        found.append((rboxes, rng.uniform(0.3, 1, len(where)), where, which))
    return found


def on_patches(found: list[tuple[Any, ...]], windows: list[Any]) -> InstanceTable:
    """The same as detections on patches, in their own pixels."""
    names = [patch_name(f"P{i}", area) for i, areas in enumerate(windows) for area in areas.tolist()]
    firsts = np.cumsum([0, *map(len, windows)])
    patch = np.concatenate([where + first for (_, _, where, _), first in zip(found, firsts, strict=False)])
    quads = geometry.rbox_to_quad(np.concatenate([rboxes for rboxes, *_ in found]))
    quads -= np.tile(np.concatenate(windows)[patch, :2], 4)
    scores = np.concatenate([scores for _, scores, *_ in found])
    labels = np.concatenate([which % 3 for *_, which in found])
    return InstanceTable(names, ["a", "b", "c"], quads, "quad", patch, labels, scores)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(5))
def test_patches_merge_as_windows_do(seed: int, rule: MergeRule) -> None:
    """Two images at once, as patches that their names place, are what each is alone."""
    rng = np.random.default_rng(seed)
    windows = [grid(*size, 128, 60) for size in SIZES]
    found = seen(rng, windows)
    merged = merge_detections(on_patches(found, windows), parse_patches(on_patches(found, windows).images), 0.1, rule)
    for i, ((rboxes, scores, where, which), size) in enumerate(zip(found, SIZES, strict=True)):
        cut = WindowSet.of_image(windows[i], size)
        rows = merge_rows(rboxes, "rbox", scores, which % 3, where, cut, rule=rule, iou_threshold=NMS_IOU)
        assert (np.diff(scores[rows]) <= 0).all()
        mine = merged.image == i
        np.testing.assert_allclose(merged.quads[mine], geometry.rbox_to_quad(rboxes)[np.sort(rows)], atol=1e-9)
        np.testing.assert_array_equal(merged.scores[mine], scores[np.sort(rows)])
        if rule == "seams":
            assert sorted(which[rows]) == sorted(set(which))
        else:
            keep = geometry.nms(rboxes, scores, NMS_IOU, which % 3)
            np.testing.assert_array_equal(rows, keep)


@pytest.mark.parametrize("seed", range(20))
def test_windows_of_several_sizes(seed: int) -> None:
    """As at several rates: each object counts once, and as the best of its windows sees it."""
    rng = np.random.default_rng(seed)
    size = SIZES[0]
    windows = np.concatenate([grid(*size, 90, 30), grid(*size, 180, 60)])
    boxes = plant(rng, size, 150)
    found, where, which, whole = ideal(boxes, windows, rng, visible=0.1)
    scores = rng.uniform(0.3, 1, len(found))
    cut = WindowSet.of_image(windows, size)
    rows = merge_rows(found, "rbox", scores, which % 3, where, cut, rule="seams", iou_threshold=NMS_IOU)
    assert sorted(which[rows]) == sorted(set(which))
    left = rows[np.isin(which[rows], which[whole])]
    assert geometry.box_iou_aligned(found[left], boxes[which[left]]).min(initial=1) > 0.9


def test_upright_boxes() -> None:
    """Kinds are told by their value: an upright box has four numbers."""
    boxes = np.array([[10.0, 10, 40, 30], [12, 10, 42, 30], [60, 10, 80, 30]])
    cut = WindowSet.of_image(np.array([[0, 0, 100, 100]]), (100, 100))
    for rule in RULES:
        rows = merge_rows(
            boxes,
            "hbox",
            np.array([0.5, 0.6, 0.7]),
            np.zeros(3, int),
            np.zeros(3, int),
            cut,
            rule=rule,
            iou_threshold=0.1,
        )
        assert rows.tolist() == [2, 1]


def test_the_command(tmp_path: Path) -> None:
    """It says its rule; a piece goes by `seams`, and stays by `nms` as it overlaps little."""
    windows = [grid(180, 100, 100, 20)]
    assert len(windows[0]) == 2
    # An object from 60 to 130, of which the first window sees 40 pixels and the second 50.
    rboxes = np.array([[80.0, 50, 40, 30, 0.0], [105, 50, 50, 30, 0.0]])
    quads = geometry.rbox_to_quad(rboxes) - np.tile(windows[0][[0, 1], :2], 4)
    names = [patch_name("P1", area) for area in windows[0].tolist()]
    write_task1(
        InstanceTable(names, ["ship"], quads, "quad", np.array([0, 1]), np.zeros(2), np.array([0.9, 0.8])),
        tmp_path / "in",
    )
    for rule, count in (("nms", 2), ("seams", 1)):
        words = ["merge", tmp_path / "in", tmp_path / rule, "--merge-rule", rule, "--iou-thr", 0.5]
        result = CliRunner().invoke(main, [*map(str, words)])
        assert result.exit_code == 0, result.output
        assert f"note: patches are merged by the rule {rule}, at an IoU of 0.5\n" in result.stderr
        assert len(read_detections(tmp_path / rule).scores) == count
    (tmp_path / "in/Task1_ship.txt").write_text("P1__1__0___0 0.9 1 1 9 1 9 9 1 9\n")
    words = ["merge", tmp_path / "in", tmp_path / "devkit", "--merge-rule", "seams"]
    result = CliRunner().invoke(main, [*map(str, words)])
    assert result.exit_code == 2 and "do not say how large they are: merge them by the rule 'nms'" in result.stderr
    assert not (tmp_path / "devkit").exists()


def test_an_unknown_rule() -> None:
    patches = parse_patches(["P1__100__0___0"])
    none = InstanceTable(["P1__100__0___0"], [], np.zeros((0, 8)), "quad", *np.zeros((2, 0), np.int32), np.zeros(0))
    with pytest.raises(ValueError, match="merge rule: need 'nms' or 'seams', got 'nsm'"):
        merge_detections(none, patches, 0.1, "nsm")  # type: ignore[arg-type]
