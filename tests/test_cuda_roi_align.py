"""The CUDA kernels of RoIAlignRotated, run on the CPU by tests/emulator, against the CPU op."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

import emulated  # noqa: E402
from rotx.ops import _cuda  # noqa: E402
from test_roi_align import images, rois  # noqa: E402

KERNELS = torch.ops.rotx_cuda
FORWARD, BACKWARD = torch.ops.rotx.roi_align_rotated, torch.ops.rotx.roi_align_rotated_backward
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture(autouse=True)
def library() -> None:
    emulated.load()


def tolerance(dtype: torch.dtype) -> dict[str, float]:
    """Of what is computed in another order, and rounded to the dtype."""
    if dtype == torch.float64:
        return {"rtol": 0, "atol": 1e-12}
    return {"rtol": max(torch.finfo(dtype).eps, 1e-5), "atol": 1e-6}


def odd_rois() -> torch.Tensor:
    """Ordinary boxes, and some without size, far away, larger than the image, negative or no numbers."""
    boxes = rois(14)
    boxes[0, 3:5] = 0
    boxes[1, 1:3] = 1000
    boxes[2, 3:5] = torch.tensor([300.0, 200.0])
    boxes[3, 3], boxes[4, 5], boxes[5, 1] = -3, math.nan, math.inf
    boxes[6, 4], boxes[7, 3:5] = 0, 1e9
    return boxes


@pytest.mark.parametrize("clockwise", [True, False])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 3])
def test_equal_to_the_cpu(sampling_ratio: int, aligned: bool, clockwise: bool) -> None:
    x, boxes = images(2, 3, 10, 13), odd_rois()
    options = 0.3, sampling_ratio, aligned, clockwise
    want = FORWARD(x, boxes, (2, 3), *options)
    assert want.count_nonzero() > 80
    torch.testing.assert_close(KERNELS.roi_align_rotated(x, boxes, (2, 3), *options), want, rtol=0, atol=1e-12)
    grad = torch.randn_like(want)
    want = BACKWARD(grad, boxes, x.shape, *options)
    for deterministic in (False, True):
        found = KERNELS.roi_align_rotated_backward(grad, boxes, x.shape, *options, deterministic)
        torch.testing.assert_close(found, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("channels", "size"), [(1, (1, 1)), (33, (7, 7)), (130, (2, 3)), (5, (11, 9))])
def test_dtypes_layouts_and_sizes(dtype: torch.dtype, channels: int, size: tuple[int, int]) -> None:
    """More channels than lanes, than a block's, fewer; more bins than a block's; matrices that fill no tile."""
    x, boxes, options = images(2, channels, 20, 24, dtype=dtype), rois(3), (0.5, 2, True, True)
    want = FORWARD(x, boxes, size, *options)
    part = images(2, 2 * channels, 20, 48, dtype=dtype)[:, ::2, :, ::2]
    part.copy_(x)
    for same in (x, x.to(memory_format=torch.channels_last), part):
        found = KERNELS.roi_align_rotated(same, boxes, size, *options)
        assert found.dtype == dtype
        assert found.is_contiguous()
        torch.testing.assert_close(found, want, **tolerance(dtype))
    grad = images(3, channels, *size, dtype=dtype)
    want = BACKWARD(grad, boxes, x.shape, *options)
    for deterministic in (False, True):
        for same in (grad, grad.to(memory_format=torch.channels_last), grad[:1].expand(3, -1, -1, -1)):
            found = KERNELS.roi_align_rotated_backward(same, boxes, x.shape, *options, deterministic)
            assert found.dtype == dtype
            assert found.is_contiguous()
            if same is grad:
                torch.testing.assert_close(found, want, **tolerance(dtype))


def test_nothing() -> None:
    for n, c, h, k in ((2, 3, 9, 0), (2, 0, 9, 5), (2, 3, 0, 5), (0, 3, 9, 0)):
        x, boxes = images(n, c, h, 8), rois(k)
        found = KERNELS.roi_align_rotated(x, boxes, (4, 4), 1.0, 0, True, True)
        assert torch.equal(found, FORWARD(x, boxes, (4, 4)))
        for deterministic in (False, True):
            back = KERNELS.roi_align_rotated_backward(found, boxes, x.shape, 1.0, 0, True, True, deterministic)
            assert torch.equal(back, torch.zeros_like(x))


@pytest.mark.parametrize("bad", [2, -1, 0.5, math.nan, math.inf, 1e300])
def test_an_image_outside_the_batch_gives_nan(bad: float) -> None:
    x, boxes = images(2, 3, 9, 8), rois(4)
    want = FORWARD(x, boxes, (2, 2))
    boxes[3, 0] = bad
    found = KERNELS.roi_align_rotated(x, boxes, (2, 2), 1.0, 0, True, True)
    torch.testing.assert_close(found[:3], want[:3], rtol=0, atol=1e-12)
    assert found[3].isnan().all()
    found = KERNELS.roi_align_rotated_backward(torch.ones_like(want), boxes, x.shape, 1.0, 0, True, True, False)
    assert torch.allclose(found, BACKWARD(torch.ones_like(want[:3]), boxes[:3], x.shape, 1.0, 0, True, True))


def test_a_pixel_that_is_not_finite_changes_no_sample_that_does_not_touch_it() -> None:
    x, boxes = images(1, 2, 9, 8), rois(6, images=1, side=9)
    x[0, :, 4, 3], x[0, 0, 8, 7] = math.nan, math.inf
    want = FORWARD(x, boxes, (3, 3))
    assert want.isnan().any()
    found = KERNELS.roi_align_rotated(x, boxes, (3, 3), 1.0, 0, True, True)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-12, equal_nan=True)


def test_large_coordinates_in_float32() -> None:
    rng = np.random.default_rng(0)
    x = images(1, 2, 30, 4000, dtype=torch.float32)
    boxes = rois(40, images=1, side=30)
    boxes[:, 1] = torch.from_numpy(rng.uniform(18_000, 20_000, 40))
    boxes[:, 2] *= 5
    options = (3, 3), 0.2, 0, True, True
    want = FORWARD(x.double(), boxes, *options)
    found = KERNELS.roi_align_rotated(x, boxes, *options)
    torch.testing.assert_close(found.double(), want, rtol=1e-5, atol=1e-6)


def test_boxes_much_larger_than_the_image() -> None:
    x, boxes = images(1, 2, 12, 16), torch.tensor([0, 8, 6, 8, 6, 0.3], dtype=torch.float64).repeat(8, 1)
    for i, size in enumerate((1e2, 1e5, 1e9, 1e30)):
        boxes[2 * i, 3:5] = size
        boxes[2 * i + 1, 3] = size
    want = FORWARD(x, boxes, (3, 2))
    found = KERNELS.roi_align_rotated(x, boxes, (3, 2), 1.0, 0, True, True)
    torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_backward_is_the_adjoint_of_forward(dtype: torch.dtype) -> None:
    x, boxes, options = images(2, 5, 11, 9, dtype=dtype), rois(9, side=11), (1.0, 0, True, True)
    y = images(9, 5, 3, 2, dtype=dtype, seed=5)
    forward = KERNELS.roi_align_rotated(x, boxes, (3, 2), *options)
    for deterministic in (False, True):
        back = KERNELS.roi_align_rotated_backward(y, boxes, x.shape, *options, deterministic)
        left, right = ((p.double() * q.double()).sum().item() for p, q in ((y, forward), (back, x)))
        assert left == pytest.approx(right, rel=1e-10 if dtype == torch.float64 else 1e-4)


def test_deterministic_is_the_same_to_the_bit_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    x, boxes, options = images(2, 3, 9, 8), rois(30, side=9), (1.0, 0, True, True)
    grad = images(30, 3, 3, 3, dtype=torch.float32)
    orders, found = [], []
    for seed in range(4):
        monkeypatch.setenv("ROTX_EMULATOR_SEED", str(seed))
        orders.append(KERNELS.roi_align_rotated_backward(grad, boxes, x.shape, *options, False))
        found.append(KERNELS.roi_align_rotated_backward(grad, boxes, x.shape, *options, True))
    assert any(not torch.equal(order, orders[0]) for order in orders), "the orders differ"
    assert all(torch.equal(result, found[0]) for result in found)


@pytest.mark.parametrize("scale", [1e-250, 1e-30, 1e30, 1e300])
def test_deterministic_at_any_scale(scale: float) -> None:
    x, boxes, options = images(2, 3, 9, 8), rois(30, side=9), (1.0, 0, True, True)
    grad = images(30, 3, 3, 3)
    want = BACKWARD(grad, boxes, x.shape, *options) * scale
    found = KERNELS.roi_align_rotated_backward(grad * scale, boxes, x.shape, *options, True)
    torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12 * scale)


def test_deterministic_does_not_overflow_and_says_what_is_not_finite() -> None:
    # All bins at the greatest size, all on one pixel.
    boxes = torch.tensor([0, 0.5, 0.5, 0.1, 0.1, 0], dtype=torch.float64).repeat(50, 1)
    grad = torch.full((50, 1, 7, 7), 3.0)
    found = KERNELS.roi_align_rotated_backward(grad, boxes, [1, 1, 1, 1], 1.0, 1, True, True, True)
    assert found.item() == pytest.approx(50 * 49 * 3, rel=1e-6)
    assert not KERNELS.roi_align_rotated_backward(grad * 0, boxes, [1, 1, 1, 1], 1.0, 1, True, True, True).any()
    for bad in (math.nan, math.inf, -math.inf):
        grad[3, 0, 2, 2] = bad
        found = KERNELS.roi_align_rotated_backward(grad, boxes, [1, 1, 1, 1], 1.0, 1, True, True, True)
        assert found.isnan().all()


def test_the_op_calls_them_for_cuda_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the dispatcher calls for CUDA tensors can be called without a CUDA device.
    cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
    monkeypatch.setattr(_cuda, "kernels", lambda: KERNELS)
    x, boxes = images(2, 3, 9, 8), rois(5)
    want = FORWARD(x, boxes, (2, 3))
    # Rois of another dtype and layout, and gradients that they would require, are no obstacle.
    given = boxes.float().T.contiguous().T.requires_grad_()
    found = FORWARD.default.redispatch(cuda, x.requires_grad_(), given, (2, 3))
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)
    assert not found.requires_grad
    grad = torch.ones_like(want)
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic)
        try:
            found = BACKWARD.default.redispatch(cuda, grad, boxes, x.shape, 1.0, 0, True, True)
        finally:
            torch.use_deterministic_algorithms(False)
        torch.testing.assert_close(found, BACKWARD(grad, boxes, x.shape, 1.0, 0, True, True), rtol=0, atol=1e-12)
        direct = KERNELS.roi_align_rotated_backward(grad, boxes, x.shape, 1.0, 0, True, True, True)
        assert torch.equal(found, direct) or not deterministic
    with pytest.raises(ValueError, match="sampling_ratio: need at least 0, got -1"):
        FORWARD.default.redispatch(cuda, x, boxes, (2, 3), 1.0, -1)


def test_without_the_library_the_op_runs_in_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTX_NO_CUDA_EXT", "1")
    cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
    x, boxes = images(2, 3, 9, 8), rois(5)
    found = FORWARD.default.redispatch(cuda, x, boxes, (2, 3))
    torch.testing.assert_close(found, FORWARD(x, boxes, (2, 3)), rtol=0, atol=1e-12)
