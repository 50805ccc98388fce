"""ops.points_in_boxes: against shapely, on the border, and in plain torch."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx import geometry, ops  # noqa: E402

Tensor = torch.Tensor
# What the dispatcher calls for CUDA tensors can be called without CUDA.
CUDA = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)


def scene(columns: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(columns)
    parts = [rng.uniform(0, 60, (40, 2)), rng.uniform(2, 50, (40, 2)), rng.uniform(-4, 4, (40, 1))]
    rboxes = np.concatenate(parts, axis=1)
    boxes = rboxes if columns == 5 else rng.uniform(0, 60, (40, 8))  # quads of any shape
    return torch.from_numpy(rng.uniform(-10, 70, (500, 2))), torch.from_numpy(boxes)


def test_rotated_boxes_equal_shapely() -> None:
    points, boxes = scene(5)
    polygons = shapely.polygons(geometry.rbox_to_quad(boxes).reshape(-1, 4, 2))
    want = shapely.covers(polygons[None], shapely.points(points.numpy())[:, None])
    assert 1000 < want.sum() < 10000
    np.testing.assert_array_equal(ops.points_in_boxes(points, boxes), want)


def test_quads_of_any_shape_equal_shapely() -> None:
    points, quads = scene(8)
    # A valid polygon covers what a crossing one winds around.
    polygons = shapely.make_valid(shapely.polygons(quads.numpy().reshape(-1, 4, 2)))
    want = shapely.covers(polygons[None], shapely.points(points.numpy())[:, None])
    assert 1000 < want.sum() < 10000
    np.testing.assert_array_equal(ops.points_in_boxes(points, quads), want)


@pytest.mark.parametrize("columns", [5, 8])
def test_plain_torch_is_the_same(columns: int) -> None:
    points, boxes = scene(columns)
    if columns == 8:  # whole numbers: many points lie on borders
        points, boxes = torch.cat([points, points / 10]).round(), torch.cat([boxes, boxes / 10]).round()
    points[0, 0], boxes[1, 3] = torch.nan, torch.nan
    found = torch.ops.rotx.points_in_boxes.default.redispatch(CUDA, points, boxes)
    assert torch.equal(found, ops.points_in_boxes(points, boxes))
    assert found.any() and not found[0].any() and not found[:, 1].any()


def test_the_border_is_inside() -> None:
    square = torch.tensor([[2.0, 2, 4, 4, 0]])
    points = torch.tensor([[0.0, 0], [4, 2], [2, 4], [4, 4], [4.001, 2], [2, -0.001]])
    for boxes in (square, torch.tensor([[0.0, 0, 4, 0, 4, 4, 0, 4]]), torch.tensor([[0.0, 4, 4, 4, 4, 0, 0, 0]])):
        assert ops.points_in_boxes(points, boxes)[:, 0].tolist() == [True] * 4 + [False] * 2
        assert ops.points_in_boxes(points[:0], boxes).shape == (0, 1)
        assert ops.points_in_boxes(points, boxes[:0]).shape == (6, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_computed_in_float64(dtype: torch.dtype) -> None:
    points, boxes = (values.to(dtype) for values in scene(8))
    assert torch.equal(ops.points_in_boxes(points, boxes), ops.points_in_boxes(points.double(), boxes.double()))
    assert torch.equal(ops.points_in_boxes(points, boxes.double()), ops.points_in_boxes(points.double(), boxes))
