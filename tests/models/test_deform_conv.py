"""The deformable convolution: mmcv's numbers, any precision, and offsets that are no numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conftest import GOLDENS
from rotx.models.layers import DeformConv2d


def layer(weight: Tensor) -> DeformConv2d:
    made = DeformConv2d(weight.shape[1], weight.shape[0], weight.shape[2])
    with torch.no_grad():
        made.weight.copy_(weight)
    return made.to(weight.dtype)


def test_as_mmcv() -> None:
    with np.load(GOLDENS / "ops/misc_ops.npz") as file:
        x, offset, weight, out = (
            torch.from_numpy(file[f"deform_conv/{name}"]) for name in ("x", "offset", "weight", "out")
        )
    torch.testing.assert_close(layer(weight)(x, offset), out, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_without_offsets_it_is_a_convolution(size: int) -> None:
    x, weight = torch.rand(2, 4, 9, 7), torch.rand(6, 4, size, size)
    found = layer(weight)(x, torch.zeros(2, 2 * size * size, 9, 7))
    torch.testing.assert_close(found, F.conv2d(x, weight, padding=size // 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    x, weight, offsets = torch.rand(1, 4, 9, 7).to(dtype), torch.rand(6, 4, 3, 3).to(dtype), torch.rand(1, 18, 9, 7)
    found = layer(weight)(x, offsets)
    assert found.dtype == dtype
    torch.testing.assert_close(found, layer(weight.float())(x.float(), offsets).to(dtype))


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf, 3e38])
def test_offsets_that_lead_nowhere(wrong: float) -> None:
    """torchvision's own crashes on NaN; a model that has diverged must not take its process with it."""
    x, offsets = torch.rand(1, 4, 9, 7), torch.zeros(1, 18, 9, 7)
    offsets[:, :, 2] = wrong
    offsets.requires_grad_()
    made = layer(torch.rand(6, 4, 3, 3))
    found = made(x, offsets)
    found.sum().backward()
    assert (found[:, :, 2] == 0).all() and (found[:, :, 3:] != 0).all()
    assert offsets.grad is not None and offsets.grad.isfinite().all() and made.weight.grad.isfinite().all()
