"""Hulls of point sets and their overlap with quads: against shapely, by gradcheck, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx import geometry, ops  # noqa: E402

Tensor = torch.Tensor
Floats = NDArray[np.float64]
DTYPES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
KINDS = ["generic", "integers", "few points", "tiny", "far", "nested", "apart"]


def scene(kind: str, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Point sets and quads, n rows each, float64."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    k = 3 if kind == "few points" else 9
    points = rng.uniform(0, 60, (n, k, 2))
    rboxes = np.column_stack([rng.uniform(15, 45, (n, 2)), rng.uniform(5, 40, (n, 2)), rng.uniform(-4, 4, n)])
    quads = geometry.rbox_to_quad(rboxes).reshape(n, 4, 2)
    if kind == "integers":  # points and edges coincide
        points, quads = rng.integers(0, 5, (n, k, 2)), rng.integers(0, 5, (n, 4, 2))
    elif kind == "tiny":
        points, quads = points * 1e-5, quads * 1e-5
    elif kind == "far":
        points, quads = points + 1e5, quads + 1e5
    elif kind == "nested":
        points = 0.2 * (points - 30) + rboxes[:, None, :2]
    elif kind == "apart":
        points[..., 0] += 100
    return tuple(torch.from_numpy(values.astype(float).reshape(n, -1)) for values in (points, quads))


def hulls(points: Tensor) -> NDArray[np.object_]:
    return shapely.convex_hull(shapely.multipoints(points.double().numpy().reshape(len(points), -1, 2)))


def true_iou(points: Tensor, quads: Tensor) -> Floats:
    a, b = hulls(points), hulls(quads)
    common, union = shapely.area(shapely.intersection(a, b)), shapely.area(shapely.union(a, b))
    return np.divide(common, union, out=np.zeros(len(a)), where=union > 0)


def true_giou(points: Tensor, quads: Tensor) -> Floats:
    a, b = hulls(points), hulls(quads)
    whole, union = shapely.area(hulls(torch.cat([points, quads], dim=1))), shapely.area(shapely.union(a, b))
    return true_iou(points, quads) - (1 - np.divide(union, whole, out=np.ones(len(a)), where=whole > 0))


def area_of(polygons: Tensor) -> Tensor:
    x, y = polygons[:, 0::2], polygons[:, 1::2]
    return 0.5 * (x * y.roll(-1, dims=1) - y * x.roll(-1, dims=1)).sum(dim=1)


@pytest.mark.parametrize("kind", KINDS)
def test_iou_of_all_pairs_is_that_of_shapely(kind: str) -> None:
    points, quads = scene(kind, 80)
    quads = quads[:60]
    rows, columns = (v.flatten() for v in torch.meshgrid(torch.arange(80), torch.arange(60), indexing="ij"))
    want = true_iou(points[rows], quads[columns]).reshape(80, 60)
    assert (want > 0).any() == (kind != "apart")
    np.testing.assert_allclose(ops.convex_iou(points, quads), want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_share_of_all_pairs_is_that_of_shapely(kind: str) -> None:
    points, quads = scene(kind, 40)
    a, b = np.repeat(hulls(points), 40), np.tile(hulls(quads), 40)
    common, own = shapely.area(shapely.intersection(a, b)), shapely.area(a)
    want = np.divide(common, own, out=np.zeros(len(a)), where=own > 0).reshape(40, 40)
    np.testing.assert_allclose(ops.convex_iou(points, quads, "iof"), want, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="mode: need 'iou' or 'iof', got 'giou'"):
        ops.convex_iou(points, quads, "giou")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_giou_is_that_of_shapely(kind: str) -> None:
    points, quads = scene(kind, 500)
    giou = ops.convex_giou(points, quads)
    np.testing.assert_allclose(giou, true_giou(points, quads), rtol=0, atol=1e-9)
    assert ((giou >= -1) & (giou <= 1)).all()


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "integers"])  # those are full of kinks
def test_gradient_of_giou(kind: str) -> None:
    points, quads = scene(kind, 30, seed=1)
    # Differences need numbers of the size of 1; the scale is a property of its own, below.
    origin, scale = (1e5 if kind == "far" else 0), (1e-5 if kind == "tiny" else 1)
    points, quads = (points - origin) / scale, (quads - origin) / scale
    assert torch.autograd.gradcheck(
        lambda p: ops.convex_giou(scale * p + origin, scale * quads + origin),
        points.requires_grad_(),
        eps=1e-4,
        atol=1e-5,
    )


def test_gradient_of_giou_with_many_and_few_points() -> None:
    rng = np.random.default_rng(3)
    _, quads = scene("generic", 20)
    for k in (3, 4, 5, 25):
        points = torch.from_numpy(rng.uniform(0, 60, (20, 2 * k))).requires_grad_()
        assert torch.autograd.gradcheck(lambda p: ops.convex_giou(p, quads), points, eps=1e-5, atol=1e-6)


def test_gradient_respects_what_comes_from_above() -> None:
    """mmcv's convex_giou drops it: the gradient of 1000 times the loss is there that of the loss."""
    points, quads = scene("generic", 50)
    points.requires_grad_()
    weights = torch.linspace(-3, 1000, 50, dtype=torch.float64)
    (one,) = torch.autograd.grad(ops.convex_giou(points, quads).sum(), points)
    (weighted,) = torch.autograd.grad((weights * ops.convex_giou(points, quads)).sum(), points)
    torch.testing.assert_close(weighted, weights[:, None] * one, rtol=1e-12, atol=0)
    assert one.count_nonzero() > 300


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_follows_moves_and_scales(kind: str) -> None:
    """Euler: the GIoU does not change when all is moved, or scaled, together; so the points' part is the quads'."""
    points, quads = scene(kind, 200, seed=2)
    (grad,) = torch.autograd.grad(ops.convex_giou(points.requires_grad_(), quads).sum(), points)
    assert grad.isfinite().all()
    size = 1e-5 if kind == "tiny" else 1.0
    moved = (points.detach() + 7 * size).requires_grad_()
    (again,) = torch.autograd.grad(ops.convex_giou(moved, quads + 7 * size).sum(), moved)
    torch.testing.assert_close(again * size, grad * size, rtol=0, atol=1e-6)
    scaled = (points.detach() * 8).requires_grad_()  # a power of two changes no digit
    (again,) = torch.autograd.grad(ops.convex_giou(scaled, quads * 8).sum(), scaled)
    assert torch.equal(again * 8, grad)


