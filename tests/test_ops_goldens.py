"""rotx.ops against the numbers of mmcv 2.1.0 on the CPU, in float32: equal where mmcv is right.

Where mmcv is wrong, the tests say in which pairs and why, and compare with the truth: shapely in float64.
"""

import json
from functools import cache

import numpy as np
import pytest

from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx import geometry, ops  # noqa: E402

OPS = GOLDENS / "ops"

FLOAT32 = 2e-6  # mmcv computes in float32: up to 1.06e-6 off where it is right
MODES = ["iou", "iof"]


@cache
def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(OPS / f"{name}.npz") as file:
        return dict(file)


def golden(key: str, name: str = "box_iou_rotated", turn: int = 1) -> torch.Tensor:
    """The stored array; ``turn`` -1 negates the angles of rboxes: they turn the other way."""
    values = torch.from_numpy(arrays(name)[key].copy())
    if turn < 0:
        values[:, 4] = -values[:, 4]
    return values


def shapely_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of the simple quads of each row, (..., 8)."""
    shapely = pytest.importorskip("shapely", reason="the truth is computed by shapely")
    p, q = (shapely.polygons(quads.reshape(*quads.shape[:-1], 4, 2)) for quads in (a, b))
    common = shapely.area(shapely.intersection(p, q))
    return common / (shapely.area(p) + shapely.area(q) - common)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("key", "a", "b", "turn"),
    [
        ("pairwise", ("A", 500), ("B", 500), 1),
        ("pairwise_jitter", ("A", 60), ("J", 60), 1),
        ("pairwise_ccw", ("A", 60), ("B", 60), -1),  # clockwise=False
        ("rbbox_overlaps", ("A", 100), ("B", 120), 1),
        ("RBboxOverlaps2D", ("A", 100), ("B", 120), 1),
    ],
)
def test_iou_of_generic_pairs(key: str, a: tuple[str, int], b: tuple[str, int], turn: int, mode: str) -> None:
    first, second = golden(a[0], turn=turn)[: a[1]], golden(b[0], turn=turn)[: b[1]]
    expected = golden(f"{key}_{mode}")
    assert expected.count_nonzero() > 50
    torch.testing.assert_close(ops.box_iou_rotated(first, second, mode), expected, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("mode", MODES)
def test_iou_aligned(mode: str) -> None:
    a, b = golden("A"), golden("J")
    expected = golden(f"aligned_{mode}")
    torch.testing.assert_close(ops.box_iou_rotated(a, b, mode, aligned=True), expected, rtol=0, atol=FLOAT32)


def test_iou_aligned_equals_the_stored_float64_truth() -> None:
    iou = ops.box_iou_rotated(golden("A").double(), golden("J").double(), aligned=True)
    torch.testing.assert_close(iou, golden("aligned_iou_float64_shapely"), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("case", "wrong", "least"),
    [
        ("plus_pi", 456, 0.9999),
        ("swapped", 430, 0.9999),
        ("perturbed_1e-6", 55, 0.9995),
        ("same", 0, 1 - 1e-12),
    ],
)
def test_iou_of_nearly_equal_boxes(case: str, wrong: int, least: float) -> None:
    """One box in two encodings: mmcv is off by up to 1, since it tells inside from outside by the sign of
    float32 numbers that are all but 0 on common edges, and so loses corners of the intersection."""
    a, b = golden("NEAR").double(), golden(f"near_{case}_boxes").double()
    iou = ops.box_iou_rotated(a, b, aligned=True)
    truth = shapely_iou(geometry.rbox_to_quad(a), geometry.rbox_to_quad(b))
    torch.testing.assert_close(iou, torch.from_numpy(truth), rtol=0, atol=1e-12)
    assert iou.min() > least  # not 1: the second encoding was rounded to float32
    mmcv_off = (golden(f"near_{case}_mmcv") - iou).abs() > 1e-5
    assert mmcv_off.sum() == wrong


def test_iou_of_degenerate_boxes() -> None:
    boxes, mmcv = golden("DEG").double(), golden("degenerate_iou")
    iou = ops.box_iou_rotated(boxes, boxes)
    empty = (boxes[:, 2:4] <= 0).any(dim=1)
    assert empty.nonzero()[:, 0].tolist() == [13, 14, 24]
    for result in (iou, mmcv):
        assert result[empty].count_nonzero() == result[:, empty].count_nonzero() == 0
    truth = golden("degenerate_iou_float64_shapely")[~empty][:, ~empty]
    torch.testing.assert_close(iou[~empty][:, ~empty], truth, rtol=0, atol=1e-9)
    # mmcv is wrong for two boxes with collinear edges, one of them at -pi (5, 12), for a sliver with itself
    # (16, 16), and for a box of 1e-3 px with far ones (15, 19 to 21): float32 coordinates swallow its size.
    listed = json.loads((OPS / "box_iou_rotated.json").read_text())["degenerate_mmcv_wrong"]
    mmcv_off = ((mmcv - iou).abs() > 1e-4).nonzero().tolist()
    assert mmcv_off == [[i, j] for i, j, _, _ in listed]


def test_iof_of_degenerate_boxes() -> None:
    boxes, mmcv = golden("DEG").double(), golden("degenerate_iof")
    iof, iou = ops.box_iou_rotated(boxes, boxes, "iof"), golden("degenerate_iou_float64_shapely")
    areas = torch.from_numpy(geometry.area(boxes))
    # IoU = I / (a + b - I), so I = IoU (a + b) / (1 + IoU); NaN where a side is not positive.
    truth = iou * (areas[:, None] + areas) / (1 + iou) / areas[:, None]
    torch.testing.assert_close(iof, truth.nan_to_num(0), rtol=0, atol=1e-9)
    # As above, and the part of the sliver 16 (1e-4 by 20 px) in other boxes is off by up to half in float32.
    mmcv_off = ((mmcv - iof).abs() > 1e-4).nonzero().tolist()
    assert {(5, 12), (12, 5), (15, 19), (19, 15)} <= {tuple(pair) for pair in mmcv_off}
    assert {i for i, j in mmcv_off if [j, i] not in mmcv_off} == {15, 16}
    assert len(mmcv_off) == 25


def judged_as_rectangles(corners: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """mmcv's test for a point in a quad: its projections on two sides, which is right for rectangles only."""
    q = quads.reshape(-1, 4, 2)
    first, last, p = q[:, 1] - q[:, 0], q[:, 3] - q[:, 0], corners[:, None] - q[:, 0]
    u, v = (p * first).sum(-1), (p * last).sum(-1)
    return (u >= 0) & (v >= 0) & (u <= (first**2).sum(-1)) & (v <= (last**2).sum(-1))


