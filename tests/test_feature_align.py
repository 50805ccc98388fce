"""ops.feature_align against its definition, number by number, and torchvision's RoIAlign; gradcheck; errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx import geometry, ops  # noqa: E402

Tensor = torch.Tensor


def scene(height: int, width: int, seed: int = 0, batch: int = 2) -> tuple[Tensor, Tensor]:
    """Features of 3 channels and a box for each position, some of them beyond the map; scale 1/4."""
    rng = np.random.default_rng(seed)
    n = height * width
    centers = rng.uniform(-8, 4 * np.array([width, height]) + 8, (batch, n, 2))
    boxes = np.concatenate([centers, rng.uniform(1, 30, (batch, n, 2)), rng.uniform(-4, 4, (batch, n, 1))], axis=2)
    return torch.from_numpy(rng.normal(size=(batch, 3, height, width))), torch.from_numpy(boxes)


def by_definition(features: Tensor, boxes: Tensor, points: int) -> np.ndarray:
    out = features.numpy().copy()
    batch, channels, height, width = out.shape
    for b, position in np.ndindex(batch, height * width):
        box = boxes[b, position].numpy() * [0.25, 0.25, 0.25, 0.25, 1]
        samples = [box[:2], *(geometry.rbox_to_quad(box[None]).reshape(4, 2) if points == 5 else [])]
        for c in range(channels):
            values = (reference.bilinear(features[b, c].numpy(), x, y) for x, y in samples)
            out[b, c, position // width, position % width] += sum(values)
    return out


@pytest.mark.parametrize("points", [1, 5])
@pytest.mark.parametrize("size", [(6, 9), (1, 7), (7, 1), (1, 1)])
def test_definition(size: tuple[int, int], points: int) -> None:
    features, boxes = scene(*size)
    found = ops.feature_align(features, boxes, 0.25, points)
    np.testing.assert_allclose(found, by_definition(features, boxes, points), rtol=0, atol=1e-12)


def test_samples_at_the_border_and_off_the_map() -> None:
    """Up to a pixel beyond the border the features are those of the border; further off, and at NaN, none."""
    features = torch.arange(1.0, 13).view(1, 1, 3, 4)
    boxes = torch.zeros(1, 12, 5)
    at = [(-1, 0), (-1.01, 0), (4, 0), (4.01, 0), (0, -1), (0, 3), (0, 3.01), (torch.nan, 0), (3, 2), (1.5, 0.5)]
    boxes[0, : len(at), :2] = torch.tensor(at)
    added = (ops.feature_align(features, boxes, 1.0) - features).flatten()[: len(at)]
    assert added.tolist() == [1, 0, 4, 0, 1, 9, 0, 0, 12, 4.5]


@pytest.mark.parametrize("points", [1, 5])
def test_gradient(points: int) -> None:
    features, boxes = scene(3, 4, seed=1)
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: ops.feature_align(f, boxes, 0.25, points), features)
    assert torch.autograd.gradgradcheck(lambda f: ops.feature_align(f, boxes, 0.25, points), features)
    boxes.requires_grad_()
    ops.feature_align(features, boxes, 0.25, points).sum().backward()
    assert boxes.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_computed_in_float32_at_least(dtype: torch.dtype) -> None:
    features, boxes = scene(20, 30)
    features = features.to(dtype)
    want = by_definition(features.double(), boxes.float().double(), 5)
    for rboxes in (boxes, boxes.float()):
        found = ops.feature_align(features, rboxes, 0.25, 5)
        assert found.dtype == dtype
        rounding = torch.finfo(dtype).eps * np.abs(want)
        np.testing.assert_array_less(np.abs(found.double().numpy() - want), rounding + 2e-5)


def test_inputs_of_any_layout_stay_as_they_are() -> None:
    features, boxes = scene(6, 9)
    before, want = features.clone(), ops.feature_align(features, boxes, 0.25, 5)
    last = features.to(memory_format=torch.channels_last)
    assert torch.equal(ops.feature_align(last, boxes, 0.25, 5), want)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ops.feature_align(features, boxes, 0.25, 5), want)
    assert torch.equal(features, before)
    assert ops.feature_align(features[:0], boxes[:0], 0.25).shape == (0, 3, 6, 9)


def test_compile() -> None:
    compiled: Any = torch.compile(ops.feature_align, fullgraph=True, backend="aot_eager")
    features, boxes = scene(6, 9)
    assert torch.equal(compiled(features, boxes, 0.25, 5), ops.feature_align(features, boxes, 0.25, 5))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"features": torch.zeros(3, 4, 5)}, ValueError, r"features: need shape \(B, C, H, W\), got \(3, 4, 5\)"),
        ({"boxes": torch.zeros(2, 53, 5)}, ValueError, r"boxes: need shape \(2, 54, 5\), got \(2, 53, 5\)"),
        ({"boxes": torch.zeros(2, 54, 5).int()}, TypeError, "boxes: need a floating dtype, got torch.int32"),
        ({"boxes": torch.zeros(2, 54, 5, device="meta")}, ValueError, "need one device, got cpu and meta"),
        ({"points": 4}, ValueError, "points: need 1 or 5, got 4"),
    ],
)
def test_bad_arguments(change: dict[str, Any], error: type[Exception], text: str) -> None:
    features, boxes = scene(6, 9)
    with pytest.raises(error, match=text):
        ops.feature_align(**{"features": features, "boxes": boxes, "spatial_scale": 0.25} | change)