def test_steps_along_the_gradient_reach_the_quad() -> None:
    points, quads = scene("generic", 20, seed=4)
    first = ops.convex_giou(points, quads)
    for _ in range(1000):
        points.requires_grad_()
        (grad,) = torch.autograd.grad(ops.convex_giou(points, quads).sum(), points)
        points = points.detach() + 0.5 * grad / grad.norm(dim=1, keepdim=True).clamp(min=1e-12)
    last = ops.convex_giou(points, quads)
    assert first.max() < 0.5
    assert (last > first + 0.1).all()
    assert last.median() > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_symmetry(kind: str) -> None:
    _, a = scene(kind, 60)
    _, b = scene(kind, 60, seed=5)
    assert torch.equal(ops.convex_iou(a, b), ops.convex_iou(b, a).T)
    torch.testing.assert_close(ops.convex_giou(a, b), ops.convex_giou(b, a), rtol=0, atol=1e-12)


def test_iou_equals_that_of_quads_and_of_rectangles() -> None:
    _, a = scene("generic", 70)
    _, b = scene("generic", 70, seed=6)
    torch.testing.assert_close(ops.convex_iou(a, b), ops.box_iou_quadri(a, b), rtol=0, atol=1e-12)
    itself = ops.convex_iou(a, a).diagonal()
    torch.testing.assert_close(itself, torch.ones_like(itself), rtol=0, atol=1e-12)


