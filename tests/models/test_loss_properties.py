"""The losses against formulas written another way, and what must hold for any input."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="rotx.models needs torch")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402
from torchvision import ops as vision  # noqa: E402

from rotx.models.losses.cross_entropy import CrossEntropyLoss  # noqa: E402
from rotx.models.losses.focal import FocalLoss, SmoothFocalLoss  # noqa: E402
from rotx.models.losses.gaussian import GDLoss, GDLoss_v1, KFLoss  # noqa: E402
from rotx.models.losses.gaussian_distances import (  # noqa: E402
    bhattacharyya,
    kl_divergence,
    rbox_to_gaussian,
    squared_wasserstein,
)
from rotx.models.losses.iou import GIoULoss, IoULoss, RotatedGIoULoss, RotatedIoULoss  # noqa: E402
from rotx.models.losses.reduce import Loss, weight_reduce_loss  # noqa: E402
from rotx.models.losses.smooth_l1 import L1Loss, SmoothL1Loss  # noqa: E402

GAUSSIAN = [
    *(GDLoss(kind, fun, tau, reduction="none")
      for kind in ("gwd", "kld", "jd", "kld_symmax", "kld_symmin") for fun in ("log1p", "sqrt", "none")
      for tau in (0.0, 1.0)),
    GDLoss("kld", sqrt=False, reduction="none"),
    GDLoss("gwd", normalize=False, reduction="none"),
    *(GDLoss_v1(kind, fun, 1.0, "none", reduction_form="standard")
      for kind in ("gwd", "kld", "bcd") for fun in ("log1p", "sqrt", "")),
]  # fmt: skip
KALMAN = [KFLoss(fun, "none") for fun in ("none", "ln", "exp")]
ROTATED = [RotatedIoULoss(mode=mode, reduction="none") for mode in ("linear", "square", "log")]
ROTATED.append(RotatedGIoULoss(reduction="none"))
OF_RBOXES = [*GAUSSIAN, *KALMAN, *ROTATED]


def name_of(loss: Loss) -> str:
    parts = [type(loss).__name__, *(str(getattr(loss, key, "")) for key in ("loss_type", "fun", "tau", "mode"))]
    return "-".join(part for part in parts if part)


def call(loss: Loss, pred: Tensor, target: Tensor, *others: object, **keywords: object) -> Tensor:
    """The loss; KFLoss gets the boxes as the decoded ones, and their centres as the encoded ones."""
    if isinstance(loss, KFLoss):
        keywords |= {"pred_decode": pred, "targets_decode": target}
    return loss(pred, target, *others, **keywords)


def rboxes(count: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    random = torch.rand(count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    low, high = torch.tensor([[40.0, 40, 20, 8, -1.5], [60, 60, 60, 18, 1.5]], dtype=torch.float64)
    return (low + (high - low) * random).to(dtype)


def around(boxes: Tensor) -> Tensor:
    """The hboxes of rboxes, if their angles were 0."""
    return torch.cat([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2], dim=1)


def hboxes(count: int, seed: int) -> Tensor:
    return around(rboxes(count, seed))


# Weights and averages


def test_weights_and_averages() -> None:
    loss, weight = torch.tensor([1.0, 2, 6]), torch.tensor([1.0, 0, 0.5])
    assert torch.equal(weight_reduce_loss(loss), torch.tensor(3.0))
    assert torch.equal(weight_reduce_loss(loss, weight, "none"), torch.tensor([1.0, 0, 3]))
    assert torch.equal(weight_reduce_loss(loss, weight, "sum"), torch.tensor(4.0))
    assert torch.equal(weight_reduce_loss(loss, weight), torch.tensor(4 / 3))
    assert torch.equal(weight_reduce_loss(loss, weight, "mean", 8), torch.tensor(0.5))
    assert torch.equal(weight_reduce_loss(loss, weight, "none", 8), torch.tensor([1.0, 0, 3]))
    # mmdet adds float32's epsilon, in which a factor of 0 divides.
    assert weight_reduce_loss(loss, weight, "mean", 0.0).item() == pytest.approx(4 / 2.0**-23)
    assert torch.equal(weight_reduce_loss(loss, weight, "mean", torch.tensor(8.0)), torch.tensor(0.5))
    with pytest.raises(ValueError, match=r"avg_factor: cannot be combined with reduction 'sum'"):
        weight_reduce_loss(loss, weight, "sum", 8)


def test_shapes_of_weights() -> None:
    pred, target = torch.arange(12.0).reshape(4, 3), torch.zeros(4, 3)
    rows, loss = torch.tensor([0.0, 1, 2, 3]), L1Loss("none")
    expected = pred * rows[:, None]
    assert torch.equal(loss(pred, target, rows), expected)
    assert torch.equal(loss(pred, target, rows[:, None]), expected)
    assert torch.equal(loss(pred, target, rows[:, None].expand(4, 3)), expected)
    assert torch.equal(loss(pred, target, rows.repeat_interleave(3)), expected)
    with pytest.raises(ValueError, match=r"weight: shape \(5,\) does not fit a loss of shape \(4, 3\)"):
        loss(pred, target, torch.ones(5))
    boxes = rboxes(4, 0), rboxes(4, 1)
    each = torch.rand(4, 5, dtype=torch.float64)
    torch.testing.assert_close(KL(*boxes, each), KL(*boxes, each.mean(dim=1)))


KL = GDLoss("kld", reduction="none")


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="reduction: need one of 'none', 'mean', 'sum', got 'avg'"):
        L1Loss("avg")
    with pytest.raises(ValueError, match=r"reduction_override: need one of .*, got 'avg'"):
        L1Loss()(torch.ones(2), torch.ones(2), reduction_override="avg")
    with pytest.raises(ValueError, match=r"pred and target: need equal shapes, got \(2, 1\) and \(2,\)"):
        SmoothL1Loss()(torch.ones(2, 1), torch.ones(2))
    with pytest.raises(ValueError, match="beta: need a positive number"):
        SmoothL1Loss(beta=0)
    with pytest.raises(ValueError, match=r"loss_type: need one of .*, got 'bcd'"):
        GDLoss("bcd")
    with pytest.raises(ValueError, match="mode: need one of 'linear', 'square', 'log', got 'ln'"):
        RotatedIoULoss(mode="ln")
    with pytest.raises(ValueError, match="use_sigmoid"):
        FocalLoss(use_sigmoid=False)
    with pytest.raises(ValueError, match="pred_decode and targets_decode"):
        KFLoss()(torch.ones(2, 5), torch.ones(2, 5))


# Classification


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (1.5, 0.6)])
def test_focal_loss(gamma: float, alpha: float) -> None:
    logits = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    labels = torch.arange(20) % 5  # 4 is the background
    one_hot = F.one_hot(labels, 5)[:, :4].double()
    expected = vision.sigmoid_focal_loss(logits, one_hot, alpha, gamma)
    loss = FocalLoss(gamma=gamma, alpha=alpha, reduction="none", loss_weight=3.0)
    torch.testing.assert_close(loss(logits, labels), 3 * expected)
    torch.testing.assert_close(loss(logits, one_hot), 3 * expected)
    activated = FocalLoss(gamma=gamma, alpha=alpha, reduction="none", activated=True)
    torch.testing.assert_close(activated(logits.sigmoid(), labels), expected)
    weight = torch.rand(20, dtype=torch.float64)
    torch.testing.assert_close(
        loss(logits, labels, weight, 7, "mean"), (3 * expected * weight[:, None]).sum() / 7, rtol=1e-7, atol=0
    )
    smooth = SmoothFocalLoss(gamma, alpha, "none")
    torch.testing.assert_close(smooth(logits, one_hot), expected)


def test_focal_loss_is_finite_for_sure_predictions() -> None:
    logits = torch.tensor([[1e4, -1e4], [-200.0, 200]], requires_grad=True)
    FocalLoss()(logits, torch.tensor([1, 2])).backward()
    assert logits.grad.isfinite().all()
    probabilities = torch.tensor([[1.0, 0], [0, 1]], requires_grad=True)
    FocalLoss(activated=True)(probabilities, torch.tensor([1, 2])).backward()
    assert probabilities.grad.isfinite().all()


def test_cross_entropy_by_softmax() -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 2, 9, 0])
    weights = torch.tensor([1.0, 0.5, 2])
    log_p = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    rows = torch.stack([-log_p[i, k].log() * weights[k] if k < 9 else torch.tensor(0.0) for i, k in enumerate(labels)])
    loss = CrossEntropyLoss(class_weight=[1.0, 0.5, 2], ignore_index=9)
    torch.testing.assert_close(loss(logits, labels, reduction_override="none"), rows)
    torch.testing.assert_close(loss(logits, labels), rows.sum() / 6)
    torch.testing.assert_close(loss(logits, labels, torch.full((6,), 0.5), 4), rows.sum() / 8)
    assert not loss.state_dict()


def test_cross_entropy_by_sigmoid() -> None:
    logits = torch.randn(5, 1, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 0, -1, -100])  # an RPN: 0 is an object, 1 the background
    p = logits.sigmoid()[:, 0]
    rows = torch.stack([-p[0].log(), -(1 - p[1]).log(), -p[2].log(), torch.tensor(0.0), torch.tensor(0.0)])
    loss = CrossEntropyLoss(use_sigmoid=True, reduction="none")
    torch.testing.assert_close(loss(logits, labels), rows[:, None])
    torch.testing.assert_close(loss(logits, labels, torch.arange(5.0)), (rows * torch.arange(5.0))[:, None])
    # Centerness: as many probabilities as scores.
    soft = torch.rand(5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(loss(logits[:, 0], soft), -(soft * p.log() + (1 - soft) * (1 - p).log()))
    positives = CrossEntropyLoss(use_sigmoid=True, reduction="none", class_weight=[3.0])
    torch.testing.assert_close(positives(logits, labels), (rows * torch.tensor([3.0, 1, 3, 1, 1]))[:, None])


# Boxes, number by number and by overlap


def test_cross_entropy_of_masks() -> None:
    torch.manual_seed(3)
    logits, masks = torch.randn(5, 4, 6), torch.rand(5, 4, 6) < 0.5
    right = torch.where(masks, logits, -logits).sigmoid()
    loss = CrossEntropyLoss(use_mask=True, loss_weight=2.0)(logits, masks.float())
    torch.testing.assert_close(loss, -2 * right.log().mean())
    with pytest.raises(ValueError, match="need equal shapes"):
        CrossEntropyLoss(use_mask=True)(logits, masks[:, :2].float())
    with pytest.raises(ValueError, match="use_mask: cannot be combined with"):
        CrossEntropyLoss(use_mask=True, use_sigmoid=True)


def test_l1_and_smooth_l1() -> None:
    pred, target = torch.tensor([[0.0, 0.05], [2, -1]]), torch.tensor([[0.0, 0], [0, 1]])
    assert torch.equal(L1Loss("none")(pred, target), torch.tensor([[0, 0.05], [2, 2]]))
    beta = 1 / 9
    expected = torch.tensor([[0, 0.05**2 / 2 / beta], [2 - beta / 2, 2 - beta / 2]])
    torch.testing.assert_close(SmoothL1Loss(beta, "none")(pred, target), expected)
    torch.testing.assert_close(SmoothL1Loss(0.3)(pred, target), F.smooth_l1_loss(pred, target, beta=0.3))


def test_iou_of_hboxes() -> None:
    a, b = hboxes(50, 0), hboxes(50, 1)
    overlap = vision.box_iou(a, b).diagonal() > 0.01
    a, b = a[overlap], b[overlap]
    iou = vision.box_iou(a, b).diagonal()
    assert len(iou) > 40
    torch.testing.assert_close(IoULoss(reduction="none")(a, b), -iou.log())
    torch.testing.assert_close(IoULoss(mode="square", reduction="none")(a, b), 1 - iou**2)
    for linear in (IoULoss(mode="linear", reduction="none"), IoULoss(linear=True, reduction="none")):
        torch.testing.assert_close(linear(a, b), 1 - iou)
    torch.testing.assert_close(GIoULoss(reduction="none")(a, b), vision.generalized_box_iou_loss(a, b))
    apart = b + 200
    torch.testing.assert_close(GIoULoss(reduction="none")(a, apart), vision.generalized_box_iou_loss(a, apart))
    assert IoULoss()(a, apart).item() == pytest.approx(-math.log(1e-6))


def test_hboxes_without_area() -> None:
    points = torch.tensor([[5.0, 5, 5, 5], [1, 1, 1, 9], [4, 4, 2, 2]])
    for loss in (IoULoss(), IoULoss(mode="linear"), GIoULoss()):
        for target in (points, hboxes(3, 0).float()):
            pred = points.clone().requires_grad_()
            value = loss(pred, target)
            value.backward()
            assert value.isfinite()
            assert pred.grad.isfinite().all()


def test_rotated_giou_is_giou_for_parallel_boxes() -> None:
    a, b = rboxes(30, 0), rboxes(30, 1)
    a[:, 4] = b[:, 4] = 0
    b[15:, :2] += 100
    corners = [
        torch.cat([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2], dim=1) for boxes in (a, b)
    ]
    expected = vision.generalized_box_iou_loss(*corners)
    torch.testing.assert_close(RotatedGIoULoss(reduction="none")(a, b), expected, rtol=1e-6, atol=1e-6)
    # The whole scene turned by 0.7 about the origin.
    cos, sin = math.cos(0.7), math.sin(0.7)
    turn = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
    a, b = (torch.cat([boxes[:, :2] @ turn, boxes[:, 2:4], boxes[:, 4:] + 0.7], dim=1) for boxes in (a, b))
    torch.testing.assert_close(RotatedGIoULoss(reduction="none")(a, b), expected, rtol=1e-6, atol=1e-6)


def test_rotated_giou_pulls_boxes_together() -> None:
    pred = torch.tensor([[0.0, 0, 20, 10, 0.3]], requires_grad=True)
    target = torch.tensor([[200.0, 100, 20, 10, 0.8]])
    value = RotatedGIoULoss()(pred, target)
    value.backward()
    assert 1 < value < 2
    assert pred.grad[0, :2] @ target[0, :2] < 0


# Gaussians


def test_distances_by_matrices() -> None:
    p, t = rboxes(60, 0), rboxes(60, 1)
    (mean_p, cov_p), (mean_t, cov_t) = rbox_to_gaussian(p), rbox_to_gaussian(t)
    delta = (mean_p - mean_t).unsqueeze(2)

    def quadratic(matrix: Tensor) -> Tensor:
        return (delta.transpose(1, 2) @ matrix.inverse() @ delta).flatten()

    def root(matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        return vectors @ torch.diag_embed(values.sqrt()) @ vectors.transpose(1, 2)

    def trace(matrix: Tensor) -> Tensor:
        return matrix.diagonal(dim1=1, dim2=2).sum(dim=1)

    coupled = root(root(cov_p) @ cov_t @ root(cov_p))
    for alpha in (1.0, 0.5):
        expected = delta.square().sum(dim=(1, 2)) + alpha**2 * trace(cov_p + cov_t - 2 * coupled)
        torch.testing.assert_close(squared_wasserstein(p, t, alpha), expected)
    normal = torch.distributions.MultivariateNormal
    expected = torch.distributions.kl_divergence(normal(mean_p, cov_p), normal(mean_t, cov_t))
    torch.testing.assert_close(kl_divergence(p, t), expected)
    torch.testing.assert_close(kl_divergence(p, t, 0.5), expected + 1.5 * quadratic(cov_t))
    middle = (cov_p + cov_t) / 2
    expected = quadratic(middle) / 8 + (middle.det() / (cov_p.det() * cov_t.det()).sqrt()).log() / 2
    torch.testing.assert_close(bhattacharyya(p, t), expected)
    kalman = cov_p - cov_p @ (cov_p + cov_t).inverse() @ cov_p
    areas = [4 * cov.det().sqrt() for cov in (cov_p, cov_t, kalman)]
    kfiou = areas[2] / (areas[0] + areas[1] - areas[2] + 1e-6)
    encoded = torch.zeros(60, 5, dtype=torch.float64)
    value = KFLoss(reduction="none")(encoded, encoded, pred_decode=p, targets_decode=t)
    torch.testing.assert_close(value, 1 - kfiou)


@pytest.mark.parametrize("loss", OF_RBOXES, ids=name_of)
def test_a_box_written_another_way(loss: Loss) -> None:
    p, t = rboxes(40, 0), rboxes(40, 1)
    expected = call(loss, p, t)
    half_turn = torch.tensor([0, 0, 0, 0, math.pi])
    for again in (p + half_turn, p - half_turn, p[:, [0, 1, 3, 2, 4]] + half_turn / 2):
        torch.testing.assert_close(call(loss, again, t), expected, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(call(loss, t, again), call(loss, t, p), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("loss", OF_RBOXES, ids=name_of)
def test_equal_boxes(loss: Loss) -> None:
    boxes = rboxes(40, 0, torch.float32)
    for again in (boxes, boxes[:, [0, 1, 3, 2, 4]] + torch.tensor([0, 0, 0, 0, math.pi / 2])):
        value = call(loss, again, boxes)
        if isinstance(loss, KFLoss):  # by the paper's design
            expected = {"none": 2 / 3, "ln": math.log(3), "exp": math.exp(2 / 3) - 1}[loss.fun]
            torch.testing.assert_close(value, torch.full((40,), expected), rtol=1e-5, atol=0)
        else:  # roots are taken of 1e-7 or 1e-6 at least
            assert value.abs().max() < (0.02 if getattr(loss, "fun", "") == "sqrt" else 1.1e-3)


def degenerate(dtype: torch.dtype) -> Tensor:
    """What heads have predicted, and worse."""
    return torch.tensor(
        [
            [50, 50, 0, 20, 0.3], [50, 50, 0, 0, 0], [50, 50, 12099, 1.4, -0.4], [50, 50, 1e-6, 1e-6, 0.1],
            [50, 50, 1e5, 1e5, 1.2], [1e5, -1e5, 1e-6, 30, 0], [0, 0, 1e5, 1e-6, 1.5], [50, 50, -3, 8, 0],
            [50, 50, 20, 10, 1e3], [1e5, 1e5, 20, 10, 0], [50, 50, 10, 10, 0.3], [50, 50, 1e-7, 1e7, 0.7],
        ],
        dtype=dtype,
    )  # fmt: skip


@pytest.mark.parametrize("loss", OF_RBOXES, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_boxes(loss: Loss, dtype: torch.dtype) -> None:
    boxes = degenerate(dtype)
    count = len(boxes)
    pairs = boxes.repeat(count, 1), boxes.repeat_interleave(count, dim=0)
    for pred, target in (pairs, (boxes, rboxes(count, 0, dtype)), (rboxes(count, 0, dtype), boxes)):
        pred, target = pred.clone().requires_grad_(), target.clone().requires_grad_()
        value = call(loss, pred, target)
        value.sum().backward()
        assert value.isfinite().all()
        assert pred.grad.isfinite().all()
        assert target.grad.isfinite().all()


def test_first_gaussian_losses_odd_reduction() -> None:
    p, t = rboxes(6, 0).requires_grad_(), rboxes(6, 1)
    weight = torch.tensor([0.0, 0.5, 2, 0, 1, 0], dtype=torch.float64)
    standard = GDLoss_v1("kld", reduction="none", loss_weight=2.0, reduction_form="standard")(p, t)
    odd = GDLoss_v1("kld", loss_weight=2.0)
    for weights in (weight, weight[:, None].expand(6, 5)):
        torch.testing.assert_close(odd(p, t, weights, 1000), standard[weight > 0][:, None])
    torch.testing.assert_close(odd(p, t), standard[:, None])
    assert GDLoss_v1("gwd")(p, t, weight).shape == (3,)
    nothing = odd(p, t, torch.zeros(6))
    assert nothing.item() == 0
    nothing.backward()
    assert torch.equal(p.grad, torch.zeros_like(p))
    mean = GDLoss_v1("kld", loss_weight=2.0, reduction_form="standard")
    torch.testing.assert_close(mean(p, t, weight, 10), (standard * weight).sum() / 10, rtol=1e-7, atol=0)


# What holds for every loss


def logits_and_labels(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(0)), torch.arange(count) % 5


def inputs(loss: Loss, count: int) -> tuple[Tensor, Tensor]:
    """float32 predictions and targets of the loss's kind."""
    if isinstance(loss, IoULoss | GIoULoss):
        return hboxes(count, 0).float(), hboxes(count, 1).float()
    if isinstance(loss, FocalLoss | CrossEntropyLoss):
        scores, labels = logits_and_labels(count)
        return scores, labels % 4
    if isinstance(loss, SmoothFocalLoss):
        return logits_and_labels(count)[0], logits_and_labels(count)[0].sigmoid() ** 2
    return rboxes(count, 0, torch.float32), rboxes(count, 1, torch.float32)


