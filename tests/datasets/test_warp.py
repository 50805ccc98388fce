"""One function moves image, boxes and masks: exactly where pixels are copied, and to the same place otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rotx.boxes import flip_matrix, rotation_matrix, scale_matrix, translation_matrix
from rotx.compat import build
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.warp import Geometric, Warp, move, move_pixels
from rotx.records import ImageRecord, Instances, Masks

RNG = np.random.default_rng
IMAGE = RNG(0).integers(0, 256, (40, 60, 3), np.uint8)
QUADS = np.array([[10.0, 8, 30, 8, 30, 20, 10, 20], [35, 25, 50, 22, 53, 33, 36, 34]])


def sample_of(image: np.ndarray[Any, Any] = IMAGE, kind: str = "quad") -> Sample:
    objects = Instances(QUADS.copy(), "quad", np.array([0, 1])).convert(kind)  # type: ignore[arg-type]
    return Sample(ImageRecord("x", Path("x.png"), objects), image.copy(), objects)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("warp", "expected"),
    [
        (Warp(flip_matrix((40, 60), "horizontal"), (40, 60)), lambda x: x[:, ::-1]),
        (Warp(flip_matrix((40, 60), "vertical"), (40, 60)), lambda x: x[::-1]),
        (Warp(flip_matrix((40, 60), "diagonal"), (40, 60)), lambda x: x[::-1, ::-1]),
        (Warp(translation_matrix(-7, -5), (20, 30)), lambda x: x[5:25, 7:37]),
        (
            Warp(np.eye(3), (50, 64), border=(7, 7, 7)),
            lambda x: np.pad(x, ((0, 10), (0, 4), (0, 0)), constant_values=7),
        ),
        (Warp(translation_matrix(3, -2), (40, 60)), lambda x: np.pad(x[2:, :57], ((0, 2), (3, 0), (0, 0)))),
        (Warp(translation_matrix(90, 2), (40, 60)), lambda x: np.zeros_like(x)),
        (Warp(scale_matrix(0.5, 0.7), (28, 30)), lambda x: cv2.resize(x, (30, 28))),
        (Warp(np.array([[0.0, -1, 39], [1, 0, 0], [0, 0, 1]]), (60, 40)), lambda x: np.rot90(x, -1)),
        (Warp(np.array([[0.0, 1, 0], [-1, 0, 59], [0, 0, 1]]), (60, 40)), lambda x: np.rot90(x)),
        (Warp(rotation_matrix((29.5, 19.5), np.pi).round(9), (40, 60)), lambda x: x[::-1, ::-1]),
    ],
)
def test_pixels_are_copied_where_they_can_be(warp: Warp, expected: Any, kind: Any) -> None:
    image = IMAGE.astype(kind)
    moved = move_pixels(image, warp)
    assert moved.dtype == kind and moved.flags.c_contiguous
    np.testing.assert_array_equal(moved, expected(image))
    mask = move_pixels(image[:, :, 0].copy(), warp)
    np.testing.assert_array_equal(mask, expected(image)[:, :, 0])


def test_other_matrices_move_the_centres_of_pixels() -> None:
    """A perspective move: bright pixels land where the matrix says; boxes and polygons too."""
    matrix = np.array([[1.1, 0.1, 4], [-0.05, 0.9, 6], [0.001, 0.0005, 1]])
    points = np.array([[12, 9], [40, 30], [22, 25]])
    image = np.zeros((40, 60, 3), np.uint8)
    for i, (x, y) in enumerate(points):
        image[y, x, i] = 255
    sample = sample_of(image)
    sample.instances.masks = Masks([[quad] for quad in QUADS])
    move(sample, Warp(matrix, (60, 90)))
    moved = np.column_stack([points, np.ones(3)]) @ matrix.T
    for i, (x, y) in enumerate(moved[:, :2] / moved[:, 2:]):
        rows, columns = np.nonzero(sample.image[:, :, i])
        weights = sample.image[rows, columns, i].astype(float)
        centre = np.average(columns, weights=weights), np.average(rows, weights=weights)
        np.testing.assert_allclose(centre, (x, y), atol=0.25)
    corners = np.column_stack([QUADS.reshape(-1, 2), np.ones(8)]) @ matrix.T
    want = (corners[:, :2] / corners[:, 2:]).reshape(-1, 8)
    np.testing.assert_allclose(sample.instances.boxes, want)
    np.testing.assert_allclose([polygon for (polygon,) in sample.instances.masks], want)
    np.testing.assert_array_equal(sample.matrix, matrix)


@pytest.mark.parametrize("kind", ["quad", "rbox", "hbox", "points"])
@pytest.mark.parametrize("seed", range(5))
def test_the_matrix_is_that_of_all_moves(kind: str, seed: int) -> None:
    steps = [
        {"type": "RandomResize", "scale": (120, 80), "ratio_range": (0.7, 1.4), "keep_ratio": True},
        {"type": "RandomFlip", "prob": 0.75, "direction": ["horizontal", "vertical", "diagonal"]},
        {"type": "RandomCrop", "crop_size": (0.8, 0.8), "crop_type": "relative_range"},
        {"type": "Pad", "size_divisor": 32},
    ]
    steps += [] if kind == "hbox" else [{"type": "RandomRotate", "prob": 1.0}]
    sample, rng = sample_of(kind=kind), RNG(seed)
    before = {label: sample.instances[i : i + 1] for i, label in enumerate(sample.instances.labels.tolist())}
    for step in build(steps):
        sample = step(sample, rng)
    # Sides are whole pixels, so a resize is not quite uniform: an rbox stays a rectangle, a quad does not.
    least = 0.05 if kind == "rbox" else 1e-9
    for i, label in enumerate(sample.instances.labels.tolist()):
        now, expected = sample.instances[i : i + 1], before[label].move(sample.matrix)
        if kind != "hbox":  # these are clipped
            np.testing.assert_allclose(now.hboxes, expected.hboxes, atol=least)
            back = now.move(np.linalg.inv(sample.matrix))
            np.testing.assert_allclose(back.hboxes, before[label].hboxes, atol=least)
        if kind in ("quad", "points"):
            np.testing.assert_allclose(back.boxes, before[label].boxes, atol=least)
    assert len(sample.instances) + sum(sample.dropped.values()) == 2


class Shear(Geometric):
    """As in docs/data.md."""

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp:
        matrix = np.eye(3)
        matrix[0, 1] = rng.uniform(-0.2, 0.2)
        return Warp(matrix, sample.size)


def test_a_transform_of_the_users_says_how_and_no_more() -> None:
    sample = Shear()(sample_of(), RNG(1))
    shear = RNG(1).uniform(-0.2, 0.2)
    np.testing.assert_allclose(sample.instances.boxes[:, 0::2], QUADS[:, 0::2] + shear * QUADS[:, 1::2])
    assert sample.image.shape == IMAGE.shape


def test_old_fields_of_samples_warn_and_work() -> None:
    sample = sample_of()
    with pytest.warns(DeprecationWarning, match=r"Sample\.quads is now Sample\.instances"):
        sample.quads = sample.quads * 2
    with pytest.warns(DeprecationWarning):
        assert (sample.labels.tolist(), sample.ignored.tolist()) == ([0, 1], [False, False])
    with pytest.warns(DeprecationWarning):
        sample.ignored = np.array([True, False])
    np.testing.assert_array_equal(sample.instances.boxes, QUADS * 2)
    assert sample.instances.ignored.tolist() == [True, False]
    build({"type": "Resize", "scale": (120, 120)})(sample, RNG(0))
    with pytest.warns(DeprecationWarning):
        assert sample.factors == (2, 3)
