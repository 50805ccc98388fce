"""The library of CUDA kernels, built from ``cuda/``: how it is found and loaded, and what its ops are.

Its ops, ``torch.ops.rotx_cuda.*``, check little: the ops ``rotx::*`` call them for CUDA tensors after their checks.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch

#: Where ``make cuda`` puts the library and the wheel carries it.
LIBRARY = Path(__file__).parents[1] / "_lib" / "rotx_cuda.so"
#: The oldest torch that loads it.
_TORCH = (2, 11)
#: The oldest GPUs that they have code for: Turing.
_CAPABILITY = (7, 5)
_SCHEMAS = (
    "box_iou_rotated(Tensor a, Tensor b, bool iof, bool aligned) -> Tensor",
    "box_iou_quadri(Tensor a, Tensor b, bool iof, bool aligned) -> Tensor",
    "nms_rotated(Tensor boxes, Tensor scores, Tensor? labels, float iou_threshold) -> Tensor",
    "roi_align_rotated(Tensor input, Tensor rois, int[] output_size, float spatial_scale, int sampling_ratio, "
    "bool aligned, bool clockwise) -> Tensor",
    "roi_align_rotated_backward(Tensor grad, Tensor rois, int[] input_size, float spatial_scale, "
    "int sampling_ratio, bool aligned, bool clockwise, bool deterministic) -> Tensor",
)
# Defined here, without the library too: it registers its kernels whenever it is loaded.
_OPS: Any = torch.library.Library("rotx_cuda", "FRAGMENT")  # type: ignore[no-untyped-call]
for _schema in _SCHEMAS:
    _OPS.define(_schema)
    # Gradients are the concern of `rotx::*`: results of tensors that require one must not.
    _OPS.impl(_schema.partition("(")[0], torch.library.fallthrough_kernel, "Autograd")


class NoKernelsError(RuntimeError, ImportError):
    """The library cannot be loaded: a part of the installation is missing, which the commands say in one line."""


def kernels() -> Any:
    """The library's ops, by name. The first call loads it.

    Raises:
        NoKernelsError: if it cannot be loaded; says why, and what to do.
    """
    if why := _load():
        raise NoKernelsError(
            f"rotx has no CUDA kernels here: {why}. Or set ROTX_NO_CUDA_EXT=1: the ops then run in plain torch, "
            "on the GPU too, but slower"
        )
    return torch.ops.rotx_cuda


# Not at import: most processes never see a CUDA tensor, and CUDA must not be touched before they fork.
@functools.cache
def _load() -> str:
    """Loads the library, or tells why that fails and what to do about it."""
    if tuple(map(int, torch.__version__.split(".")[:2])) < _TORCH:
        return f"torch is {torch.__version__}, they need {_TORCH[0]}.{_TORCH[1]} or later: upgrade torch"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA: install one with it, see https://pytorch.org"
    newest = max(map(torch.cuda.get_device_capability, range(torch.cuda.device_count())), default=_CAPABILITY)
    if newest < _CAPABILITY:
        least, most = ("{}.{}".format(*number) for number in (_CAPABILITY, newest))
        return f"they need a GPU of compute capability {least} or later, here the newest has {most}"
    if not LIBRARY.is_file():
        return f"{LIBRARY} is not built: run `make cuda` in a clone of rotx, or install its wheel for Linux by pip"
    try:
        torch.ops.load_library(LIBRARY)  # type: ignore[no-untyped-call]
    except OSError as error:
        why = error.__cause__ or error  # torch's own error tells the path alone, not the loader's words
        return f"{why}: build them again with `make cuda`, or install the wheel for this machine by pip"
    return ""