EVERY = [
    FocalLoss(), SmoothFocalLoss(), CrossEntropyLoss(), CrossEntropyLoss(use_sigmoid=True), L1Loss(), SmoothL1Loss(),
    *(IoULoss(mode=mode) for mode in ("linear", "square", "log")), GIoULoss(), *OF_RBOXES, GDLoss_v1("kld"),
]  # fmt: skip


@pytest.mark.parametrize("loss", EVERY, ids=name_of)
def test_gradients(loss: Loss) -> None:
    pred, target = inputs(loss, 5)
    pred = pred.double().requires_grad_()
    target = target.double() if target.is_floating_point() else target
    assert torch.autograd.gradcheck(lambda x: call(loss, x, target, reduction_override="none"), pred)


@pytest.mark.parametrize("loss", EVERY, ids=name_of)
@pytest.mark.parametrize("avg_factor", [None, 0.0, 3])
def test_no_rows(loss: Loss, avg_factor: float | None) -> None:
    pred, target = inputs(loss, 0)
    pred.requires_grad_()
    value = call(loss, pred, target, None, avg_factor, "mean")
    assert value.shape == ()
    assert value.item() == 0
    value.backward()
    assert pred.grad.shape == pred.shape
    weighted = call(loss, pred, target, torch.zeros(0), avg_factor, "mean")
    assert weighted.item() == 0


@pytest.mark.parametrize("loss", EVERY, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(loss: Loss, dtype: torch.dtype) -> None:
    pred, target = inputs(loss, 8)
    pred = pred.to(dtype).requires_grad_()
    target = target.to(dtype) if target.is_floating_point() else target
    with torch.autocast("cpu", dtype=dtype):
        value = call(loss, pred, target, torch.ones(8, dtype=dtype), 8, "mean")
    assert value.dtype == torch.float32
    wide = call(loss, pred.float(), target.float() if target.is_floating_point() else target, torch.ones(8), 8, "mean")
    torch.testing.assert_close(value, wide)
    value.sum().backward()
    assert pred.grad.isfinite().all()


@pytest.mark.parametrize("loss", EVERY, ids=name_of)
def test_inputs_are_left_alone(loss: Loss) -> None:
    pred, target = inputs(loss, 8)
    before = pred.clone(), target.clone()
    call(loss, pred, target, torch.ones(8))
    assert torch.equal(pred, before[0])
    assert torch.equal(target, before[1])
