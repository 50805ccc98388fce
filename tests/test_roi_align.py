"""roi_align_rotated against mmcv's numbers, a slow reference, torchvision at angle 0, and its own derivative."""

import json
import math
from functools import partial

import numpy as np
import pytest

import reference
from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx.ops import roi_align_rotated  # noqa: E402

BACKWARD = torch.ops.rotx.roi_align_rotated_backward


def images(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def rois(n: int, images: int = 2, side: float = 40, seed: int = 1) -> torch.Tensor:
    """Boxes of 2 to 30 px about an image of that side, some of them partly outside."""
    rng = np.random.default_rng(seed)
    parts = [rng.integers(0, images, (n, 1)), rng.uniform(-2, side + 2, (n, 2)), rng.uniform(2, 30, (n, 2))]
    return torch.from_numpy(np.concatenate([*parts, rng.uniform(-4, 4, (n, 1))], axis=1))


@pytest.mark.parametrize("case", range(8))
def test_mmcv(case: int) -> None:
    folder = GOLDENS / "ops"
    with np.load(folder / "roi_align_rotated.npz") as file:
        x, boxes, out, grad_x = (
            torch.from_numpy(file[k]) for k in ("x", "rois", f"case{case}/out", f"case{case}/grad_x")
        )
    o = json.loads((folder / "roi_align_rotated.json").read_text())[f"case{case}/out"]
    options = [o[k] for k in ("spatial_scale", "sampling_ratio", "aligned", "clockwise")]
    x.requires_grad_()
    found = roi_align_rotated(x, boxes, tuple(o["output_size"]), *options)
    # float32: mmcv computes the sampling points in it too, rotx in float64.
    torch.testing.assert_close(found, out, rtol=1e-5, atol=1e-5)
    grad = np.random.Generator(np.random.PCG64(44 + case)).standard_normal(out.shape).astype(np.float32)
    found.backward(torch.from_numpy(grad))
    torch.testing.assert_close(x.grad, grad_x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("clockwise", [True, False])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2])
