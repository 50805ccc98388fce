"""Keywords of MMDetection's and MMRotate's model classes that have no choice here.

Our classes do not take these keywords. A config may set them to the values that apply anyway: the only value that is
implemented, or any value if all give the same numbers.
"""

from __future__ import annotations

from rotx.compat.allowed import Allowed

_XAVIER = {"type": "Xavier", "layer": "Conv2d", "distribution": "uniform"}
_NORMAL = {"type": "Normal", "layer": "Conv2d", "std": 0.01}
_PLAIN_CONV: dict[str, Allowed] = {"conv_cfg": (None, {"type": "Conv2d"})}


def _normal(*names: str) -> dict[str, Allowed]:
    """Initial weights of a dense head whose layers ``names`` start with a class probability of 0.01."""
    layers = [{"type": "Normal", "name": name, "std": 0.01, "bias_prob": 0.01} for name in names]
    overrides = [{**_NORMAL, "override": layer} for layer in layers] + ([{**_NORMAL, "override": layers}])
    return {"init_cfg": (_NORMAL, *overrides)}


_DETECTOR: dict[str, Allowed] = {"pretrained": (None,)}
_BOX_CODER: dict[str, Allowed] = {"use_box_type": (bool,)}
_ANCHORS: dict[str, Allowed] = {"use_box_type": (bool,)}
_OVERLAPS: dict[str, Allowed] = {"scale": (1.0,), "dtype": (None,)}
_NMS: dict[str, Allowed] = {"class_agnostic": (False,), "split_thr": (int,), "max_num": (-1,)}
_ROI_HEAD: dict[str, Allowed] = {
    "shared_head": (None,),
    "init_cfg": (None,),
}
_ROI_ALIGN: dict[str, Allowed] = {"pool_mode": ("avg",), "use_torchvision": (bool,)}
_RETINA: dict[str, Allowed] = {**_PLAIN_CONV, "norm_cfg": (None,), **_normal("retina_cls")}
_RPN: dict[str, Allowed] = {
    "num_classes": (1,),
    "num_convs": (1,),
    "reg_decoded_bbox": (False,),
    "init_cfg": (_NORMAL,),
}
_BBOX_HEAD: dict[str, Allowed] = {
    **_PLAIN_CONV,
    "norm_cfg": (None,),
    "with_avg_pool": (False,),
    "with_cls": (True,),
    "with_reg": (True,),
    "predict_box_type": ("rbox",),
    "reg_decoded_bbox": (False,),
    "reg_predictor_cfg": ({"type": "Linear"},),
    "cls_predictor_cfg": ({"type": "Linear"},),
}
_BATCH_NORM: dict[str, Allowed] = {"affine": (True,), "track_running_stats": (True,)}

