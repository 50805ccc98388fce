"""Finds and loads the library of CUDA kernels, built from ``cuda/``, and declares its ops.

Its ops, ``torch.ops.rotx_cuda.*``, check little: the ops ``rotx::*`` check their arguments before they call them.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch

#: Path of the library in the package; ``make cuda`` writes it there, and the wheel contains it.
LIBRARY = Path(__file__).parents[1] / "_lib" / "rotx_cuda.so"
#: Oldest torch version that can load it.
_TORCH = (2, 11)
#: Lowest compute capability that the kernels support: Turing.
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
# Defined here even without the library, which registers its kernels when it is loaded.
_OPS: Any = torch.library.Library("rotx_cuda", "FRAGMENT")  # type: ignore[no-untyped-call]
for _schema in _SCHEMAS:
    _OPS.define(_schema)
    # The ops `rotx::*` handle gradients; results of these ops must not require grad.
    _OPS.impl(_schema.partition("(")[0], torch.library.fallthrough_kernel, "Autograd")


class NoKernelsError(RuntimeError, ImportError):
    """The library of CUDA kernels cannot be loaded; the command line reports this as a one-line message."""


def kernels() -> Any:
    """Returns the library's ops as attributes; the first call loads the library.

    Raises:
        NoKernelsError: If the library cannot be loaded; the message gives the reason and the fix.
    """
    if why := _load():
        raise NoKernelsError(
            f"rotx has no CUDA kernels here: {why}. Or set ROTX_NO_CUDA_EXT=1 to run the ops in plain torch, "
            "which is slower"
        )
    return torch.ops.rotx_cuda


# Not called at import: most processes never use a CUDA tensor, and CUDA must not be initialised before they fork.
@functools.cache
def _load() -> str:
    """Loads the library; returns "" or the reason why that fails and the fix."""
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
        why = error.__cause__ or error  # torch's own error contains only the path, not the loader's message
        return f"{why}: build them again with `make cuda`, or install the wheel for this machine by pip"
    return ""
