"""Rotated operators for torch: overlap and non-maximum suppression of boxes, on the CPU in Rust.

The functions here are ops of torch's dispatcher, ``torch.ops.rotx.*``: they work under ``torch.compile`` and
``torch.export``, with float16, bfloat16, float32 and float64, and always compute in float64. A *rotated box*
(rbox) is a row ``cx, cy, w, h, angle`` in pixels and radians, clockwise positive on the screen (y down); a
*quad* is a row ``x1, y1, ..., x4, y4``. Inputs are never modified, empty ones, (0, 5), are fine, results do
not require grad, and autocast changes nothing. The same on numpy arrays and without torch: `rotx.geometry`.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("rotx.ops needs torch: pip install 'rotx[train]'") from None

from rotx.ops.iou import box_iou_quadri, box_iou_rotated
from rotx.ops.nms import batched_nms_rotated, nms_rotated

__all__ = ["batched_nms_rotated", "box_iou_quadri", "box_iou_rotated", "nms_rotated"]