#: Class → keyword → allowed values.
MODELS: dict[str, dict[str, Allowed]] = {
    **dict.fromkeys(("SingleStageDetector", "RetinaNet", "FCOS", "RepPointsDetector"), _DETECTOR),
    **dict.fromkeys(("TwoStageDetector", "FasterRCNN", "MaskRCNN", "CascadeRCNN"), _DETECTOR),
    "RefineSingleStageDetector": _DETECTOR,
    "DetDataPreprocessor": {
        "pad_mask": (bool,),
        "mask_pad_value": (0,),
        "pad_seg": (False,),
        "seg_pad_value": (255,),
        "rgb_to_bgr": (False,),
        "boxtype2tensor": (bool,),
        "non_blocking": (bool,),
        "batch_augments": (None,),
    },
    # Backbones and necks
    "ResNet": {
        **_PLAIN_CONV,
        "in_channels": (3,),
        "stem_channels": (None, 64),
        "strides": ((1, 2, 2, 2),),
        "dilations": ((1, 1, 1, 1),),
        "deep_stem": (False,),
        "avg_down": (False,),
        "dcn": (None,),
        "stage_with_dcn": ((False, False, False, False),),
        "plugins": (None,),
        "with_cp": (False,),
        "pretrained": (None,),
    },
    "MobileNetV2": {
        **_PLAIN_CONV,
        "act_cfg": ({"type": "ReLU6"},),
        "with_cp": (False,),
        "pretrained": (None,),
    },
    "FPN": {**_PLAIN_CONV, "act_cfg": (None,), "upsample_cfg": ({"mode": "nearest"},), "init_cfg": (_XAVIER,)},
    # Layers and initial weights
    "BN": _BATCH_NORM,
    "SyncBN": _BATCH_NORM,
    "GN": {"affine": (True,)},
    "Pretrained": {"map_location": (None, "cpu")},
    # Dense heads
    "RPNHead": _RPN,
    "OrientedRPNHead": _RPN,
    "RetinaHead": _RETINA,
    "RotatedRetinaHead": _RETINA,
    **dict.fromkeys(("R3Head", "R3RefineHead", "S2AHead", "S2ARefineHead"), _RETINA),
    "AngleBranchRetinaHead": {**_RETINA, **_normal("retina_cls", "retina_angle_cls")},
    "RotatedFCOSHead": {
        **_PLAIN_CONV,
        **_normal("conv_cls"),
        "conv_bias": ("auto",),
        "dcn_on_last_conv": (False,),
        "h_bbox_coder": ({"type": "DistancePointBBoxCoder"},),
    },
    "RotatedRepPointsHead": {
        **_PLAIN_CONV,
        **_normal("reppoints_cls_out"),
        "conv_bias": ("auto",),
        "dcn_on_last_conv": (False,),
        "use_grid_points": (False,),
        "center_init": (True,),
        "transform_method": ("rotrect",),
        # MMDetection reads none of these.
        "init_allowed_border": (-1,),
        "init_pos_weight": (-1,),
        "refine_allowed_border": (-1,),
        # 0.x: the last two are for the first.
        "use_reassign": (False,),
        "topk": (int,),
        "anti_factor": (float,),
    },
    # RoI heads
    "StandardRoIHead": _ROI_HEAD,
    "CascadeRoIHead": {"mask_roi_extractor": (None,), "mask_head": (None,), **_ROI_HEAD},
    "Shared2FCBBoxHead": _BBOX_HEAD,
    "RotatedShared2FCBBoxHead": _BBOX_HEAD,
    "FCNMaskHead": {
        **_PLAIN_CONV,
        "norm_cfg": (None,),
        "conv_kernel_size": (3,),
        "upsample_cfg": ({"type": "deconv", "scale_factor": 2},),
        "predictor_cfg": ({"type": "Conv"},),
        "init_cfg": (None,),
    },
    "SingleRoIExtractor": {"init_cfg": (None,)},
    "RotatedSingleRoIExtractor": {"init_cfg": (None,)},
    "RoIAlign": _ROI_ALIGN,
    "RoIAlignRotated": {"use_torchvision": (bool,)},
    "nms": {**_NMS, "offset": (0,), "score_threshold": (0,)},
    "nms_rotated": _NMS,
    # Priors, coders, assigners, samplers
    "AnchorGenerator": _ANCHORS,
    "FakeRotatedAnchorGenerator": _ANCHORS,
    **dict.fromkeys(
        (
            "DeltaXYWHBBoxCoder",
            "DeltaXYWHHBBoxCoder",
            "DeltaXYWHTHBBoxCoder",
            "DeltaXYWHTRBBoxCoder",
            "MidpointOffsetCoder",
        ),
        _BOX_CODER,
    ),
    # Coders of rboxes never clip.
    "DistanceAnglePointCoder": {**_BOX_CODER, "clip_border": (bool,)},
    "MaxIoUAssigner": {"gpu_assign_thr": (float,), "perm_repeat_gt_cfg": (None,)},
    "MaxConvexIoUAssigner": {"gpu_assign_thr": (float,), "ignore_wrt_candidates": (True,)},
    "BboxOverlaps2D": _OVERLAPS,
    "OHEMSampler": {"loss_key": ("loss_cls",)},
    # Losses
    "CrossEntropyLoss": {"avg_non_ignore": (False,)},
    "GDLoss": {"representation": ("xy_wh_r",)},
}

#: mmcv's names of keywords: class → name there → name here.
SYNONYMS: dict[str, dict[str, str]] = {
    "RoIAlign": {"out_size": "output_size", "sample_num": "sampling_ratio"},
    "RoIAlignRotated": {"output_size": "out_size", "sampling_ratio": "sample_num"},
}