def misjudged(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M): whether that test is wrong for any corner of ``a`` in ``b``."""
    corners = a.reshape(-1, 2)
    wrong = judged_as_rectangles(corners, b) != geometry.points_in_boxes(corners, b)
    return wrong.reshape(len(a), 4, len(b)).any(axis=1)


@pytest.mark.parametrize(("mode", "wrong"), [("iou", 22), ("iof", 23)])
def test_iou_of_quads(mode: str, wrong: int) -> None:
    a, b = golden("QA").double(), golden("QB").double()
    overlap, mmcv = ops.box_iou_quadri(a, b, mode), golden(f"box_iou_quadri_{mode}")
    mmcv_off = ((mmcv - overlap).abs() > 1e-5).numpy()
    assert mmcv_off.sum() == wrong
    # Every one of them holds a corner that mmcv takes to be inside and is not, or the other way round.
    assert not (mmcv_off & ~(misjudged(a.numpy(), b.numpy()) | misjudged(b.numpy(), a.numpy()).T)).any()
    aligned = ops.box_iou_quadri(a, b, mode, aligned=True)
    assert torch.equal(aligned, overlap.diagonal())
    right = ~mmcv_off.diagonal()
    expected = golden(f"box_iou_quadri_aligned_{mode}")
    np.testing.assert_allclose(aligned[right], expected[right], rtol=0, atol=1e-5)
    if mode == "iou":
        pairs = np.broadcast_arrays(a.numpy()[:, None], b.numpy()[None])
        np.testing.assert_allclose(overlap, shapely_iou(*pairs), rtol=0, atol=1e-12)


SCENES = pytest.mark.parametrize("scene", ["sparse", "dense"])
THRESHOLDS = pytest.mark.parametrize("threshold", [0.1, 0.5])


def nms_golden(key: str, turn: int = 1) -> torch.Tensor:
    return golden(key, "nms_rotated", turn)


@SCENES
@THRESHOLDS
def test_nms(scene: str, threshold: float) -> None:
    boxes, scores = nms_golden(f"{scene}/boxes"), nms_golden(f"{scene}/scores")
    keep = ops.nms_rotated(boxes, scores, threshold)
    assert torch.equal(keep, nms_golden(f"{scene}/keep_{threshold}"))
    # mmcv's nms_rotated ignores the labels it is given on the CPU: its list is that of a single class.
    assert torch.equal(keep, nms_golden(f"{scene}/cpu_keep_labels_arg_{threshold}"))
    turned = nms_golden(f"{scene}/boxes", turn=-1)  # clockwise=False
    assert torch.equal(ops.nms_rotated(turned, scores, threshold), nms_golden(f"{scene}/keep_ccw_{threshold}"))


@SCENES
@THRESHOLDS
def test_batched_nms(scene: str, threshold: float) -> None:
    boxes, scores = nms_golden(f"{scene}/boxes"), nms_golden(f"{scene}/scores")
    keep = ops.batched_nms_rotated(boxes, scores, nms_golden(f"{scene}/labels"), threshold)
    assert torch.equal(keep, nms_golden(f"{scene}/batched_keep_{threshold}"))
    assert torch.equal(keep, nms_golden(f"{scene}/perclass_keep_{threshold}"))
    dets = torch.cat([boxes, scores[:, None]], dim=1)[keep]
    assert torch.equal(dets, nms_golden(f"{scene}/batched_dets_{threshold}"))


@SCENES
@THRESHOLDS
def test_nms_of_quads(scene: str, threshold: float) -> None:
    boxes, scores = nms_golden(f"{scene}/boxes"), nms_golden(f"{scene}/scores")
    quads = torch.from_numpy(geometry.rbox_to_quad(boxes))
    expected = nms_golden(f"{scene}/quadri_keep_{threshold}")
    assert torch.equal(ops.nms_quadri(quads, scores, threshold), expected)
    np.testing.assert_array_equal(geometry.nms(quads, scores, threshold), expected)
    # Of rectangles, what is kept of each class is what is kept of them as rboxes.
    labels = nms_golden(f"{scene}/labels")
    keep = ops.batched_nms_quadri(quads, scores, labels, threshold)
    assert torch.equal(keep, nms_golden(f"{scene}/batched_keep_{threshold}"))


@THRESHOLDS
def test_multiclass_nms(threshold: float) -> None:
    """Each box once for every class whose score is above 0.3, suppressed within the class, best 200."""
    boxes, scores = nms_golden("multiclass/boxes"), nms_golden("multiclass/scores_with_bg")[:, :-1]
    box, label = (scores > 0.3).nonzero(as_tuple=True)
    keep = ops.batched_nms_rotated(boxes[box], scores[box, label], label, threshold)[:200]
    box, label = box[keep], label[keep]
    dets = torch.cat([boxes[box], scores[box, label][:, None]], dim=1)
    assert torch.equal(dets, nms_golden(f"multiclass/dets_{threshold}"))
    assert torch.equal(label, nms_golden(f"multiclass/labels_{threshold}"))
    assert torch.equal(box * scores.shape[1] + label, nms_golden(f"multiclass/inds_{threshold}"))


def points_golden(key: str) -> torch.Tensor:
    return golden(f"pts/{key}", "misc_ops")


def random_grad(seed: int, like: torch.Tensor) -> torch.Tensor:
    """The gradient from above that the goldens' gradients were made with."""
    numbers = np.random.Generator(np.random.PCG64(seed)).standard_normal(tuple(like.shape))
    return torch.from_numpy(numbers.astype(np.float32))