def test_order_and_turn_of_points_change_nothing() -> None:
    points, quads = scene("generic", 40)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    shuffled = points.reshape(40, 9, 2)[:, order].reshape(40, 18)
    turned = quads.reshape(40, 4, 2).flip(1).reshape(40, 8)
    torch.testing.assert_close(ops.convex_iou(shuffled, turned), ops.convex_iou(points, quads), rtol=0, atol=1e-12)
    torch.testing.assert_close(ops.convex_giou(shuffled, turned), ops.convex_giou(points, quads), rtol=0, atol=1e-12)


def test_odd_points_and_quads() -> None:
    square = torch.tensor([[0.0, 0, 4, 0, 4, 4, 0, 4]], dtype=torch.float64)
    arrow = torch.tensor([[0.0, 0, 4, 0, 1, 1, 0, 4]], dtype=torch.float64)  # its hull is half the square
    assert ops.convex_iou(square, arrow).item() == 0.5
    dot, line = torch.ones_like(square), torch.tensor([[0.0, 0, 1, 1, 2, 2, 3, 3]], dtype=torch.float64)
    assert ops.convex_iou(torch.cat([dot, line]), square).count_nonzero() == 0
    for points, giou in ((dot, 0.0), (line, 0.0), (square, 1.0)):
        leaf = points.clone().requires_grad_()
        value = ops.convex_giou(leaf, square)
        value.backward()
        assert value.item() == giou
        assert leaf.grad is not None and leaf.grad.isfinite().all()
        assert points is line or leaf.grad.count_nonzero() == 0
    assert ops.convex_giou(dot, dot).item() == 0
    bad = square.repeat(2, 1)
    bad[0, 3], bad[1, 0] = torch.nan, torch.inf
    assert ops.convex_iou(bad, square).count_nonzero() == 0
    bad.requires_grad_()
    value = ops.convex_giou(bad, square.repeat(2, 1))
    value.sum().backward()
    assert value.isnan().all() and bad.grad.isnan().all()


def test_giou_is_once_differentiable() -> None:
    points, quads = scene("generic", 3)
    value = ops.convex_giou(points.requires_grad_(), quads)
    (grad,) = torch.autograd.grad(value.sum(), points, create_graph=True)
    with pytest.raises(NotImplementedError, match="convex_giou: its gradient is not differentiable"):
        (grad * points).sum().backward()


