"""R3Det: which features its refining heads see, and losses that stay finite where MMRotate's do not."""

from __future__ import annotations

import pytest
import torch

import goldens
import recipe
from rotx.compat import load_config
from rotx.models import build_detector
from rotx.models.detectors import total_loss
from rotx.models.layers.feature_refinement import FRM


def passing(order: str) -> FRM:
    """A module whose convolutions, all together, change nothing."""
    module = FRM(feat_channels=2, strides=[8, 16], center_order=order)  # type: ignore[arg-type]
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.eye_(module.conv_1_1.weight.data[:, :, 0, 0])
    return module.double()


@pytest.mark.parametrize("order", ["xy", "yx"])
def test_features_of_the_centre(order: str) -> None:
    """On maps that hold x and y of their places, in pixels, the sample says where it was taken."""
    torch.manual_seed(0)
    maps, boxes = [], []
    for stride, (height, width) in ((8, (6, 9)), (16, (4, 5))):
        y, x = torch.meshgrid(torch.arange(height) * stride, torch.arange(width) * stride, indexing="ij")
        maps.append(torch.stack([x, y]).double()[None].repeat(2, 1, 1, 1))
        least = stride * (min(height, width) - 1)  # x and y exchanged lie on the map, too
        boxes.append(torch.rand((2, height * width, 5), dtype=torch.float64) * torch.tensor([least, least, 30, 9, 3]))
    for x, level, found in zip(maps, boxes, passing(order)(maps, boxes), strict=True):
        # The map itself, what the convolutions make of it, and the sample of that.
        sample = (found - 2 * x).flatten(2).transpose(1, 2)
        torch.testing.assert_close(sample, level[..., :2] if order == "xy" else level[..., [1, 0]])


def test_mmrotates_order_is_the_default() -> None:
    assert FRM(feat_channels=2, strides=[8]).center_order == "yx"
    with pytest.raises(ValueError, match="center_order: need 'yx' or 'xy', got 'x'"):
        FRM(feat_channels=2, strides=[8], center_order="x")  # type: ignore[arg-type]


@pytest.mark.slow
def test_kld_of_very_long_boxes_is_finite() -> None:
    """Here MMRotate's loss is not a number: a predicted box is so long that the determinant of its Gaussian cancels."""
    config = goldens.CONFIGS / "kld/r3det-tiny-oc_r50_fpn_kld_1x_dota.py"
    detector = recipe.load_into(build_detector(load_config(config)["model"]))
    case = goldens.Case("r3det-oc_r50_fpn_1x_dota")
    losses = detector(case.batch("batch2"), case.targets("batch2"))
    assert all(value.isfinite().all() for term in losses.values() for value in term)
    total_loss(losses).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None or p.grad.isfinite().all() for p in detector.parameters())
