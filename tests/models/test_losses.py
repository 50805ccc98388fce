"""The losses against MMRotate's numbers: values and gradients, for every setting that is stored."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest

from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="rotx.models needs torch")

from torch import Tensor  # noqa: E402

from rotx import registry  # noqa: E402
from rotx.models.losses.gaussian_distances import rbox_to_gaussian  # noqa: E402

OPS = GOLDENS / "ops"

#: Row 0 holds the same box twice. There the Wasserstein distance of MMRotate is float32's rounding of 2 · 1573
#: − 2 · 1573, which it takes the root of; the test of row 0 is against the formula.
EQUAL_ROW = 0


@cache
def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(OPS / f"{name}.npz") as file:
        return dict(file)


def golden(key: str, name: str = "losses") -> Tensor:
    return torch.from_numpy(arrays(name)[key].copy())


@cache
def settings() -> dict[str, dict]:
    return json.loads((OPS / "losses.json").read_text())


def keys(kind: str) -> list[str]:
    return sorted(key.removesuffix("/out") for key in settings() if key.startswith(f"{kind}/") and key.endswith("out"))


def test_every_stored_loss_of_our_kinds_is_tested() -> None:
    ours = {"ConvexGIoULoss", "GDLoss", "GDLoss_v1", "KFLoss", "RotatedIoULoss", "SmoothFocalLoss"}
    later = {"BCConvexGIoULoss", "SpatialBorderLoss"}
    later |= {"H2RBoxConsistencyLoss", "H2RBoxV2ConsistencyLoss"}
    assert {key.split("/")[0] for key in settings()} == ours | later
    assert [len(keys(kind)) for kind in sorted(ours)] == [3, 152, 18, 3, 6, 2]


def close(actual: Tensor, expected: Tensor, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


def value_and_gradient(loss: torch.nn.Module, *others: Tensor, **keywords: object) -> tuple[Tensor, Tensor]:
    pred = golden("pred").requires_grad_()
    value = loss(pred, *others, **keywords)
    value.sum().backward()
    return value.detach(), pred.grad


@pytest.mark.parametrize("key", keys("GDLoss"))
def test_gaussian_distance_loss(key: str) -> None:
    meta = settings()[f"{key}/out"]
    loss = registry.build(meta["cfg"])
    weight = golden("weight") if meta.get("weighted") else None
    value, grad = value_and_gradient(loss, golden("target"), weight, meta.get("avg_factor"))
    expected, expected_grad = golden(f"{key}/out"), golden(f"{key}/grad")
    if loss.loss_type == "gwd":
        # What MMRotate made of row 0 stands in the result without reduction; the rest must be equal.
        mmrotate_row = rows_of_mmrotate(key)[EQUAL_ROW]
        row = registry.build({**meta["cfg"], "reduction": "none"})(golden("pred"), golden("target"))[EQUAL_ROW]
        if value.dim():
            expected[EQUAL_ROW] = row
        else:
            share = 1 / 40 if weight is None else weight[EQUAL_ROW] / meta["avg_factor"]
            expected = expected + (row - mmrotate_row) * share
        expected_grad[EQUAL_ROW] = grad[EQUAL_ROW]
        assert grad[EQUAL_ROW].abs().max() < 1e-4
    close(value, expected)
    close(grad, expected_grad)


def rows_of_mmrotate(key: str) -> Tensor:
    if key.endswith("normFalse"):
        return golden(f"{key}/out")
    return golden(key.replace("_mean_None", "_none_None").replace("_mean_w", "_none_None") + "/out")


@pytest.mark.parametrize("key", keys("GDLoss_v1"))
def test_first_gaussian_distance_loss(key: str) -> None:
    cfg = settings()[f"{key}/out"]["cfg"]
    loss = registry.build(cfg)
    value, grad = value_and_gradient(loss, golden("target"), torch.ones(40))
    expected, expected_grad = golden(f"{key}/out"), golden(f"{key}/grad")
    if cfg["loss_type"] == "gwd":
        expected[EQUAL_ROW], expected_grad[EQUAL_ROW] = value[EQUAL_ROW], grad[EQUAL_ROW]
        assert grad[EQUAL_ROW].abs().max() < 1e-4
    # MMRotate's determinants of long boxes (113 × 5 px) are rounded: so much is it off float64, and we are not.
    rtol = 6e-4 if cfg["loss_type"] == "bcd" else 1e-4
    close(value, expected, rtol)
    close(grad, expected_grad, rtol)
    pred = golden("pred").double().requires_grad_()
    exact = loss(pred, golden("target").double(), torch.ones(40))
    exact.sum().backward()
    close(value, exact.detach().float())
    close(grad, pred.grad.float())


@pytest.mark.parametrize("fun", ["log1p", "sqrt", "none"])
def test_distance_of_equal_boxes(fun: str) -> None:
    """What the golden of row 0 should be: the least value that roots are taken of, and no noise."""
    boxes = golden("target")
    for loss_type in ("gwd", "kld", "jd", "kld_symmax", "kld_symmin"):
        distance = torch.full((40,), 1e-7).sqrt()
        if loss_type == "gwd":
            distance /= 2 * (boxes[:, 2] * boxes[:, 3] / 4).sqrt()
        expected = {"log1p": distance.log1p(), "sqrt": distance.clamp(min=1e-7).sqrt(), "none": distance}[fun]
        loss = registry.build({"type": "GDLoss", "loss_type": loss_type, "fun": fun, "reduction": "none"})
        torch.testing.assert_close(loss(boxes, boxes), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("fun", ["none", "ln", "exp"])
def test_kfiou_loss(fun: str) -> None:
    def run(weight: Tensor | None = None, **cfg: object) -> tuple[Tensor, Tensor, Tensor]:
        pred, decoded = (golden("pred") / 50).requires_grad_(), golden("kf_pred_decode").requires_grad_()
        loss = registry.build({"type": "KFLoss", "fun": fun, **cfg})
        avg_factor = None if weight is None else settings()[f"KFLoss/{fun}/weighted"]["avg_factor"]
        target = golden("target")
        value = loss(pred, target / 50, weight, avg_factor, pred_decode=decoded, targets_decode=target)
        value.sum().backward()
        return value.detach(), pred.grad, decoded.grad

    value, grad, grad_decode = run(reduction="none")
    close(value, golden(f"KFLoss/{fun}/out"))
    close(grad, golden(f"KFLoss/{fun}/grad"))
    close(grad_decode, golden(f"KFLoss/{fun}/grad_decode"))
    weighted, _, _ = run(golden("weight"), loss_weight=settings()[f"KFLoss/{fun}/weighted"]["loss_weight"])
    close(weighted, golden(f"KFLoss/{fun}/weighted"))


@pytest.mark.parametrize("key", keys("RotatedIoULoss"))
def test_rotated_iou_loss(key: str) -> None:
    weighted = key.endswith("_w")
    loss = registry.build(settings()[f"{key}/out"]["cfg"])
    weight, avg_factor = (golden("weight"), 17) if weighted else (None, None)
    value, grad = value_and_gradient(loss, golden("target"), weight, avg_factor)
    # mmcv's IoU is off by up to 1e-6, which the logarithm magnifies where the IoU is 1e-3.
    rtol = 1e-3 if loss.mode == "log" else 1e-4
    close(value, golden(f"{key}/out"), rtol)
    # Row 0 is the same box twice, where the IoU has a kink: mmcv gives the slope of one side, ours is 0.
    assert not grad[0].any()
    close(grad[1:], golden(f"{key}/grad")[1:], rtol)


@pytest.mark.parametrize("key", keys("SmoothFocalLoss"))
def test_smooth_focal_loss(key: str) -> None:
    pred = golden("sf_pred").requires_grad_()
    # What the json leaves out: the mean was taken with these weights.
    weight, avg_factor = (golden("weight")[:30], 11) if key.endswith("mean") else (None, None)
    value = registry.build(settings()[f"{key}/out"]["cfg"])(pred, golden("sf_target"), weight, avg_factor)
    value.sum().backward()
    close(value.detach(), golden(f"{key}/out"))
    close(pred.grad, golden(f"{key}/grad"))


def test_gaussians_of_boxes() -> None:
    """MMRotate's gt2gaussian says that half a side is three standard deviations; for the losses it is one."""
    mean, covariance = rbox_to_gaussian(golden("rbox", "structures"))
    close(mean, golden("gt2gaussian/mean", "structures"))
    close(covariance, 9 * golden("gt2gaussian/sigma", "structures"), atol=1e-4)