@pytest.mark.parametrize("kind", KINDS)
def test_hull(kind: str) -> None:
    points, _ = scene(kind, 300)
    hull = ops.convex_hull(points)
    assert hull.shape == points.shape
    np.testing.assert_allclose(area_of(hull - hull[:, :2].repeat(1, hull.shape[1] // 2)), shapely.area(hulls(points)))
    for row, polygon, corners in zip(points, hull, map(shapely.get_coordinates, hulls(points)), strict=True):
        found = {tuple(p) for p in polygon.reshape(-1, 2).tolist()}
        assert found <= {tuple(p) for p in row.reshape(-1, 2).tolist()}
        assert found == {tuple(p) for p in corners.tolist()}
        assert polygon[:2].tolist() == min(map(list, found))


def test_gradient_of_the_hull() -> None:
    points, _ = scene("generic", 20)
    assert torch.autograd.gradcheck(lambda p: area_of(ops.convex_hull(p)), points.requires_grad_(), eps=1e-4, atol=1e-5)
    hull = ops.convex_hull(torch.tensor([[torch.nan, 0, 1, 1, torch.inf, 5, 2, 1, 1, 2]]))
    assert hull.tolist() == [[1, 1, 2, 1, 1, 2, 1, 2, 1, 2]]


@pytest.mark.parametrize("kind", KINDS)
def test_least_rectangle(kind: str) -> None:
    points, _ = scene(kind, 200)
    quads, origin = ops.min_area_rect(points), points[:, :2]
    points, quads = points - origin.repeat(1, points.shape[1] // 2), quads - origin.repeat(1, 4)
    polygons, size = shapely.polygons(quads.numpy().reshape(-1, 4, 2)), np.ptp(points.numpy(), axis=1).max()
    np.testing.assert_allclose(
        shapely.area(polygons),
        shapely.area(shapely.oriented_envelope(hulls(points))),
        rtol=1e-8,
        atol=1e-9 * size**2,
    )
    around = shapely.buffer(polygons, 1e-9 * size)
    assert shapely.covers(around, hulls(points)).all()
    assert (area_of(quads) >= -1e-9 * size**2).all()  # clockwise on the screen
    with np.errstate(invalid="ignore"):
        rows = [geometry.min_area_rect(row.reshape(-1, 2)) for row in points.numpy()]
    np.testing.assert_array_equal(geometry.points_to_rbox(points.numpy()), rows)
    assert ops.min_area_rect(torch.full((1, 6), torch.nan)).isnan().all()


@DTYPES
def test_float64_rounded_once(dtype: torch.dtype) -> None:
    points, quads = (values.to(dtype) for values in scene("generic", 30))
    exact = points.double(), quads.double()
    assert torch.equal(ops.convex_iou(points, quads), ops.convex_iou(*exact).to(dtype))
    assert torch.equal(ops.convex_giou(points, quads), ops.convex_giou(*exact).to(dtype))
    assert torch.equal(ops.min_area_rect(points), ops.min_area_rect(exact[0]).to(dtype))
    assert torch.equal(ops.convex_hull(points), ops.convex_hull(exact[0]).to(dtype))
    leaf, exact_leaf = points.clone().requires_grad_(), exact[0].clone().requires_grad_()
    (grad,) = torch.autograd.grad(ops.convex_giou(leaf, quads).sum(), leaf)
    (want,) = torch.autograd.grad(ops.convex_giou(exact_leaf, exact[1]).sum(), exact_leaf)
    assert torch.equal(grad, want.to(dtype))


def test_threads_and_strides_change_nothing() -> None:
    points, quads = scene("generic", 900)
    want = ops.convex_iou(points, quads)
    wide = [values.repeat_interleave(2, dim=1)[:, ::2] for values in (points, quads)]
    before, threads = points.clone(), torch.get_num_threads()
    for number in (1, 3):
        torch.set_num_threads(number)
        assert torch.equal(ops.convex_iou(*wide), want)
    torch.set_num_threads(threads)
    assert torch.equal(ops.convex_giou(*wide), ops.convex_giou(points, quads))
    assert torch.equal(ops.convex_hull(wide[0]), ops.convex_hull(points))
    assert torch.equal(points, before)
    assert ops.convex_iou(points[:0], quads).shape == (0, 900)
    assert ops.convex_iou(points, quads[:0]).shape == (900, 0)
    assert ops.convex_giou(points[:0], quads[:0]).shape == (0,)
    assert ops.convex_hull(points[:0]).shape == (0, 18)
    assert ops.min_area_rect(points[:0]).shape == (0, 8)


def test_compile() -> None:
    def loss(points: Tensor, quads: Tensor) -> Tensor:
        best = ops.convex_iou(points, quads).amax(dim=1)
        return (best * (1 - ops.convex_giou(2 * points, 2 * quads))).sum() + ops.convex_hull(points).mean()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager", dynamic=True)
    for n in (9, 4):
        points, quads = scene("generic", n)
        points.requires_grad_()
        want, found = loss(points, quads), compiled(points, quads)
        assert torch.equal(found, want)
        (grad,), (found_grad,) = torch.autograd.grad(want, points), torch.autograd.grad(found, points)
        torch.testing.assert_close(found_grad, grad)