def test_convex_iou() -> None:
    found = ops.convex_iou(points_golden("points"), points_golden("polys"))
    torch.testing.assert_close(found, points_golden("convex_iou"), rtol=0, atol=FLOAT32)


def test_convex_giou() -> None:
    """mmcv returns the gradient of the sum whatever comes from above; ours of this sum is that."""
    quads = points_golden("polys")
    points = points_golden("points")[: len(quads)].requires_grad_()
    found = ops.convex_giou(points, quads)
    torch.testing.assert_close(found, points_golden("convex_giou"), rtol=0, atol=FLOAT32)
    found.sum().backward()
    torch.testing.assert_close(points.grad, points_golden("convex_giou_grad"), rtol=0, atol=1e-7)


def test_convex_giou_loss() -> None:
    """Of 40 point sets. mmcv's gradient without reduction is that of the mean: a 40th of what it should be."""
    points, quads = (golden(key, "losses") / 32 for key in ("points18", "qtarget"))
    points.requires_grad_()
    loss = 1 - ops.convex_giou(points, quads)
    torch.testing.assert_close(loss, golden("ConvexGIoULoss/none/out", "losses"), rtol=0, atol=FLOAT32)
    (grad,) = torch.autograd.grad(loss.sum(), points)
    torch.testing.assert_close(grad / 40, golden("ConvexGIoULoss/none/grad", "losses"), rtol=0, atol=1e-6)


