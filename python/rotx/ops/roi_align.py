"""RoIAlign of rotated boxes: ``rotx::roi_align_rotated`` and its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from rotx import _rust
from rotx.ops import _cuda, _library, _plain_roi_align


def roi_align_rotated(
    input: Tensor,
    rois: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    clockwise: bool = True,
) -> Tensor:
    """RoIAlign of rotated boxes: divides each box into bins and averages bilinear samples in each bin.

    This is RoIAlign (He et al. 2017) in the box's own frame (RRPN, Ma et al. 2018). At angle 0 it equals
    :func:`torchvision.ops.roi_align`. The numbers are those of MMCV's ``RoIAlignRotated``, whose default, however, is
    ``clockwise=False``; here angles are clockwise everywhere.

    Samples more than a pixel outside the image count as 0. A box with a non-finite number, or with a negative size if
    ``aligned``, has features 0. The computation is in float32, or in float64 if ``input`` is; sampling points are
    always in float64. On the CPU, the result and its gradient are bitwise equal for any number of threads. On the GPU,
    the last bits of the gradient differ between runs unless :func:`torch.use_deterministic_algorithms` is on, which
    takes longer and makes the whole gradient NaN if a number is not finite.

    Args:
        input: Feature maps (N, C, H, W); any floating dtype and memory format.
        rois: RoIs (K, 6) ``image, cx, cy, w, h, angle``: index in the batch, then an rbox in pixels of the original
            image and radians; any floating dtype, on the same device. They get no gradient.
        output_size: Number of rows and columns of bins, or one number for both.
        spatial_scale: Size of the feature map divided by that of the original image: 1 / stride.
        sampling_ratio: Number of samples per bin along each side; 0: one per pixel of the feature map, rounded up
            (a bin without length then has none). A box larger than the image costs no more than the image.
        aligned: Whether the centre of the first pixel is at 0.5, as it is for boxes. If not, it is at 0, and
            sides shorter than a pixel of the feature map count as one pixel.
        clockwise: Whether angles are clockwise on the screen.

    Returns:
        (K, C, rows, columns), with the dtype of ``input``; differentiable with respect to ``input``.

    Raises:
        TypeError: If a dtype is not floating-point.
        ValueError: If a shape is wrong, the devices differ, an image index is not in the batch, or an option is out of
            range. On the GPU, a box with a wrong image index gets features NaN instead: raising would have to wait for
            the GPU.
    """
    rows, columns = (output_size, output_size) if isinstance(output_size, int) else output_size
    options = (rows, columns), spatial_scale, sampling_ratio, aligned, clockwise
    return cast(Tensor, torch.ops.rotx.roi_align_rotated(input, rois, *options))


def _check(
    name: str, maps: Tensor, rois: Tensor, output_size: Sequence[int], spatial_scale: float, sampling_ratio: int
) -> None:
    _library.check_floating(name, maps)
    shape = "(N, C, H, W)" if name == "input" else "(K, C, rows, columns)"
    torch._check_value(maps.dim() == 4, lambda: f"{name}: need shape {shape}, got {tuple(maps.shape)}")
    _library.check_boxes("rois", rois, 6)
    _library.check_device("rois", rois, name, maps)
    torch._check_value(
        len(output_size) == 2 and min(output_size) > 0,
        lambda: f"output_size: need two numbers of bins, at least 1, got {tuple(output_size)}",
    )
    torch._check_value(
        0 < spatial_scale < math.inf, lambda: f"spatial_scale: need a positive number, got {spatial_scale}"
    )
    torch._check_value(sampling_ratio >= 0, lambda: f"sampling_ratio: need at least 0, got {sampling_ratio}")


def _check_grad(
    grad: Tensor, rois: Tensor, input_size: Sequence[int], spatial_scale: float, sampling_ratio: int
) -> None:
    _check("grad", grad, rois, grad.shape[2:], spatial_scale, sampling_ratio)
    torch._check_value(
        len(input_size) == 4 and grad.shape[0] == rois.shape[0] and grad.shape[1] == input_size[1],
        lambda: (
            f"grad: need a row for each of {rois.shape[0]} rois and the channels of {tuple(input_size)}, "
            f"got {tuple(grad.shape)}"
        ),
    )


def _forward_by(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns a kernel of the op that checks its arguments before the computation."""

    def kernel(
        input: Tensor,
        rois: Tensor,
        output_size: Sequence[int],
        spatial_scale: float = 1.0,
        sampling_ratio: int = 0,
        aligned: bool = True,
        clockwise: bool = True,
    ) -> Tensor:
        _check("input", input, rois, output_size, spatial_scale, sampling_ratio)
        return compute(input, rois, output_size, spatial_scale, sampling_ratio, aligned, clockwise)

    return kernel


