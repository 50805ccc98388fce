"""The mask head: its layers, its targets, its loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rotx.models needs torch")

from torch import Tensor  # noqa: E402

from rotx.models.heads.fcn_mask import FCNMaskHead  # noqa: E402
from rotx.models.losses.cross_entropy import CrossEntropyLoss  # noqa: E402
from rotx.records import Masks  # noqa: E402

SIZE = (60, 80)


def head_of(**settings: Any) -> FCNMaskHead:
    torch.manual_seed(0)
    loss = CrossEntropyLoss(use_mask=True)
    return FCNMaskHead(num_classes=3, num_convs=2, in_channels=8, conv_out_channels=4, loss_mask=loss, **settings)


def bitmaps_of(*polygons: list[float], size: tuple[int, int] = SIZE) -> Tensor:
    return torch.from_numpy(Masks([[np.array(polygon)] for polygon in polygons]).bitmaps(*size))


def test_layers() -> None:
    head = head_of()
    names = ["convs.0.conv", "convs.1.conv", "upsample", "conv_logits"]
    assert list(head.state_dict()) == [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    assert head(torch.rand(5, 8, 14, 10)).shape == (5, 3, 28, 20)
    assert head_of(class_agnostic=True)(torch.rand(5, 8, 7, 7)).shape == (5, 1, 14, 14)
    head.init_weights()
    assert float(head.conv_logits.weight.detach().std()) == pytest.approx((2 / 3) ** 0.5, rel=0.5)
    assert not head.conv_logits.bias.any()


def test_the_target_of_a_rectangle_is_the_part_of_it_in_the_roi() -> None:
    # Each covers whole pixels; cells are as large as pixels, or four of them.
    bitmaps = bitmaps_of([20, 10, 60, 10, 60, 40, 20, 40], [0, 0, 10, 0, 10, 10, 0, 10])
    rois = torch.tensor([[10.0, 5, 30, 25], [20, 10, 60, 50], [-7, -7, 20, 20], [70, 50, 90, 70]])
    found = head_of().targets(rois, torch.tensor([0, 0, 1, 1]), bitmaps, (20, 20))
    y, x = torch.meshgrid(torch.arange(20), torch.arange(20), indexing="ij")
    # RoIs end where the image does.
    wanted = [(x >= 10) & (y >= 5), y < 15, (x < 10) & (y < 10), torch.zeros(20, 20)]
    torch.testing.assert_close(found, torch.stack([mask.float() for mask in wanted]))


def test_targets_are_those_of_every_roi_by_itself() -> None:
    rng = np.random.default_rng(4)
    corners = rng.uniform(0, 50, (6, 2))
    polygons = [(corner + rng.uniform(0, 30, (5, 2))).flatten().tolist() for corner in corners]
    bitmaps = bitmaps_of(*polygons)
    start = torch.from_numpy(rng.uniform(-5, 40, (30, 2)))
    rois = torch.cat([start, start + torch.from_numpy(rng.uniform(3, 40, (30, 2)))], dim=1).float()
    gt_inds = torch.from_numpy(rng.integers(0, 6, 30))
    head = head_of()
    found = head.targets(rois, gt_inds, bitmaps, (28, 28))
    for roi, gt, mask in zip(rois, gt_inds, found, strict=True):
        alone = head.targets(roi[None], torch.tensor([0]), bitmaps[gt][None], (28, 28))
        torch.testing.assert_close(mask, alone[0])
        # A cell counts if half of it is covered: as many pixels as its share of the RoI, roughly.
        x1, y1, x2, y2 = (max(value, 0) for value in roi.tolist())
        covered = bitmaps[gt, round(y1) : round(y2), round(x1) : round(x2)].float().mean().nan_to_num(0)
        assert mask.mean() == pytest.approx(float(covered), abs=0.12)


def test_padding_matters_at_the_border_alone() -> None:
    bitmaps = bitmaps_of([20, 10, 79, 12, 70, 59, 20, 40])
    rois, gt_inds = torch.tensor([[18.0, 8, 80, 60], [40, 20, 78, 58]]), torch.tensor([0, 0])
    alone = head_of().targets(rois, gt_inds, bitmaps, (28, 28))
    padded = head_of().targets(rois, gt_inds, torch.nn.functional.pad(bitmaps, (0, 16, 0, 36)), (28, 28))
    assert (alone != padded).float().mean() < 0.01
    assert head_of().targets(rois[:0], gt_inds[:0], bitmaps, (28, 28)).shape == (0, 28, 28)


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_the_loss_is_that_of_the_own_class(class_agnostic: bool) -> None:
    head = head_of(class_agnostic=class_agnostic)
    logits = torch.randn(4, 1 if class_agnostic else 3, 14, 14, requires_grad=True)
    labels, targets = torch.tensor([2, 0, 1, 2]), torch.rand(4, 14, 14).round()
    own = torch.stack([logits[i, 0 if class_agnostic else int(label)] for i, label in enumerate(labels)])
    loss = head.loss(logits, targets, labels)
    expected = torch.nn.functional.binary_cross_entropy(own.sigmoid(), targets)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(head.decode(logits, labels), own.sigmoid())


def test_without_positive_rois_the_loss_is_0_and_has_a_gradient() -> None:
    head = head_of()
    loss = head.loss(head(torch.zeros(0, 8, 14, 14)), torch.zeros(0, 28, 28), torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss == 0
    assert all(value.grad is not None and not value.grad.any() for value in head.parameters())
