"""IoU of rotated boxes that losses can differentiate, in plain torch, so that it runs on any device."""

from __future__ import annotations

import torch
from torch import Tensor

#: A union smaller than this, in px², is taken to be this: what is divided by it stays finite.
_LEAST_UNION = 1e-30
#: An IoU nearer to 1 than this is 1.
_ROUNDING = 1e-12
#: A difference of coordinates nearer to 0 than this is none: the quotient could overflow.
_FLAT = 1e-100


def diff_iou_rotated(a: Tensor, b: Tensor) -> Tensor:
    """IoU of the rotated boxes of each row, differentiable with respect to both.

    Value and gradient are finite for all finite boxes: no corner is ever found to be inside or outside, so
    that common edges and corners are nothing special. One box however it is written has IoU 1 with itself and
    gradient 0; at the IoU's other kinks, where edges or corners touch, the gradient is of the size of those
    on either side. A size that is not positive counts as 0, and a box with one has IoU 0; at size 0 the gradient
    is that of a longer side. A number that is not finite gives NaN.

    By Green's theorem the intersection is a sum over the edges of ``a``, in the frame of ``b``, of
    ∫ clamp(y) dx with x and y limited to ``b``: the closed form that :func:`rotx.geometry.box_iou` uses too.
    Takes about 2 kB a pair while it is differentiated.

    Args:
        a: (N, 5) rboxes ``cx, cy, w, h, angle``, in pixels and radians, clockwise; any floating dtype.
        b: (N, 5) rboxes of the same dtype, on the same device.

    Returns:
        (N,) in [0, 1], with the dtype of the boxes; computed in float64.

    Raises:
        TypeError: for dtypes that differ or are not floating.
        ValueError: for another shape, differing devices, or another number of boxes.
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
    # Without torch._check: unlike the other functions here this one is traced by torch.compile.
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
        raise ValueError(f"a and b: need as many boxes, got {a.shape[0]} and {b.shape[0]}")


def _corners_in_frame(boxes: Tensor, sizes: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    """The corners of boxes (N, 5) in the frame of others: x and y, (N, 4), anticlockwise on the screen."""
    cx, cy = (boxes[:, :2] - frame[:, :2]).unbind(dim=1)
    cos, sin = frame[:, 4].cos(), frame[:, 4].sin()
    x, y = cx * cos + cy * sin, cy * cos - cx * sin
    turn = boxes[:, 4] - frame[:, 4]
    (w, h), cos, sin = (0.5 * sizes).unbind(dim=1), turn.cos(), turn.sin()
    u, v = torch.stack([-w, -w, w, w], dim=1), torch.stack([-h, h, h, -h], dim=1)
    cos, sin = cos[:, None], sin[:, None]
    return x[:, None] + u * cos - v * sin, y[:, None] + u * sin + v * cos


def _area_within(x: Tensor, y: Tensor, x_reach: Tensor, y_reach: Tensor) -> Tensor:
    """The area (N,) of anticlockwise polygons (N, E) within |x| ≤ x_reach and |y| ≤ y_reach, (N, 1) each."""
    dx, dy = x.roll(-1, dims=1) - x, y.roll(-1, dims=1) - y
    # On the way along the edge, from 0 to 1, the part from `begin` to `end` has x within reach.
    begin, end = _part_within(x, dx, x_reach)
    start, stop = x.new_zeros(()), x.new_ones(())
    begin, end = _between(begin, start, stop), _between(end, start, stop)
    # Of this, y is within reach from `enter` to `leave`, and limited before and after. The integrand has no
    # jump at either, so that they are constants to the derivative.
    with torch.no_grad():
        enter, leave = _part_within(y, dy, y_reach)
    enter, leave = _between(enter, begin, end), _between(leave, begin, end)
    low_to_high = torch.where(dy < 0, -1.0, 1.0)
    limited = low_to_high * y_reach * ((end - leave) - (enter - begin))
    inside = (leave - enter) * (y + 0.5 * (leave + enter) * dy)
    # With y down, the lower edges of an anticlockwise polygon run to the right.
    return ((limited + inside) * dx).sum(dim=1)


def _part_within(start: Tensor, step: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """From and to which t start + t·step lies within ± reach; an empty part outside [0, 1] if it never does."""
    flat = step.abs() < _FLAT
    step = torch.where(flat, _FLAT, step)
    reach = torch.where(step < 0, -reach, reach)
    return (-reach - start) / step, (reach - start) / step


def _between(t: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """``t`` limited to a range; where it is at an end of that, half the gradient passes."""
    return torch.minimum(torch.maximum(t, low), high)


def _at_least_0(values: Tensor) -> Tensor:
    """The values limited from below. At 0 the gradient passes; in ``clamp`` this depends on torch's version."""
    return torch.where(values < 0, 0, values)
