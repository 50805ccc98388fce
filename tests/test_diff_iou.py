"""diff_iou_rotated: the exact IoU, mmcv's gradients where those are right, and finite ones everywhere."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx import geometry  # noqa: E402
from rotx.ops import diff_iou_rotated  # noqa: E402

N = 20_000
X, Y, W, H, ANGLE = range(5)


def boxes(n: int, seed: int = 0) -> np.ndarray:
    """Sizes from 1 to 50 on 60 by 60 pixels, any angle."""
    rng = np.random.default_rng(seed)
    parts = [rng.uniform(0, 60, (n, 2)), np.exp(rng.uniform(0, 4, (n, 2))), rng.uniform(-4, 4, (n, 1))]
    return np.concatenate(parts, axis=1)


def whole(n: int, seed: int = 0) -> np.ndarray:
    """Boxes of whole numbers at angle 0: many common edges and corners."""
    return np.ceil(boxes(n, seed)) * [1, 1, 1, 1, 0]


def moved(a: np.ndarray, u: float, v: float) -> np.ndarray:
    """The boxes moved in their own frames by a part of their width and of their height."""
    cos, sin = np.cos(a[:, ANGLE]), np.sin(a[:, ANGLE])
    dx, dy = u * a[:, W], v * a[:, H]
    return np.column_stack([a[:, X] + dx * cos - dy * sin, a[:, Y] + dx * sin + dy * cos, a[:, W:]])


def turned(a: np.ndarray) -> np.ndarray:
    """The same boxes with width and height exchanged."""
    return a[:, [X, Y, H, W, ANGLE]] + [0, 0, 0, 0, math.pi / 2]


PAIRS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "random": lambda a: boxes(len(a), seed=1),
    "same": lambda a: a,
    "angle + pi": lambda a: np.add(a, [0, 0, 0, 0, math.pi]),
    "w and h exchanged": turned,
    "wider": lambda a: a * [1, 1, 1.1, 1, 1],
    "lower": lambda a: a * [1, 1, 1, 0.9, 1],
    "common edges": lambda a: moved(a, 0.5, 0),
    "touching edges": lambda a: moved(a, 1, 0),
    "touching corners": lambda a: moved(a, 1, -1),
    "a quarter turn": lambda a: np.add(a, [0, 0, 0, 0, math.pi / 2]),
    "moved by 1e-6": lambda a: a + 1e-6 * boxes(len(a), seed=1) / 60,
    "moved by 1e-12": lambda a: a + 1e-12 * boxes(len(a), seed=1) / 60,
    "moved by 1e-15": lambda a: a + 1e-15 * boxes(len(a), seed=1) / 60,
    "far away": lambda a: np.add(a, [1e5, 0, 0, 0, 0]),
    "no width": lambda a: a * [1, 1, 0, 1, 1],
    "no size": lambda a: a * [1, 1, 0, 0, 1],
    "negative": lambda a: a * [1, 1, -1, 1, 1],
    "tiny": lambda a: a * [1, 1, 1e-6, 1e-6, 1],
    "sliver": lambda a: a * [1, 1, 1e4, 1e-3, 1],
}


def value_and_gradients(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p, q = (torch.from_numpy(v.copy()).requires_grad_() for v in (a, b))
    iou = diff_iou_rotated(p, q)
    iou.sum().backward()
    return iou.detach().numpy(), p.grad.numpy(), q.grad.numpy()


@pytest.mark.parametrize("make", [boxes, whole], ids=["any", "whole numbers"])
@pytest.mark.parametrize("pair", PAIRS)
def test_value_is_exact_and_gradients_are_finite(pair: str, make: Callable[[int], np.ndarray]) -> None:
    a = make(N)
    b = whole(N, seed=1) if pair == "random" and make is whole else PAIRS[pair](a)
    for first, second in ((a, b), (b, a), (b, b)):
        iou, grad_a, grad_b = value_and_gradients(first, second)
        np.testing.assert_allclose(iou, geometry.box_iou_aligned(first, second), rtol=0, atol=1e-9)
        assert iou.min() >= 0 and iou.max() <= 1
        assert np.isfinite(grad_a).all() and np.isfinite(grad_b).all()


@pytest.mark.parametrize("pair", ["same", "angle + pi", "w and h exchanged"])
def test_one_box_in_two_spellings(pair: str) -> None:
    a = boxes(N)
    iou, grad_a, grad_b = value_and_gradients(a, PAIRS[pair](a))
    assert (iou == 1).all()
    assert not grad_a.any() and not grad_b.any()


@pytest.mark.parametrize("pair", ["wider", "lower", "common edges", "moved by 1e-6", "a quarter turn", "random"])
def test_gradients_lie_between_the_one_sided_derivatives(pair: str) -> None:
    a = boxes(N)
    b = PAIRS[pair](a)
    center = geometry.box_iou_aligned(a, b)
    for which, grad in enumerate(value_and_gradients(a, b)[1:]):
        for column in range(5):
            sides = []
            shortest = np.minimum(a[:, W:ANGLE], b[:, W:ANGLE]).min(axis=1)
            step = 1e-6 * shortest / (np.maximum(a, b)[:, W:ANGLE].max(axis=1) if column == ANGLE else 1)
            for sign in (-1, 1):
                pair_of = [a.copy(), b.copy()]
                pair_of[which][:, column] += sign * step
                sides.append(sign * (geometry.box_iou_aligned(*pair_of) - center))
            change = grad[:, column] * step
            assert (change > np.min(sides, axis=0) - 1e-11).all()
            assert (change < np.max(sides, axis=0) + 1e-11).all()


def test_mmcv() -> None:
    with np.load(GOLDENS / "ops/misc_ops.npz") as file:
        a, b, iou, grad_a, grad_b = (
            torch.from_numpy(file[f"diffiou/{k}"]) for k in ("A", "J", "iou", "grad_A", "grad_J")
        )
    a, b = a.requires_grad_(), b.requires_grad_()
    found = diff_iou_rotated(a, b)
    found.sum().backward()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, iou, rtol=0, atol=1e-5)
    torch.testing.assert_close(a.grad, grad_a, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(b.grad, grad_b, rtol=1e-4, atol=1e-5)


def test_gradcheck() -> None:
    a = boxes(40)
    p = torch.from_numpy(a)
    q = torch.from_numpy(a + np.random.default_rng(1).uniform(-0.2, 0.2, a.shape))
    strided = q.repeat_interleave(2, dim=1)[:, ::2]
    for b in (q, strided, torch.from_numpy(boxes(40, seed=2))):
        assert torch.autograd.gradcheck(diff_iou_rotated, (p.requires_grad_(), b.detach().requires_grad_()))


def test_a_side_without_length_is_drawn_out() -> None:
    a = torch.tensor([[10, 10, 0, 4, 0.0]], requires_grad=True)
    diff_iou_rotated(a, torch.tensor([[10, 10, 10, 10, 0.0]])).sum().backward()
    torch.testing.assert_close(a.grad, torch.tensor([[0, 0, 0.04, 0, 0]]))


def test_descent_finds_the_box() -> None:
    target = torch.tensor([[50, 40, 30, 12, 0.5]])
    found = torch.tensor([[46, 43, 20, 18, 0.2]], requires_grad=True)
    optimizer = torch.optim.Adam([found], lr=0.1)
    for step in range(600):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 600)
        optimizer.zero_grad()
        (1 - diff_iou_rotated(found * torch.tensor([1, 1, 1, 1, 0.1]), target)).sum().backward()
        optimizer.step()
    assert diff_iou_rotated(found * torch.tensor([1, 1, 1, 1, 0.1]), target).item() > 0.99


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_dtypes_are_float64_rounded_once(dtype: torch.dtype) -> None:
    a, b = (torch.from_numpy(v).to(dtype) for v in (boxes(200), boxes(200, seed=1)))
    with torch.autocast("cpu", torch.bfloat16):
        found = diff_iou_rotated(a, b)
    assert found.dtype == dtype
    assert torch.equal(found, diff_iou_rotated(a.double(), b.double()).to(dtype))
    assert (found > 0.01).sum() > 15


def test_empty_nan_and_nothing_written() -> None:
    empty = torch.zeros(0, 5, requires_grad=True)
    diff_iou_rotated(empty, empty).sum().backward()
    assert empty.grad.shape == (0, 5)
    for bad in (math.nan, math.inf):
        a = torch.where(torch.eye(5) > 0, bad, torch.ones(5, 5))
        assert diff_iou_rotated(a, torch.ones(5, 5)).isnan().all()
    a, b = (torch.from_numpy(boxes(9, seed=s)) for s in (1, 2))
    before = a.clone(), b.clone()
    diff_iou_rotated(a, b)
    assert torch.equal(a, before[0]) and torch.equal(b, before[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("pair", PAIRS)
def test_cuda(pair: str) -> None:
    a = torch.from_numpy(boxes(500))
    b = torch.from_numpy(PAIRS[pair](boxes(500)))
    p = a.cuda().requires_grad_()
    found = diff_iou_rotated(p, b.cuda())
    found.sum().backward()
    torch.testing.assert_close(found.cpu(), diff_iou_rotated(a, b), rtol=0, atol=1e-9)
    assert p.grad.isfinite().all()


def test_compile() -> None:
    compiled = torch.compile(diff_iou_rotated, fullgraph=True, backend="aot_eager", dynamic=True)
    for n in (7, 3, 12):
        a, b = torch.from_numpy(boxes(n)).requires_grad_(), torch.from_numpy(boxes(n, seed=1))
        found, expected = compiled(a, b), diff_iou_rotated(a, b)
        assert torch.equal(found, expected)
        assert torch.equal(*(torch.autograd.grad(v.sum(), a)[0] for v in (found, expected)))


@pytest.mark.parametrize(
    ("a", "b", "error", "text"),
    [
        (torch.ones(3, 4), torch.ones(3, 5), ValueError, r"a: need shape \(N, 5\), got \(3, 4\)"),
        (torch.ones(3, 5), torch.ones(5), ValueError, r"b: need shape \(N, 5\), got \(5,\)"),
        (torch.ones(3, 5), torch.ones(2, 5), ValueError, "a and b: need equal numbers of boxes, got 3 and 2"),
        (torch.ones(3, 5), torch.ones(3, 5).int(), TypeError, "b: need a floating dtype, got torch.int32"),
        (torch.ones(3, 5), torch.ones(3, 5).half(), TypeError, "a and b: need one dtype, got"),
        (torch.ones(3, 5), torch.ones(3, 5, device="meta"), ValueError, "a and b: need one device, got cpu and meta"),
    ],
)
def test_bad_arguments(a: torch.Tensor, b: torch.Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        diff_iou_rotated(a, b)
