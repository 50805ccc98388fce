"""torch operators for rotated boxes, quads and point sets: IoU, NMS, hulls and feature sampling.

A *rotated box* (rbox) is a row ``cx, cy, w, h, angle`` in pixels and radians, clockwise positive on the screen
(y down); a *quad* is a row ``x1, y1, ..., x4, y4``; a *point set* is a row ``x1, y1, ..., xk, yk``. All functions
accept float16, bfloat16, float32 and float64 as well as empty tensors, never modify their inputs, work under
``torch.compile`` and ignore autocast.

They are ops of torch's dispatcher, ``torch.ops.rotx.*``. On the CPU, Rust computes them. `box_iou_rotated`,
`box_iou_quadri`, `nms_rotated`, `batched_nms_rotated` and `roi_align_rotated` have CUDA kernels in a library that is
part of the wheel; ``make cuda`` builds it. With ``ROTX_NO_CUDA_EXT=1`` in the environment, these ops use plain torch
for CUDA tensors, which is slower; `nms_quadri`, `batched_nms_quadri` and `points_in_boxes` always do. Tensors on other
devices are copied to the CPU and the results back, with one warning per op. `diff_iou_rotated` and `feature_align` are
plain torch on any device.

`diff_iou_rotated` is differentiable, `roi_align_rotated` and `feature_align` with respect to the features, and
`convex_giou` and `convex_hull` with respect to the points. The results of the other ops do not require grad.

`rotx.geometry` has IoU and NMS for numpy arrays, without torch.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("rotx.ops needs torch: pip install 'rotx[train]'") from None

from rotx.ops.convex_iou import convex_giou, convex_iou
from rotx.ops.diff_iou import diff_iou_rotated
from rotx.ops.feature_align import feature_align
from rotx.ops.hulls import convex_hull, min_area_rect
from rotx.ops.iou import box_iou_quadri, box_iou_rotated
from rotx.ops.nms import batched_nms_quadri, batched_nms_rotated, nms_quadri, nms_rotated
from rotx.ops.points_in_boxes import points_in_boxes
from rotx.ops.roi_align import roi_align_rotated

__all__ = [
    "batched_nms_quadri",
    "batched_nms_rotated",
    "box_iou_quadri",
    "box_iou_rotated",
    "convex_giou",
    "convex_hull",
    "convex_iou",
    "diff_iou_rotated",
    "feature_align",
    "min_area_rect",
    "nms_quadri",
    "nms_rotated",
    "points_in_boxes",
    "roi_align_rotated",
]