@pytest.mark.parametrize("key", keys("ConvexGIoULoss"))
def test_convex_giou_loss(key: str) -> None:
    """Values are MMRotate's; so are gradients where those are derivatives (the goldens' README, error 4)."""
    meta = settings()[f"{key}/out"]
    loss = registry.build(meta["cfg"])
    pred, target = (golden("points18") / 32).requires_grad_(), golden("qtarget") / 32
    weight = golden("weight") if key.endswith("weighted") else None
    value = loss(pred, target, weight, avg_factor=17)
    close(value.detach(), golden(f"{key}/out"))
    (grad,) = torch.autograd.grad(value.sum(), pred)
    expected = golden(f"{key}/grad")
    if loss.reduction == "none":
        expected = expected * len(pred)  # divided by the number of rows whatever the reduction
    own = torch.autograd.grad(loss.elementwise(pred, target).sum(), pred)[0] * (
        1 if weight is None else weight[:, None]
    )
    derivatives = (own >= -1).all(dim=1)
    assert derivatives.sum() >= 30
    # MMRotate multiplies by loss_weight within its function, whose gradient ignores the one outside.
    close(grad[derivatives], expected[derivatives], rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_convex_giou_loss_heeds_what_comes_from_above() -> None:
    pred, target = (golden("points18") / 32).double().requires_grad_(), golden("qtarget").double() / 32
    loss = registry.build({"type": "ConvexGIoULoss", "loss_weight": 0.375})
    (one,) = torch.autograd.grad(loss(pred, target), pred)
    (thousand,) = torch.autograd.grad(1000 * loss(pred, target), pred)
    close(thousand, 1000 * one)
    assert torch.autograd.gradcheck(lambda x: loss(x, target[:6]), pred[:6].detach().requires_grad_(), eps=1e-5)


def test_convex_giou_loss_reduced_as_all_others() -> None:
    pred, target, weight = golden("points18") / 32, golden("qtarget") / 32, golden("weight")
    rows = registry.build({"type": "ConvexGIoULoss", "reduction": "none"})(pred, target)
    standard = registry.build({"type": "ConvexGIoULoss", "reduction_form": "standard"})
    close(standard(pred, target, weight, avg_factor=17), (rows * weight).sum() / 17)
    published = registry.build({"type": "ConvexGIoULoss"})
    close(published(pred, target, weight, avg_factor=17), (rows * weight).mean())
    empty = pred[:0].requires_grad_()
    for loss in (standard, published):
        value = loss(empty, target[:0], avg_factor=0)
        assert float(value.detach()) == 0 and value.requires_grad
    with pytest.raises(ValueError, match=r"reduction_form: need one of 'mmrotate', 'standard', got 'other'"):
        registry.build({"type": "ConvexGIoULoss", "reduction_form": "other"})
