"""The made-up scenes: what is annotated is what is drawn, the seed decides it, and nobody's files are harmed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from rotx import geometry
from rotx.annotations.formats import read_annotations
from rotx.cli.synth import synth
from rotx.datasets.synthetic import CLASSES, Scene, make_scene, write_dataset
from rotx.datasets.synthetic.canvas import Canvas, Pose
from rotx.datasets.synthetic.objects import DRAW, SOFT_EDGE


def scene(number: int, size: int = 256) -> Scene:
    return make_scene(np.random.default_rng((5, number)), size)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("angle", [0.0, 0.4, 1.7, 3.9])
def test_the_quad_is_exact_around_what_is_drawn(name: str, angle: float) -> None:
    length, width = {"ship": (90, 22), "plane": (60, 55), "vehicle": (20, 9), "tank": (40, 40)}[name]
    pose = Pose(80.3, 79.6, angle)
    canvas = Canvas.blank(160, np.random.default_rng(0))
    canvas.image[:] = (0, 255, 0)
    canvas.sun = (0.0, 0.0)  # shadows fall on what throws them
    DRAW[name](canvas, pose, length - 2 * SOFT_EDGE, width - 2 * SOFT_EDGE)  # as place does
    rows, columns = np.nonzero(np.abs(canvas.image.astype(int) - (0, 255, 0)).sum(axis=2) > 60)
    dx, dy = columns - pose.x, rows - pose.y
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = -dx * np.sin(angle) + dy * np.cos(angle)
    ends = np.array([along.min(), along.max(), across.min(), across.max()])
    # A tip that is thinner than a pixel is hardly seen: of bow, wings and fuselage up to two pixels are missing.
    expected = np.array([-length, length, -width, width]) / 2
    assert np.abs(ends - expected).max() < (2 if name in ("ship", "plane") else 1), ends - expected


def test_objects_lie_inside_the_image_and_not_on_each_other() -> None:
    for number in range(12):
        quads = scene(number, 384).quads
        assert quads.min(initial=0) >= 0 and quads.max(initial=0) <= 383
        boxes = geometry.quad_to_rbox(quads)
        overlaps = geometry.box_iou(boxes, boxes)
        np.fill_diagonal(overlaps, 0)
        assert overlaps.max(initial=0) < 0.01


def test_scenes_hold_all_classes_and_some_are_empty_or_difficult() -> None:
    scenes = [scene(number) for number in range(60)]
    labels = np.concatenate([s.labels for s in scenes])
    difficult = np.concatenate([s.difficult for s in scenes])
    assert np.bincount(labels, minlength=4).min() >= 20
    assert 0.02 < difficult.mean() < 0.12
    assert 1 <= sum(len(s.labels) == 0 for s in scenes) <= 12
    longest = geometry.quad_to_rbox(np.concatenate([s.quads for s in scenes]))[:, 2:4].max(axis=1)
    assert longest.min() >= 12 and longest.max() <= 110.001


def test_objects_stand_out_from_the_ground_around_them() -> None:
    contrasts = []
    for number in range(8):
        image, quads, _, difficult = scene(number)
        for quad in quads[difficult == 0].reshape(-1, 4, 2):
            inside, around = (np.zeros(image.shape[:2], np.uint8) for _ in range(2))
            cv2.fillConvexPoly(inside, np.rint(quad).astype(int), 1)
            cv2.fillConvexPoly(around, np.rint(quad + 0.3 * (quad - quad.mean(axis=0))).astype(int), 1)
            spread = [image[mask.astype(bool)].astype(float).std(axis=0).max() for mask in (inside, around - inside)]
            contrasts.append(spread[0] - spread[1])
    assert np.median(contrasts) > 10


def test_a_seed_gives_the_same_set_whatever_its_size(tmp_path: Path) -> None:
    write_dataset(tmp_path / "a", train=2, val=1, size=128, seed=3)
    write_dataset(tmp_path / "b", train=3, val=1, size=128, seed=3)
    write_dataset(tmp_path / "c", train=2, val=1, size=128, seed=4)
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert len(a) == 7 and len(b) == 9
    assert all(b[name] == data for name, data in a.items() if name != "synthetic.json")
    assert all(c[name] != data for name, data in a.items() if name.endswith(".png"))


def test_numbers_depend_on_nothing_but_the_seed() -> None:
    quads = np.concatenate([scene(number).quads.round(1) for number in range(10)])
    digest = hashlib.sha256(np.rint(quads * 10).astype("<i4").tobytes()).hexdigest()
    assert digest[:16] == "d3927dc0e44555ef"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    counts = write_dataset(tmp_path, train=6, val=2, size=256, seed=1)
    found = read_annotations(tmp_path / "train" / "labelTxt", classes=CLASSES)
    scenes = [make_scene(np.random.default_rng((1, 0, number)), 256) for number in range(6)]
    assert found.images == [f"train_{number:04d}" for number in range(6)]
    np.testing.assert_allclose(found.quads, np.concatenate([s.quads for s in scenes]), atol=0.0501)
    np.testing.assert_array_equal(found.label, np.concatenate([s.labels for s in scenes]))
    np.testing.assert_array_equal(found.difficult, np.concatenate([s.difficult for s in scenes]))
    for number, expected in enumerate(scenes):
        image = cv2.imread(str(tmp_path / "train" / "images" / f"train_{number:04d}.png"))
        np.testing.assert_array_equal(image, expected.image)
    val = read_annotations(tmp_path / "val" / "labelTxt", classes=CLASSES)
    assert sum(counts.values()) == len(found.label) + len(val.label)


def test_the_command_replaces_its_own_set_and_no_other_file(tmp_path: Path) -> None:
    out = tmp_path / "set"
    run = CliRunner().invoke(synth, [str(out), "--train", "3", "--val", "1", "--size", "128"])
    assert run.exit_code == 0 and "3 training images, 1 validation images" in run.output
    (out / "train" / "images" / "mine.png").write_bytes(b"mine")
    run = CliRunner().invoke(synth, [str(out), "--train", "1", "--val", "1", "--size", "128"])
    assert run.exit_code == 0
    assert sorted(p.name for p in (out / "train" / "images").iterdir()) == ["mine.png", "train_0000.png"]
    assert [p.name for p in (out / "train" / "labelTxt").iterdir()] == ["train_0000.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "holds files other than a synthetic dataset"),
        (["--size", "100"], "100 is not in the range x>=128"),
        (["--train", "0", "--val", "0"], "at least one in all"),
    ],
)
def test_what_is_refused_leaves_the_folder_alone(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "train_0000.png").write_bytes(b"mine")
    run = CliRunner().invoke(synth, [str(tmp_path), *arguments])
    assert run.exit_code == 2 and message in run.output
    assert files(tmp_path) == {"train/train_0000.png": b"mine"}


def test_out_may_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    run = CliRunner().invoke(synth, [str(tmp_path / "file")])
    assert run.exit_code == 2 and "file" in run.output and "Traceback" not in run.output
