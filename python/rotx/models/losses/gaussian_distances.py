"""Distances between rotated boxes, taken as Gaussians.

A rotated box w × h is modelled as the normal distribution around its centre with standard deviation w / 2 along its
width and h / 2 along its height. Adding π to the angle, or exchanging w and h and adding π / 2, gives the same
Gaussian and therefore the same distance.

Every formula is derived in closed form from the half axes of the two boxes and the angle between them, mostly as a sum
of non-negative terms. MMRotate computes determinants, inverses and differences of matrices in float32 instead, which
gives NaN for w = 0 or for 12099 × 1.4 px, and errors of about 1e-2 px for equal boxes. Sizes are clamped to
[1e-7, 1e7] px, as in MMRotate, so that values and gradients are finite.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rotx.models.losses.reduce import check_same_shape


def rbox_to_gaussian(rboxes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the Gaussians of rotated boxes: means (N, 2) in pixels, covariances (N, 2, 2) in square pixels.

    Args:
        rboxes: Rboxes (N, 5) in pixels and radians; sizes are clamped to [1e-7, 1e7] px, as in MMRotate.
    """
    cos, sin = rboxes[:, 4].cos(), rboxes[:, 4].sin()
    turn = torch.stack([cos, -sin, sin, cos], dim=-1).reshape(-1, 2, 2)
    scaled = turn * _half_sizes(rboxes).unsqueeze(1)
    return rboxes[:, :2], scaled @ scaled.transpose(1, 2)


class Axes(NamedTuple):
    """Half axes (N,) of predictions and targets, and the squared cosine and sine of the angle between them."""

    long_p: Tensor
    short_p: Tensor
    long_t: Tensor
    short_t: Tensor
    cos2: Tensor
    sin2: Tensor

    def product(self) -> Tensor:
        """Product of the four half axes: the square root of the product of both determinants."""
        return self.long_p * self.short_p * self.long_t * self.short_t

    def determinant_of_sum(self) -> Tensor:
        """Determinant of the sum of both covariances."""
        a, b, c, d = (axis**2 for axis in self[:4])
        return (a + c) * (b + d) * self.cos2 + (a + d) * (b + c) * self.sin2


def _half_sizes(rboxes: Tensor) -> Tensor:
    return rboxes[:, 2:4].clamp(min=1e-7, max=1e7) / 2


def axes_of(pred: Tensor, target: Tensor) -> Axes:
    """Returns the axes of each pair of rboxes (N, 5)."""
    check_same_shape(pred, target)
    (w_p, h_p), (w_t, h_t) = _half_sizes(pred).unbind(dim=1), _half_sizes(target).unbind(dim=1)
    high_p, high_t = h_p > w_p, h_t > w_t
    turn = pred[:, 4] - target[:, 4]
    cos2, sin2 = turn.cos() ** 2, turn.sin() ** 2
    # The long axis of a box with h > w is turned by another 90°, which exchanges cosine and sine.
    across = high_p != high_t
    return Axes(
        torch.where(high_p, h_p, w_p),
        torch.where(high_p, w_p, h_p),
        torch.where(high_t, h_t, w_t),
        torch.where(high_t, w_t, h_t),
        torch.where(across, sin2, cos2),
        torch.where(across, cos2, sin2),
    )


def _offset(rboxes: Tensor, others: Tensor) -> Tensor:
    """Offsets (N, 2) from the centres of ``others`` to those of ``rboxes``, along the sides of ``rboxes``."""
    dx, dy = (rboxes[:, :2] - others[:, :2]).unbind(dim=1)
    cos, sin = rboxes[:, 4].cos(), rboxes[:, 4].sin()
    return torch.stack([dx * cos + dy * sin, dy * cos - dx * sin], dim=1)


def squared_wasserstein(pred: Tensor, target: Tensor, alpha: float = 1.0) -> Tensor:
    """Computes |m_p − m_t|² + alpha² tr(P + T − 2 (P^½ T P^½)^½), with the means m and the covariances P and T.

    For half axes a, b and c, d the trace is a² + b² + c² + d² − 2 r, where r² = (ac + bd)² cos² + (ad + bc)² sin².
    As r² = (ac + bd)² − (a² − b²)(c² − d²) sin², it equals the sum below, which has no cancellation.
    """
    a, b, c, d, cos2, sin2 = axes_of(pred, target)
    parallel = a * c + b * d
    root = (parallel**2 * cos2 + (a * d + b * c) ** 2 * sin2).sqrt()
    turned = 2 * sin2 * (a**2 - b**2) * (c**2 - d**2) / (parallel + root)
    shapes = (a - c) ** 2 + (b - d) ** 2 + turned
    return (pred[:, :2] - target[:, :2]).square().sum(dim=1) + alpha**2 * shapes


def kl_divergence(of: Tensor, to: Tensor, alpha: float = 1.0) -> Tensor:
    """Computes KL(of ‖ to) = ½ (δᵀ T⁻¹ δ / alpha² + tr(T⁻¹ O) − 2 + log(det T / det O)).

    O and T are the covariances of ``of`` and ``to``. For half axes a, b of ``of`` and c, d of ``to``, with
    u = 2 log(a/c) and v = 2 log(b/d), the terms after the first are
    (eᵘ − 1 − u) + (eᵛ − 1 − v) + sin² (a² − b²)(1/d² − 1/c²).
    """
    a, b, c, d, _, sin2 = axes_of(of, to)
    u, v = 2 * (a / c).log(), 2 * (b / d).log()
    shapes = u.expm1() - u + v.expm1() - v + sin2 * (a**2 - b**2) * (d**-2 - c**-2)
    centres = (_offset(to, of) / _half_sizes(to)).square().sum(dim=1)
    return (centres / alpha**2 + shapes) / 2


def bhattacharyya(pred: Tensor, target: Tensor) -> Tensor:
    """Computes the Bhattacharyya distance ⅛ δᵀ M⁻¹ δ + ½ log(det M / √(det P det T)), with M = (P + T) / 2."""
    axes = axes_of(pred, target)
    # The distance does not depend on the unit of length. With the unit in which det(P + T) is 1, its inverse, and the
    # inverse's square in the gradient, stay in the range of float32. The unit is a constant and has no gradient.
    unit = axes.determinant_of_sum().detach() ** 0.25
    a, b, c, d = (axis / unit for axis in axes[:4])
    axes = Axes(a, b, c, d, axes.cos2, axes.sin2)
    determinant = axes.determinant_of_sum()
    # The adjugate of a sum of 2×2 matrices is the sum of the adjugates; for one box it exchanges width and height.
    adjugate = sum(
        (_offset(boxes, other) / unit.unsqueeze(1) * _half_sizes(boxes).flip(1) / unit.unsqueeze(1)).square().sum(dim=1)
        for boxes, other in ((pred, target), (target, pred))
    )
    return adjugate / determinant / 4 + (determinant.log() - (4 * axes.product()).log()) / 2
