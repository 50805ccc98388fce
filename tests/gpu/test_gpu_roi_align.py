"""RoIAlignRotated on the GPU: the features and gradients of the CPU op."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from conftest import GOLDENS
from test_cuda_roi_align import odd_rois, tolerance
from test_roi_align import images, rois

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx.ops import roi_align_rotated  # noqa: E402

pytestmark = pytest.mark.gpu
BACKWARD = torch.ops.rotx.roi_align_rotated_backward


@pytest.mark.parametrize("clockwise", [True, False])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 3])
def test_equal_to_the_cpu(sampling_ratio: int, aligned: bool, clockwise: bool, device: torch.device) -> None:
    x, boxes = images(2, 70, 10, 13), odd_rois()
    options = 0.3, sampling_ratio, aligned, clockwise
    want = roi_align_rotated(x, boxes, (2, 3), *options)
    found = roi_align_rotated(x.to(device), boxes.to(device), (2, 3), *options)
    torch.testing.assert_close(found.cpu(), want, rtol=0, atol=1e-12)
    grad = torch.randn_like(want)
    found = BACKWARD(grad.to(device), boxes.to(device), x.shape, *options)
    torch.testing.assert_close(found.cpu(), BACKWARD(grad, boxes, x.shape, *options), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("channels", [1, 33, 256])
def test_dtypes_and_layouts(dtype: torch.dtype, channels: int, device: torch.device) -> None:
    x, boxes, options = images(2, channels, 40, 48, dtype=dtype), rois(40), (0.5, 0, True, True)
    want = roi_align_rotated(x, boxes, (7, 7), *options)
    grad = images(40, channels, 7, 7, dtype=dtype)
    back = BACKWARD(grad, boxes, x.shape, *options)
    for layout in (torch.contiguous_format, torch.channels_last):
        leaf = x.detach().to(device).to(memory_format=layout).clone().requires_grad_()
        found = roi_align_rotated(leaf, boxes.to(device), (7, 7), *options)
        assert found.is_contiguous()
        torch.testing.assert_close(found.detach().cpu(), want, **tolerance(dtype))
        found.backward(grad.to(device).to(memory_format=layout))
        torch.testing.assert_close(leaf.grad.cpu(), back, **tolerance(dtype))


@pytest.mark.parametrize("case", range(8))
def test_goldens(case: int, device: torch.device) -> None:
    folder = GOLDENS / "ops"
    with np.load(folder / "roi_align_rotated.npz") as file:
        x, boxes, want = (torch.from_numpy(file[k]) for k in ("x", "rois", f"case{case}/out"))
    o = json.loads((folder / "roi_align_rotated.json").read_text())[f"case{case}/out"]
    options = [o[k] for k in ("spatial_scale", "sampling_ratio", "aligned", "clockwise")]
    found = roi_align_rotated(x.to(device), boxes.to(device), tuple(o["output_size"]), *options)
    torch.testing.assert_close(found.cpu(), want, rtol=1e-5, atol=1e-5)


def test_gradcheck(device: torch.device) -> None:
    boxes = rois(5, side=12).to(device)
    for x in (images(2, 3, 6, 7), images(2, 3, 6, 7).to(memory_format=torch.channels_last)):
        for deterministic in (False, True):
            torch.use_deterministic_algorithms(deterministic, warn_only=True)  # gradcheck itself may not be
            try:
                f = partial(roi_align_rotated, rois=boxes, output_size=(2, 3), spatial_scale=0.5)
                leaf = x.to(device).requires_grad_()
                assert torch.autograd.gradcheck(f, leaf, nondet_tol=0.0 if deterministic else 1e-10)
                assert torch.autograd.gradgradcheck(f, leaf, nondet_tol=0.0 if deterministic else 1e-10)
            finally:
                torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_deterministic(dtype: torch.dtype, device: torch.device) -> None:
    x, boxes, options = images(2, 64, 20, 24), rois(300, side=24).to(device), (1.0, 2, True, True)
    grad = images(300, 64, 7, 7, dtype=dtype)
    want = BACKWARD(grad, boxes.cpu(), x.shape, *options)
    torch.use_deterministic_algorithms(True)
    try:
        results = [BACKWARD(grad.to(device), boxes, x.shape, *options) for _ in range(5)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(result, results[0]) for result in results)
    # Many samples on each pixel: the float32 of the CPU is rounded more than the sums of integers.
    bound = {torch.float16: 2e-3, torch.float32: 1e-5, torch.float64: 1e-9}[dtype]
    torch.testing.assert_close(results[0].cpu(), want, rtol=bound, atol=bound * want.abs().max().item())


def test_an_image_outside_the_batch_gives_nan(gpu: torch.device) -> None:
    x, boxes = images(2, 3, 9, 8).to(gpu), rois(6)
    for i, bad in enumerate((2, -1, 0.5, math.nan)):
        boxes[i, 0] = bad
    found = roi_align_rotated(x, boxes.to(gpu), 2)
    assert found[:4].isnan().all()
    assert found[4:].isfinite().all()
    assert BACKWARD(torch.ones_like(found), boxes.to(gpu), x.shape, 1.0, 0, True, True).isfinite().all()


def test_boxes_that_are_huge(device: torch.device) -> None:
    x = torch.ones(1, 2, 30, 40, device=device)
    boxes = torch.tensor([0, 20, 15, 8, 6, 0.3], dtype=torch.float64).repeat(6, 1)
    for i, size in enumerate((1e4, 1e9, 1e30)):
        boxes[2 * i, 3:5] = size
        boxes[2 * i + 1, 3] = size
    want = roi_align_rotated(x.cpu(), boxes, (3, 2))
    torch.testing.assert_close(roi_align_rotated(x, boxes.to(device), (3, 2)).cpu(), want, rtol=1e-5, atol=1e-12)


def test_nothing(device: torch.device) -> None:
    for n, c, h, k in ((2, 3, 9, 0), (2, 0, 9, 5), (2, 3, 0, 5), (0, 3, 9, 0)):
        x, boxes = images(n, c, h, 8).to(device).requires_grad_(), rois(k).to(device)
        found = roi_align_rotated(x, boxes, 4)
        assert found.shape == (k, c, 4, 4)
        found.sum().backward()
        assert x.grad is not None
        assert found.count_nonzero() == x.grad.count_nonzero() == 0


def test_more_numbers_than_32_bits_count(memory: Callable[[float], None], gpu: torch.device) -> None:
    memory(24)
    x = torch.zeros(9, 256, 1024, 1024, dtype=torch.float16, device=gpu)
    x[-1] = torch.randn(256, 1024, 1024, device=gpu).half()
    assert x.numel() > 2**31
    boxes = rois(20, images=1, side=1024).to(gpu)
    alone = roi_align_rotated(x[-1:].contiguous(), boxes, 7)
    boxes[:, 0] = 8
    assert torch.equal(roi_align_rotated(x, boxes, 7), alone)
    del x
    grad = BACKWARD(alone, boxes, [9, 256, 1024, 1024], 1.0, 0, True, True)
    assert grad[:-1].count_nonzero() == 0
    boxes[:, 0] = 0
    want = BACKWARD(alone, boxes, [1, 256, 1024, 1024], 1.0, 0, True, True)
    torch.testing.assert_close(grad[-1:], want, rtol=1e-2, atol=1e-2)
