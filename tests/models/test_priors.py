"""Priors: equal to MMDetection's and MMRotate's, and errors."""

import json

import numpy as np
import pytest

from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="models need torch")

from rotx.models.priors.anchors import AnchorGenerator  # noqa: E402
from rotx.models.priors.points import MlvlPointGenerator  # noqa: E402
from rotx.models.priors.rotated_anchors import FakeRotatedAnchorGenerator  # noqa: E402

OPS = GOLDENS / "ops"
PAD = (25, 40)


@pytest.mark.parametrize("case", [f"case{i}" for i in range(12)])
def test_anchors_equal_mmrotate(case: str) -> None:
    about = json.loads((OPS / "anchors.json").read_text())[case]
    sizes = [tuple(size) for size in about.pop("featmaps")]
    generator = FakeRotatedAnchorGenerator(**about)
    flags = generator.valid_flags(sizes, PAD)
    with np.load(OPS / "anchors.npz") as file:
        for level, anchors in enumerate(generator.grid_priors(sizes)):
            torch.testing.assert_close(anchors, torch.from_numpy(file[f"{case}/level{level}"]))
        np.testing.assert_array_equal(flags[0].numpy(), file[f"{case}/valid0"])
    plain = {key: value for key, value in about.items() if key != "angle_version"}
    hboxes = AnchorGenerator(**plain).grid_priors(sizes)
    assert [len(level) for level in hboxes] == [len(flag) for flag in flags]
    assert generator.num_base_priors == [len(hboxes[0]) // 24] * 3
    if about["angle_version"] is None:
        w = hboxes[0][:, 2] - hboxes[0][:, 0]
        torch.testing.assert_close(w, generator.grid_priors(sizes)[0][:, 2])


def test_flags_of_points_equal_mmrotate() -> None:
    generator = MlvlPointGenerator([8, 16, 32])
    with np.load(OPS / "anchors.npz") as file:
        for level, flags in enumerate(generator.valid_flags([(4, 6), (2, 3), (1, 2)], PAD)):
            np.testing.assert_array_equal(flags.numpy(), file[f"pseudo/valid{level}"])


def test_points() -> None:
    generator = MlvlPointGenerator([(8, 4), 16])
    fine, coarse = generator.grid_priors([(2, 2), (1, 1)], dtype=torch.float64)
    assert fine.tolist() == [[4, 2], [12, 2], [4, 6], [12, 6]] and coarse.tolist() == [[8, 8]]
    assert fine.dtype == torch.float64
    assert generator.strides == [(8, 4), (16, 16)] and generator.num_base_priors == [1, 1]
    assert MlvlPointGenerator([8], offset=0).grid_priors([(1, 2)])[0].tolist() == [[0, 0], [8, 0]]


def test_order_and_places_of_anchors() -> None:
    make = {"strides": [8], "ratios": [1.0, 4.0], "scales": [1.0, 2.0], "base_sizes": [10]}
    sides = AnchorGenerator(**make).grid_priors([(1, 1)])[0]
    assert (sides[:, 2:] - sides[:, :2]).tolist() == [[10, 10], [20, 20], [5, 20], [10, 40]]
    sides = AnchorGenerator(**make, scale_major=False).grid_priors([(1, 1)])[0]
    assert (sides[:, 2:] - sides[:, :2]).tolist() == [[10, 10], [5, 20], [20, 20], [10, 40]]
    for where, place in ({"center_offset": 0.5}, 5.0), ({"centers": [(3.0, 3.0)]}, 3.0), ({}, 0.0):
        anchors = AnchorGenerator(**make, **where).grid_priors([(1, 2)])[0]
        middles = (anchors[:, :2] + anchors[:, 2:]) / 2
        assert middles.tolist() == [[place, place]] * 4 + [[place + 8, place]] * 4


def test_empty_levels() -> None:
    generator = FakeRotatedAnchorGenerator(strides=[8], ratios=[1.0], scales=[4.0], angle_version="le90")
    assert generator.grid_priors([(0, 5)])[0].shape == (0, 5)
    assert generator.valid_flags([(0, 5)], (0, 40))[0].shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": None}, "scales: give either these or octave_base_scale with scales_per_octave"),
        ({"octave_base_scale": 4, "scales_per_octave": 3}, "scales: give either"),
        ({"center_offset": 2.0}, r"center_offset: need a number in \[0, 1\]"),
        ({"center_offset": 0.5, "centers": [(0, 0)]}, "and 0 with centers"),
        ({"base_sizes": [1, 2]}, "base_sizes: need one a stride, got 2 for 1 strides"),
        ({"angle_version": "le80"}, "got 'le80'"),
    ],
)
def test_errors(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FakeRotatedAnchorGenerator(**{"strides": [8], "ratios": [1.0], "scales": [4.0], **arguments})


def test_one_size_a_level() -> None:
    with pytest.raises(ValueError, match="featmap_sizes: need one a stride, got 2 for 1 strides"):
        MlvlPointGenerator([8]).grid_priors([(1, 1), (1, 1)])
