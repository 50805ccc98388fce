"""Rotated operators for torch: overlap, non-maximum suppression and RoIAlign of rotated boxes.

A *rotated box* (rbox) is a row ``cx, cy, w, h, angle`` in pixels and radians, clockwise positive on the screen
(y down); a *quad* is a row ``x1, y1, ..., x4, y4``. All functions take float16, bfloat16, float32 and float64,
never modify their inputs, take empty ones, work under ``torch.compile`` and are not changed by autocast.

`box_iou_rotated`, `box_iou_quadri`, `nms_rotated`, `batched_nms_rotated` and `roi_align_rotated` are ops of torch's
dispatcher, ``torch.ops.rotx.*``, computed on the CPU in Rust, and for CUDA tensors by a library of kernels that the
wheel carries and ``make cuda`` builds. With ``ROTX_NO_CUDA_EXT=1`` in the environment CUDA tensors go through plain
torch, which is slower. Tensors of other devices are copied to the CPU and the result back, with one warning an op.
`roi_align_rotated` is differentiable with respect to the features; the results of the others do not require grad.
`diff_iou_rotated` is the IoU that losses differentiate, in plain torch on any device.

The overlaps and suppression on numpy arrays and without torch: `rotx.geometry`.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("rotx.ops needs torch: pip install 'rotx[train]'") from None

from rotx.ops.diff_iou import diff_iou_rotated
from rotx.ops.iou import box_iou_quadri, box_iou_rotated
from rotx.ops.nms import batched_nms_rotated, nms_rotated
from rotx.ops.roi_align import roi_align_rotated

__all__ = [
    "batched_nms_rotated",
    "box_iou_quadri",
    "box_iou_rotated",
    "diff_iou_rotated",
    "nms_rotated",
    "roi_align_rotated",
]