def _backward_by(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def kernel(
        grad: Tensor,
        rois: Tensor,
        input_size: Sequence[int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool,
        clockwise: bool,
    ) -> Tensor:
        _check_grad(grad, rois, input_size, spatial_scale, sampling_ratio)
        return compute(grad, rois, input_size, spatial_scale, sampling_ratio, aligned, clockwise)

    return kernel


def _computed(values: Tensor) -> Tensor:
    """Converts values for the computation: contiguous, in float32 or float64."""
    dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
    return values.detach().to(dtype).contiguous()


def _cpu_forward(input: Tensor, rois: Tensor, output_size: Sequence[int], *options: Any) -> Tensor:
    values, (rows, columns) = _computed(input), output_size
    out = values.new_empty((rois.shape[0], input.shape[1], rows, columns))
    pooling: tuple[Any, ...] = ((rows, columns), *options, torch.get_num_threads(), out.numpy())
    _rust.roi_align_rotated(values.numpy(force=True), _library.to_numpy(rois.contiguous()), *pooling)
    return out.to(input.dtype)


def _cpu_backward(grad: Tensor, rois: Tensor, input_size: Sequence[int], *options: Any) -> Tensor:
    values, (rows, columns) = _computed(grad), grad.shape[2:]
    grad_input = values.new_empty(tuple(input_size))
    pooling: tuple[Any, ...] = ((rows, columns), *options, torch.get_num_threads(), grad_input.numpy())
    _rust.roi_align_rotated_backward(values.numpy(force=True), _library.to_numpy(rois.contiguous()), *pooling)
    return grad_input.to(grad.dtype)


def _cuda_forward(input: Tensor, rois: Tensor, output_size: Sequence[int], *options: Any) -> Tensor:
    return cast(Tensor, _cuda.kernels().roi_align_rotated(input, rois.double().contiguous(), output_size, *options))


def _cuda_backward(grad: Tensor, rois: Tensor, input_size: Sequence[int], *options: Any) -> Tensor:
    options = (*options, torch.are_deterministic_algorithms_enabled())
    boxes = rois.double().contiguous()
    return cast(Tensor, _cuda.kernels().roi_align_rotated_backward(grad, boxes, input_size, *options))


# Both ops are linear in their first argument, and each is the other's derivative.


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    maps, rois, _, *options = inputs
    ctx.save_for_backward(rois)
    ctx.shape, ctx.options = maps.shape, options


def _grad_of_forward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (rois,) = ctx.saved_tensors
    grad_input = torch.ops.rotx.roi_align_rotated_backward(grad, rois, ctx.shape, *ctx.options)
    return grad_input, None, None, None, None, None, None


def _grad_of_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (rois,) = ctx.saved_tensors
    grad_grad = torch.ops.rotx.roi_align_rotated(grad, rois, ctx.shape[2:], *ctx.options)
    return grad_grad, None, None, None, None, None, None


_library.define(
    "roi_align_rotated(Tensor input, Tensor rois, SymInt[] output_size, float spatial_scale=1.0, "
    "int sampling_ratio=0, bool aligned=True, bool clockwise=True) -> Tensor",
    cpu=_forward_by(_cpu_forward),
    fake=_forward_by(lambda input, rois, size, *_: input.new_empty((rois.shape[0], input.shape[1], *size))),
    cuda=_forward_by(_cuda_forward),
    plain=_forward_by(_plain_roi_align.roi_align_rotated),
    backward=_grad_of_forward,
    setup_context=_save,
)
_library.define(
    "roi_align_rotated_backward(Tensor grad, Tensor rois, SymInt[] input_size, float spatial_scale, "
    "int sampling_ratio, bool aligned, bool clockwise) -> Tensor",
    cpu=_backward_by(_cpu_backward),
    fake=_backward_by(lambda grad, rois, size, *_: grad.new_empty(tuple(size))),
    cuda=_backward_by(_cuda_backward),
    plain=_backward_by(_plain_roi_align.roi_align_rotated_backward),
    backward=_grad_of_backward,
    setup_context=_save,
)
