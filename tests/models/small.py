"""The detectors of the configs, small enough to train on a CPU in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rotx.compat import load_config
from rotx.models import build_detector
from rotx.models.detectors import Detector

CONFIGS = Path(__file__).parents[2] / "configs"
CHANNELS = 64

#: One config for each way through the code: heads, angle versions, coders, losses.
VARIANTS = [
    "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota",
    "rotated_retinanet/rotated-retinanet-rbox-le135_r50_fpn_1x_dota",
    "rotated_retinanet/rotated-retinanet-hbox-oc_r50_fpn_1x_dota",
    "gwd/rotated-retinanet-rbox-le90_r50_fpn_gwd_1x_dota",
    "kld/rotated-retinanet-rbox-le90_r50_fpn_kld-stable_1x_dota",
    "kld/rotated-retinanet-rbox-le90_r50_fpn_kld_1x_dota",
    "kfiou/rotated-retinanet-hbox-le135_r50_fpn_kfiou_1x_dota",
    "csl/rotated-retinanet-rbox-le90_r50_fpn_csl-gaussian_amp-1x_dota",
    "psc/rotated-retinanet-rbox-le90_r50_fpn_psc-dual_amp-1x_dota",
    "rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota",
    "rotated_fcos/rotated-fcos-le90_r50_fpn_kld_1x_dota",
    "rotated_fcos/rotated-fcos-hbox-le90_r50_fpn_1x_dota",
    "rotated_fcos/rotated-fcos-hbox-le90_r50_fpn_csl-gaussian_1x_dota",
    "rotated_reppoints/rotated-reppoints-qbox_r50_fpn_1x_dota",
    "rotated_faster_rcnn/rotated-faster-rcnn-le90_r50_fpn_1x_dota",
    "oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota",
    "roi_trans/roi-trans-le90_r50_fpn_1x_dota",
    "kfiou/roi-trans-le90_r50_fpn_kfiou-ln_1x_dota",
    "r3det/r3det-oc_r50_fpn_1x_dota",
    "r3det/r3det-refine-oc_r50_fpn_1x_dota",
    "kld/r3det-tiny-oc_r50_fpn_kld_1x_dota",
    "kfiou/r3det-oc_r50_fpn_kfiou-ln_1x_dota",
]

#: Detectors of upright boxes, and of masks.
UPRIGHT = ["faster_rcnn/faster-rcnn_r50_fpn_1x_coco", "mask_rcnn/mask-rcnn_r50_fpn_1x_coco"]


def small_config(name: str, num_classes: int = 3) -> dict[str, Any]:
    """The ``model`` of a config with ResNet-18, few channels, and norms that learn."""
    model: dict[str, Any] = load_config(CONFIGS / f"{name}.py")["model"]
    model["backbone"] |= {"depth": 18, "frozen_stages": -1, "norm_eval": False, "init_cfg": None}
    model["neck"] |= {"in_channels": [64, 128, 256, 512], "out_channels": CHANNELS}
    sizes = {"in_channels": CHANNELS, "feat_channels": CHANNELS, "stacked_convs": 1, "num_classes": num_classes}
    sizes["point_feat_channels"] = CHANNELS
    refining = model.get("bbox_head_refine", [])
    for head in (model.get("bbox_head"), model.get("rpn_head"), model.get("bbox_head_init"), *refining):
        if head is not None:
            head |= {key: value for key, value in sizes.items() if key in head}
    for head in refining:
        head["frm_cfg"] |= {"feat_channels": CHANNELS}
    if "roi_head" in model:
        roi = model["roi_head"]
        heads = roi["bbox_head"]
        for head in heads if isinstance(heads, list) else [heads]:
            head |= {"in_channels": CHANNELS, "fc_out_channels": 64, "num_classes": num_classes}
        if "mask_head" in roi:
            roi["mask_head"] |= {"in_channels": CHANNELS, "conv_out_channels": 16, "num_classes": num_classes}
        for proposals in (model["train_cfg"]["rpn_proposal"], model["test_cfg"]["rpn"]):
            proposals |= {"nms_pre": 100, "max_per_img": 100}
        stages = model["train_cfg"]["rcnn"]
        for stage in stages if isinstance(stages, list) else [stages]:
            stage["sampler"] |= {"num": 64}
    return model


def small_detector(name: str, num_classes: int = 3) -> Detector:
    detector = build_detector(small_config(name, num_classes))
    detector.init_weights()
    return detector