def test_least_rectangles() -> None:
    """The corners are the same four; mmcv's start elsewhere."""
    found, expected = ops.min_area_rect(points_golden("points")), points_golden("min_area_polygons")
    apart = (found.view(-1, 4, 1, 2) - expected.view(-1, 1, 4, 2)).norm(dim=3)
    assert apart.amin(dim=1).max() < 1e-4  # pixels; float32
    assert apart.amin(dim=2).max() < 1e-4


def test_points_in_boxes() -> None:
    points, quads = points_golden("pip_points"), points_golden("polys")
    expected = points_golden("points_in_polygons").bool()
    assert torch.equal(ops.points_in_boxes(points, quads), expected)
    rboxes = torch.from_numpy(geometry.quad_to_rbox(quads)).float()  # the quads are rectangles
    assert torch.equal(ops.points_in_boxes(points, rboxes), expected)


@pytest.mark.parametrize(("points", "seed"), [(1, 84), (5, 88)])
def test_feature_align(points: int, seed: int) -> None:
    """mmcv's rotated_feature_align takes the first number of a box for y and the second for x."""
    features, boxes = golden("rfa/x", "misc_ops").requires_grad_(), golden("rfa/boxes", "misc_ops")
    swapped = boxes.flatten(1, 2)[..., [1, 0, 2, 3, 4]]
    found = ops.feature_align(features, swapped, 0.125, points)
    torch.testing.assert_close(found, golden(f"rfa/out{points}", "misc_ops"), rtol=0, atol=1e-5)
    found.backward(random_grad(seed, found))
    # Next to a pixel's edge float32 decides which four pixels are near; each of them hardly counts.
    torch.testing.assert_close(features.grad, golden(f"rfa/grad{points}", "misc_ops"), rtol=0, atol=3e-5)


def test_deformable_convolution() -> None:
    """torchvision's is what the models use: value and all gradients are mmcv's."""
    deform_conv2d = pytest.importorskip("torchvision").ops.deform_conv2d
    names = ("x", "offset", "weight")
    leaves = [golden(f"deform_conv/{name}", "misc_ops").requires_grad_() for name in names]
    found = deform_conv2d(*leaves, padding=1)
    torch.testing.assert_close(found, golden("deform_conv/out", "misc_ops"), rtol=1e-5, atol=1e-5)
    found.backward(random_grad(98, found))
    for name, leaf in zip(names, leaves, strict=True):
        torch.testing.assert_close(leaf.grad, golden(f"deform_conv/grad_{name}", "misc_ops"), rtol=1e-5, atol=1e-4)