def test_reference(sampling_ratio: int, aligned: bool, clockwise: bool) -> None:
    x, boxes = images(2, 3, 10, 13), rois(12)
    boxes[0, 3:5] = 0  # without size
    boxes[1, 1:3] = 1000  # far away
    boxes[2, 3:5] = torch.tensor([300.0, 200.0])  # larger than the image
    options = (2, 3), 0.3, sampling_ratio, aligned, clockwise
    expected = reference.roi_align_rotated(x.numpy(), boxes.numpy(), *options)
    assert np.count_nonzero(expected) > 100
    np.testing.assert_allclose(roi_align_rotated(x, boxes, *options), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_torchvision_at_angle_0(aligned: bool, sampling_ratio: int) -> None:
    torchvision = pytest.importorskip("torchvision")
    x, boxes = images(2, 40, 20, 24), rois(50)
    boxes[:, 5] = 0
    cx, cy, w, h = boxes[:, 1:5].T
    # Where a side is shorter than a pixel of the map, and counts as one, torchvision keeps the corner, not the centre.
    assert min(w.min(), h.min()) * 0.5 > 1
    hboxes = torch.stack([boxes[:, 0], cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], dim=1)
    expected = torchvision.ops.roi_align(x, hboxes, 7, 0.5, sampling_ratio or -1, aligned)
    found = roi_align_rotated(x, boxes, 7, 0.5, sampling_ratio, aligned)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_turned_image_gives_the_same_features() -> None:
    x, boxes = images(1, 3, 20, 24), rois(30, images=1, side=22)
    turned = boxes.clone()
    # A quarter turn clockwise: (x, y) goes to (20 - y, x), with the corner of the first pixel at 0.
    turned[:, 1], turned[:, 2], turned[:, 5] = 20 - boxes[:, 2], boxes[:, 1], boxes[:, 5] + math.pi / 2
    found = roi_align_rotated(x.rot90(-1, (2, 3)), turned, 5, sampling_ratio=2)
    torch.testing.assert_close(found, roi_align_rotated(x, boxes, 5, sampling_ratio=2), rtol=0, atol=1e-10)
    # Half a turn of the box alone turns its features.
    turned = boxes.clone()
    turned[:, 5] += math.pi
    found = roi_align_rotated(x, turned, 5).rot90(2, (2, 3))
    torch.testing.assert_close(found, roi_align_rotated(x, boxes, 5), rtol=0, atol=1e-10)


def test_clockwise_is_the_sign_of_the_angle_and_the_default() -> None:
    x, boxes = images(2, 3, 20, 24), rois(30)
    mirrored = boxes * torch.tensor([1, 1, 1, 1, 1, -1])
    assert torch.equal(roi_align_rotated(x, boxes, 3), roi_align_rotated(x, mirrored, 3, clockwise=False))
    assert not torch.equal(roi_align_rotated(x, boxes, 3), roi_align_rotated(x, mirrored, 3))


def test_gradcheck() -> None:
    boxes = rois(5, side=12)
    for sampling_ratio in (0, 2):
        f = partial(roi_align_rotated, rois=boxes, output_size=(2, 3), spatial_scale=0.5, sampling_ratio=sampling_ratio)
        x = images(2, 3, 6, 7).requires_grad_()
        assert torch.autograd.gradcheck(f, x)
        assert torch.autograd.gradgradcheck(f, x)
        last = images(2, 6, 7, 3).permute(0, 3, 1, 2).requires_grad_()  # channels last
        part = images(4, 3, 6, 14)[::2, :, :, ::2].requires_grad_()
        for x in (last, part):
            assert not x.is_contiguous()
            assert torch.autograd.gradcheck(f, x)


def test_strides_do_not_matter() -> None:
    x, boxes = images(2, 5, 20, 24), rois(9)
    expected = roi_align_rotated(x, boxes, 3)
    for same in (x.to(memory_format=torch.channels_last), x.mT.contiguous().mT):
        assert not same.is_contiguous()
        assert torch.equal(roi_align_rotated(same, boxes, 3), expected)
    assert torch.equal(roi_align_rotated(x, boxes.T.contiguous().T, 3), expected)
    assert torch.equal(roi_align_rotated(x, boxes.repeat_interleave(2, 1)[:, ::2], 3), expected)


@pytest.mark.parametrize("requires_grad", [False, True], ids=["plain", "requires_grad"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_opcheck(dtype: torch.dtype, requires_grad: bool) -> None:
    x = images(2, 3, 9, 8, dtype=dtype).requires_grad_(requires_grad)
    last = x.detach().to(memory_format=torch.channels_last).requires_grad_(requires_grad)
    for args in (
        (x, rois(5).to(dtype), [2, 3]),
        (x, rois(5).float(), [2, 3], 0.25, 2, False, False),
        (last, rois(4), [1, 1]),
        (x, rois(0), [2, 3]),
        (x[:0], rois(0), [2, 3]),
    ):
        torch.library.opcheck(torch.ops.rotx.roi_align_rotated.default, args)
    grad = images(5, 3, 2, 3, dtype=dtype).requires_grad_(requires_grad)
    for args in ((grad, rois(5), [2, 3, 9, 8]), (grad[:0], rois(0), [0, 3, 9, 8])):
        torch.library.opcheck(BACKWARD.default, (*args, 0.5, 0, True, True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_dtypes(dtype: torch.dtype) -> None:
    """Half precision is float32 rounded once; rois keep their own precision."""
    x, boxes = images(2, 3, 20, 24, dtype=dtype).requires_grad_(), rois(9)
    grad = images(9, 3, 2, 3, dtype=dtype)
    found = roi_align_rotated(x, boxes, (2, 3))
    found.backward(grad)
    single = x.detach().float().requires_grad_()
    expected = roi_align_rotated(single, boxes, (2, 3))
    expected.backward(grad.float())
    assert found.dtype == x.grad.dtype == dtype
    assert torch.equal(found, expected.to(dtype))
    assert torch.equal(x.grad, single.grad.to(dtype))
    exact = roi_align_rotated(x.detach().double(), boxes, (2, 3))
    torch.testing.assert_close(expected.double(), exact, rtol=0, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(roi_align_rotated(x, boxes, (2, 3)), found)


def test_empty() -> None:
    x = images(2, 3, 9, 8).requires_grad_()
    found = roi_align_rotated(x, rois(0), 4)
    assert found.shape == (0, 3, 4, 4)
    found.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))
    assert roi_align_rotated(images(0, 3, 9, 8), rois(0), 4).shape == (0, 3, 4, 4)
    assert roi_align_rotated(images(2, 0, 9, 8), rois(5), 4).shape == (5, 0, 4, 4)
    assert roi_align_rotated(images(2, 3, 0, 8), rois(5), 4).count_nonzero() == 0


def test_boxes_that_are_huge_empty_or_no_numbers() -> None:
    x = torch.ones(1, 2, 30, 40, requires_grad=True)
    boxes = torch.tensor([0, 20, 15, 8, 6, 0.3]).repeat(24, 1)
    for i, bad in enumerate((math.nan, math.inf, -math.inf)):
        for column in range(1, 6):
            boxes[5 * i + column - 1, column] = bad
    boxes[15, 3] = -8
    boxes[16, 1] = 3e38
    for i, size in enumerate((1e5, 1e9, 1e30)):
        boxes[17 + 2 * i, 3:5] = size
        boxes[18 + 2 * i, 3] = size
    found = roi_align_rotated(x, boxes, 1)
    found.sum().backward()
    assert found.isfinite().all() and x.grad.isfinite().all()
    assert found[:17].count_nonzero() == 0
    assert abs(found[23, 0, 0, 0].item() - 1) < 1e-6
    # A large box has the image's share of its area: more than all pixels, less than those with the margin of one.
    share = found[17, 0, 0, 0].item() * 1e10
    assert 30 * 40 < share < 32 * 42


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_threads_do_not_change_a_bit(dtype: torch.dtype) -> None:
    x, boxes = images(2, 70, 20, 24, dtype=dtype).requires_grad_(), rois(200)
    threads = torch.get_num_threads()
    results = []
    try:
        for n in (1, 2, 5):
            torch.set_num_threads(n)
            found = roi_align_rotated(x, boxes, 7)
            results.append((found, *torch.autograd.grad(found.square().sum(), x)))
    finally:
        torch.set_num_threads(threads)
    for found, grad in results[1:]:
        assert torch.equal(found, results[0][0])
        assert torch.equal(grad, results[0][1])


def test_compile() -> None:
    def step(x: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        return roi_align_rotated(2 * x, boxes, (3, 2), 0.5).square().sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    for n, height in ((7, 9), (3, 12), (0, 5)):
        x, boxes = images(2, 3, height, 8).requires_grad_(), rois(n)
        expected, found = step(x, boxes), compiled(x, boxes)
        assert torch.equal(found, expected)
        grads = [torch.autograd.grad(loss, x)[0] for loss in (found, expected)]
        assert torch.equal(*grads)


def test_rois_get_no_gradient() -> None:
    x, boxes = images(2, 3, 9, 8).requires_grad_(), rois(5).requires_grad_()
    roi_align_rotated(x, boxes, 2).sum().backward()
    assert x.grad is not None and boxes.grad is None
    assert not roi_align_rotated(x.detach(), rois(5), 2).requires_grad


@pytest.mark.parametrize("device", ["cpu", "meta"])  # meta runs the fake kernel
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"input": (3, 9, 8)}, ValueError, "input: need shape (N, C, H, W), got (3, 9, 8)"),
        ({"rois": (4, 5)}, ValueError, "rois: need shape (N, 6), got (4, 5)"),
        ({"dtype": torch.int64}, TypeError, "input: need float16, bfloat16, float32 or float64, got int64"),
        ({"output_size": (7, 0)}, ValueError, "output_size: need two numbers of bins, at least 1, got (7, 0)"),
        ({"spatial_scale": 0.0}, ValueError, "spatial_scale: need a positive number, got 0.0"),
        ({"spatial_scale": math.nan}, ValueError, "spatial_scale: need a positive number, got nan"),
        ({"sampling_ratio": -1}, ValueError, "sampling_ratio: need at least 0, got -1"),
    ],
)
def test_bad_arguments_fail_alike_run_and_traced(change, error, text, device) -> None:
    make, options = partial(torch.zeros, device=device), {"output_size": 7} | change
    x = make(options.pop("input", (2, 3, 9, 8)), dtype=options.pop("dtype", torch.float32))
    with pytest.raises(error) as raised:
        roi_align_rotated(x, make(options.pop("rois", (4, 6))), **options)
    assert text in str(raised.value)


@pytest.mark.parametrize("bad", [2, -1, 0.5, math.nan])
def test_an_image_index_outside_the_batch(bad: float) -> None:
    boxes = rois(4)
    boxes[3, 0] = bad
    with pytest.raises(ValueError, match=r"rois: row 3 has image index .*, need an integer from 0 to below 2"):
        roi_align_rotated(images(2, 3, 9, 8), boxes, 2)
    with pytest.raises(ValueError, match=r"rois: row 3 has image index .*, need an integer from 0 to below 2"):
        BACKWARD(images(4, 3, 2, 2), boxes, [2, 3, 9, 8], 1.0, 0, True, True)


def test_bad_gradients() -> None:
    for grad, size in ((images(4, 2, 2, 2), [2, 3, 9, 8]), (images(3, 3, 2, 2), [2, 3, 9, 8])):
        with pytest.raises(ValueError, match="grad: need a row for each of 4 rois and the channels of"):
            BACKWARD(grad, rois(4), size, 1.0, 0, True, True)
