"""Shared by all ops: registration with torch's dispatcher, and checks and conversions of arguments.

All kernels of an op, including the fake one, make the same checks, so that a call fails alike when run and traced.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rotx.geometry import Floats

_LIBRARY: Any = torch.library.Library("rotx", "FRAGMENT")  # type: ignore[no-untyped-call]
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def define(
    schema: str,
    cpu: Callable[..., Tensor],
    fake: Callable[..., Tensor],
    cuda: Callable[..., Tensor] | None = None,
    plain: Callable[..., Tensor] | None = None,
    backward: Callable[..., Any] | None = None,
    setup_context: Callable[..., None] | None = None,
) -> None:
    """Defines the op ``rotx::<schema>``.

    CUDA tensors go to the library's kernel, or to the op in plain torch if there is none or the environment has
    ``ROTX_NO_CUDA_EXT=1``. On a device without either, the op runs on the CPU and warns once per process.

    Args:
        schema: Name, arguments and result, as in ``"area(Tensor boxes) -> Tensor"``.
        cpu: Kernel for CPU tensors. torch may leave out arguments that equal the schema's default.
        fake: Kernel for tensors without data: makes the same checks and returns an empty result of the right shape.
        cuda: Kernel for CUDA tensors: makes the same checks and calls a kernel of :func:`rotx.ops._cuda.kernels`. None
            if the library has none.
        plain: Kernel in plain torch, for any device. None only if ``cuda`` is None, too.
        backward: Function from ``ctx`` and the gradient of the result to the gradients of all arguments, as in
            :func:`torch.library.register_autograd`. None: the result is not differentiable.
        setup_context: Function that saves in ``ctx`` what ``backward`` needs of ``inputs`` and ``output``.
    """
    name = schema.partition("(")[0]
    _LIBRARY.define(schema, tags=torch.Tag.pt2_compliant_tag)
    _LIBRARY.impl(name, cpu, "CPU")
    # For every device without a kernel of its own; a kernel registered later takes precedence.
    _LIBRARY.impl(name, _through_cpu(name, cpu), "CompositeExplicitAutograd")
    if plain is not None:
        _LIBRARY.impl(name, _on_cuda(cuda, plain), "CUDA")
    torch.library.register_fake(f"rotx::{name}", fake, lib=_LIBRARY)
    if backward is None:
        # By default, the result would require grad and the backward pass would fail.
        _LIBRARY.impl(name, torch.library.fallthrough_kernel, "Autograd")
    else:
        torch.library.register_autograd(f"rotx::{name}", backward, setup_context=setup_context, lib=_LIBRARY)


def _on_cuda(cuda: Callable[..., Tensor] | None, plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def kernel(*args: Any, **kwargs: Any) -> Tensor:
        run = plain if cuda is None or os.environ.get("ROTX_NO_CUDA_EXT") == "1" else cuda
        return run(*args, **kwargs)

    return kernel


def _through_cpu(name: str, cpu: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns the op ``name`` for tensors on other devices: copies them to the CPU and the result back."""
    warned = False

    def kernel(*args: Any, **kwargs: Any) -> Tensor:
        nonlocal warned
        tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
        devices = list(dict.fromkeys(t.device for t in tensors))
        if len(devices) > 1:
            raise ValueError(f"rotx.ops.{name}: need one device, got {' and '.join(map(str, devices))}")
        if any(t.layout != torch.strided for t in tensors):
            raise NotImplementedError(f"rotx.ops.{name}: got a sparse tensor: make it dense with .to_dense()")
        if not warned:
            warned = True
            warnings.warn(
                f"rotx.ops.{name}: got tensors on {devices[0]}; there is no kernel for that device, so the op runs on "
                "the CPU, which is slow",
                stacklevel=2,
            )

        def move(value: Any) -> Any:
            return value.cpu() if isinstance(value, Tensor) else value

        return cpu(*map(move, args), **{key: move(v) for key, v in kwargs.items()}).to(devices[0])

    return kernel


def check_boxes(name: str, boxes: Tensor, columns: int) -> None:
    """Raises unless ``boxes`` is a floating (N, ``columns``) tensor: TypeError or ValueError."""
    check_floating(name, boxes)
    message = _shape_message(name, boxes, f"(N, {columns})")
    torch._check_value(boxes.dim() == 2, message)
    torch._check_value(boxes.shape[1] == columns, message)


def check_points(name: str, points: Tensor) -> None:
    """Raises unless ``points`` is a floating (N, 2k) tensor with k ≥ 1: TypeError or ValueError."""
    check_floating(name, points)
    message = _shape_message(name, points, "(N, 2k)")
    torch._check_value(points.dim() == 2, message)
    torch._check_value(points.shape[1] > 0 and points.shape[1] % 2 == 0, message)


def check_per_box(name: str, values: Tensor, boxes: Tensor) -> None:
    """Raises ValueError unless ``values`` is (N,) for (N, ·) ``boxes`` and on their device."""
    torch._check_value(values.dim() == 1, _shape_message(name, values, "(N,)"))
    torch._check_value(
        values.shape[0] == boxes.shape[0],
        lambda: f"{name}: need one per box, got {values.shape[0]} for {boxes.shape[0]} boxes",
    )
    check_device(name, values, "boxes", boxes)


def check_floating(name: str, values: Tensor) -> None:
    """Raises TypeError unless the dtype is float16, bfloat16, float32 or float64."""
    torch._check_type(
        values.dtype in _FLOATS,
        lambda: f"{name}: need float16, bfloat16, float32 or float64, got {_dtype(values)}",
    )


def check_integer(name: str, values: Tensor) -> None:
    """Raises TypeError unless the dtype is an integer type; bool is not."""
    dtype = values.dtype
    integer = not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)
    torch._check_type(integer, lambda: f"{name}: need an integer dtype, got {_dtype(values)}")


def check_same_dtype(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    """Raises TypeError unless both dtypes are equal."""
    torch._check_type(
        a.dtype == b.dtype,
        lambda: f"{name_a} and {name_b}: need one dtype, got {_dtype(a)} and {_dtype(b)}",
    )


def check_device(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    """Raises ValueError unless both are on one device."""
    torch._check_value(
        a.device == b.device, lambda: f"{name_a} and {name_b}: need one device, got {a.device} and {b.device}"
    )


def to_numpy(values: Tensor) -> Floats:
    """Converts values to a float64 array without autograd history; copies only if necessary."""
    array: Floats = values.detach().to(torch.float64).numpy(force=True)
    return array


def _shape_message(name: str, values: Tensor, shape: str) -> Callable[[], str]:
    return lambda: f"{name}: need shape {shape}, got {tuple(values.shape)}"


def _dtype(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")
