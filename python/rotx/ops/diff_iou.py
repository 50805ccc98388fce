"""Differentiable IoU of rotated boxes, in plain torch for any device."""

from __future__ import annotations

import torch
from torch import Tensor

#: Lower bound of the union, in px², so that quotients stay finite.
_LEAST_UNION = 1e-30
#: IoUs closer to 1 than this are set to 1.
_ROUNDING = 1e-12
#: Differences of coordinates closer to 0 than this count as 0: the quotient could overflow.
_FLAT = 1e-100


def diff_iou_rotated(a: Tensor, b: Tensor) -> Tensor:
    """Computes the IoU of rotated boxes row by row, differentiable with respect to both.

    Value and gradient are finite for all finite boxes: corners are not classified as inside or outside, so shared
    edges and corners need no special treatment. A box has IoU 1 with itself in any representation, with gradient 0. At
    other kinks of the IoU, where edges or corners touch, the gradient has the magnitude of those on either side.
    Non-positive sizes count as 0 and give IoU 0; the gradient at size 0 is that of a positive size. Non-finite numbers
    give NaN.

    By Green's theorem, the intersection is the sum over the edges of ``a``, in the frame of ``b``, of ∫ clamp(y) dx
    with x and y clamped to ``b``: the closed form that :func:`rotx.geometry.box_iou` uses, too. Differentiation needs
    about 2 kB of memory per pair.

    Args:
        a: Rboxes (N, 5) ``cx, cy, w, h, angle``, in pixels and radians, clockwise; any floating dtype.
        b: Rboxes (N, 5) of the same dtype, on the same device.

    Returns:
        (N,) in [0, 1], with the dtype of the boxes; computed in float64.

    Raises:
        TypeError: If the dtypes differ or are not floating-point.
        ValueError: If a shape is wrong, or the devices or numbers of boxes differ.
    """
    _check(a, b)
    first, second = a.double(), b.double()
    size_a, size_b = _at_least_0(first[:, 2:4]), _at_least_0(second[:, 2:4])
    x, y = _corners_in_frame(first, size_a, second)
    common = _at_least_0(_area_within(x, y, 0.5 * size_b[:, :1], 0.5 * size_b[:, 1:]))
    union = size_a[:, 0] * size_a[:, 1] + size_b[:, 0] * size_b[:, 1] - common
    iou = common / union.clamp(min=_LEAST_UNION)
    return torch.where(iou > 1 - _ROUNDING, 1, iou).to(a.dtype)


def _check(a: Tensor, b: Tensor) -> None:
    # Does not use torch._check: unlike the other functions, this one is traced by torch.compile.
    for name, boxes in (("a", a), ("b", b)):
        if not boxes.is_floating_point():
            raise TypeError(f"{name}: need a floating dtype, got {boxes.dtype}")
        if boxes.dim() != 2 or boxes.shape[1] != 5:
            raise ValueError(f"{name}: need shape (N, 5), got {tuple(boxes.shape)}")
    if a.dtype != b.dtype:
        raise TypeError(f"a and b: need one dtype, got {a.dtype} and {b.dtype}")
    if a.device != b.device:
        raise ValueError(f"a and b: need one device, got {a.device} and {b.device}")
    if a.shape != b.shape:
        raise ValueError(f"a and b: need equal numbers of boxes, got {a.shape[0]} and {b.shape[0]}")


def _corners_in_frame(boxes: Tensor, sizes: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the corners of boxes (N, 5) in the frames of others: x and y, (N, 4), anticlockwise on the screen."""
    cx, cy = (boxes[:, :2] - frame[:, :2]).unbind(dim=1)
    cos, sin = frame[:, 4].cos(), frame[:, 4].sin()
    x, y = cx * cos + cy * sin, cy * cos - cx * sin
    turn = boxes[:, 4] - frame[:, 4]
    (w, h), cos, sin = (0.5 * sizes).unbind(dim=1), turn.cos(), turn.sin()
    u, v = torch.stack([-w, -w, w, w], dim=1), torch.stack([-h, h, h, -h], dim=1)
    cos, sin = cos[:, None], sin[:, None]
    return x[:, None] + u * cos - v * sin, y[:, None] + u * sin + v * cos


def _area_within(x: Tensor, y: Tensor, x_reach: Tensor, y_reach: Tensor) -> Tensor:
    """Returns the area (N,) of anticlockwise polygons (N, E) in |x| ≤ x_reach and |y| ≤ y_reach, (N, 1) each."""
    dx, dy = x.roll(-1, dims=1) - x, y.roll(-1, dims=1) - y
    # With the position along an edge from 0 to 1, x is within reach from `begin` to `end`.
    begin, end = _part_within(x, dx, x_reach)
    start, stop = x.new_zeros(()), x.new_ones(())
    begin, end = _between(begin, start, stop), _between(end, start, stop)
    # Within this part, y is within reach from `enter` to `leave`, and clamped before and after. The integrand is
    # continuous at both, so the derivative treats them as constants.
    with torch.no_grad():
        enter, leave = _part_within(y, dy, y_reach)
    enter, leave = _between(enter, begin, end), _between(leave, begin, end)
    low_to_high = torch.where(dy < 0, -1.0, 1.0)
    limited = low_to_high * y_reach * ((end - leave) - (enter - begin))
    inside = (leave - enter) * (y + 0.5 * (leave + enter) * dy)
    # As y points down, the lower edges of an anticlockwise polygon run to the right.
    return ((limited + inside) * dx).sum(dim=1)


def _part_within(start: Tensor, step: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the interval of t in which |start + t·step| ≤ reach; an empty one outside [0, 1] if there is none."""
    flat = step.abs() < _FLAT
    step = torch.where(flat, _FLAT, step)
    reach = torch.where(step < 0, -reach, reach)
    return (-reach - start) / step, (reach - start) / step


def _between(t: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Clamps ``t`` to a range; at its ends, half the gradient passes."""
    return torch.minimum(torch.maximum(t, low), high)


def _at_least_0(values: Tensor) -> Tensor:
    """Clamps values to at least 0. At 0 the gradient passes; with ``clamp`` this depends on torch's version."""
    return torch.where(values < 0, 0, values)
