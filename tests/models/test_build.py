"""From the ``model`` of a config to a detector: who gets which setting, and what a user is told."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rotx.models import build_detector
from rotx.models.detectors import total_loss
from rotx.models.preprocess import DetDataPreprocessor
from rotx.models.samplers.ohem_sampler import OHEMSampler
from rotx.records import Instances
from small import small_config

RETINA = "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota"
FCOS = "rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota"
CSL = "csl/rotated-retinanet-rbox-le90_r50_fpn_csl-gaussian_amp-1x_dota"
FASTER = "rotated_faster_rcnn/rotated-faster-rcnn-le90_r50_fpn_1x_dota"
ORIENTED = "oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota"
MASK = "mask_rcnn/mask-rcnn_r50_fpn_1x_coco"
CASCADE = "roi_trans/roi-trans-le90_r50_fpn_1x_dota"

BOXES = torch.tensor([[30.0, 34.0, 40.0, 16.0, 0.5], [70.0, 60.0, 30.0, 24.0, -0.9]])


def changed(name: str, path: str, value: Any) -> dict[str, Any]:
    """The small model of a config with one entry set; ``...`` takes it away."""
    model = small_config(name)
    *parents, key = path.split(".")
    part: Any = model
    for parent in parents:
        part = part[int(parent)] if isinstance(part, list) else part[parent]
    if value is ...:
        del part[key]
    else:
        part[key] = value
    return model


OHEM = {"type": "mmdet.OHEMSampler", "pos_fraction": 0.25, "neg_pos_ub": -1, "add_gt_as_proposals": True}


@pytest.mark.parametrize("num", [8, 10**6])
@pytest.mark.parametrize("name", [FASTER, ORIENTED, CASCADE])
def test_ohem_learns_from_the_hardest(name: str, num: int) -> None:
    """Also where there are fewer candidates than asked for."""
    torch.manual_seed(0)
    model = small_config(name)
    stages = model["train_cfg"]["rcnn"]
    for stage in stages if isinstance(stages, list) else [stages]:
        stage["sampler"] = {**OHEM, "num": num}
    detector = build_detector(model)
    detector.init_weights()
    samplers = detector.roi_head.sampler if name == CASCADE else [detector.roi_head.sampler]
    assert all(isinstance(sampler, OHEMSampler) and sampler.num == num for sampler in samplers)
    pixels = [torch.randint(0, 256, (3, 96, 96), dtype=torch.uint8)] * 2
    # One image without objects: no positive candidate at all.
    targets = [
        Instances(BOXES, "rbox", torch.tensor([0, 1])),
        Instances(BOXES[:0], "rbox", torch.zeros(0, dtype=torch.int64)),
    ]
    losses = detector(detector.data_preprocessor(pixels), targets)
    total = total_loss(losses)
    assert total.isfinite()
    total.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.roi_head.parameters())


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        (RETINA, "train_cfg.assigner.gpu_assign_thr", 200),
        (RETINA, "train_cfg.debug", False),
        (RETINA, "bbox_head.norm_cfg", None),
        (RETINA, "bbox_head._scope_", "mmdet"),
        (RETINA, "backbone.zero_init_residual", False),
        (RETINA, "backbone.with_cp", False),
        (RETINA, "backbone.dcn", None),
        (RETINA, "neck.init_cfg", {"type": "Xavier", "layer": "Conv2d", "distribution": "uniform"}),
        (RETINA, "neck.upsample_cfg", {"mode": "nearest"}),
        (RETINA, "init_cfg", None),
        (RETINA, "pretrained", None),
        (RETINA, "data_preprocessor.boxtype2tensor", False),
        (FCOS, "bbox_head.conv_bias", "auto"),
        (FCOS, "bbox_head.dcn_on_last_conv", False),
        (FCOS, "bbox_head.bbox_coder.clip_border", True),
        (FCOS, "bbox_head.h_bbox_coder", {"type": "mmdet.DistancePointBBoxCoder"}),
        (FASTER, "rpn_head.bbox_coder.use_box_type", True),
        (FASTER, "rpn_head.num_convs", 1),
        (FASTER, "roi_head.bbox_head.predict_box_type", "rbox"),
        (FASTER, "roi_head.bbox_head.reg_predictor_cfg", {"type": "mmdet.Linear"}),
        (FASTER, "test_cfg.rpn.nms.split_thr", 10000),
    ],
)
def test_what_has_no_choice_changes_nothing(name: str, path: str, value: Any) -> None:
    plain, other = build_detector(small_config(name)), build_detector(changed(name, path, value))
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (plain, other)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        (RETINA, "backbone.dcn", {"type": "DCNv2"}, r"model\.backbone\.dcn: only None is supported, got 'DCNv2'"),
        (RETINA, "backbone.strides", [1, 2, 2, 1], r"model\.backbone\.strides: only \(1, 2, 2, 2\) is supported"),
        (RETINA, "neck.conv_cfg", {"type": "DCN"}, r"model\.neck\.conv_cfg: only None or 'Conv2d' is supported"),
        (RETINA, "pretrained", "x.pth", r"model\.pretrained: only None"),
        (FCOS, "bbox_head.conv_bias", False, r"model\.bbox_head\.conv_bias: only 'auto'"),
        (FASTER, "roi_head.bbox_head.predict_box_type", "qbox", r"predict_box_type: only 'rbox' is supported"),
        # Typing errors
        (RETINA, "bbox_head.feat_channel", 1, r"model\.bbox_head.*no 'feat_channel'.*'feat_channels'"),
        (CSL, "bbox_head.feat_channel", 1, r"AngleBranchRetinaHead takes no 'feat_channel'.*'feat_channels'"),
        (RETINA, "train_cfg.asigner", None, r"no 'asigner': did you mean 'assigner'"),
        (RETINA, "train_cfg.assigner.type", "MaxIoUAsigner", r"model\.train_cfg\.assigner.*did you mean 'MaxIoUAssi"),
        (FASTER, "train_cfg.rcn", {}, r"model\.train_cfg: has no part 'rcn'.*known are rpn, rpn_proposal, rcnn"),
        (FASTER, "test_cfg.rpn_proposal", {}, r"model\.test_cfg: has no part 'rpn_proposal'"),
        (FASTER, "test_cfg.rcnn.nms.type", "soft_nms", r"model\.test_cfg\.rcnn\.nms: unknown type 'soft_nms'"),
        (
            FASTER,
            "train_cfg.rpn_proposal.nms_post",
            9,
            r"model\.train_cfg\.rpn_proposal: Proposals takes no 'nms_post'",
        ),
        # Left out
        (RETINA, "bbox_head", ..., r"needs a 'bbox_head'"),
        (FASTER, "roi_head", None, r"needs a 'roi_head'"),
        (RETINA, "train_cfg", ..., r"^model\.train_cfg\.assigner: missing; a detector is built for training"),
        (RETINA, "test_cfg", None, r"^model\.test_cfg\.nms: missing"),
        (FASTER, "train_cfg", None, r"^model\.train_cfg\.rpn\.assigner, model\.train_cfg\.rpn\.sampler: missing"),
        (FASTER, "train_cfg.rcnn", ..., r"^model\.train_cfg\.rcnn\.assigner, .*sampler: missing"),
        (FASTER, "test_cfg.rpn", ..., r"^model\.test_cfg\.rpn: missing"),
        (MASK, "roi_head.mask_roi_extractor", ..., r"mask_head: needs .* a mask_roi_extractor with RoIAlign"),
        # What does not belong together
        (MASK, "train_cfg.rcnn.mask_size", 14, r"mask_size: the mask head predicts .* \(28, 28\), got \(14, 14\)"),
        (MASK, "test_cfg.rcnn.mask_thr_binary", -1, r"mask_thr_binary: need a number in \[0, 1\], got -1"),
        (MASK, "roi_head.mask_head.num_classes", 5, r"mask_head\.num_classes: need 3, as the bbox_head has, got 5"),
        # In the wrong place or of the wrong kind
        (RETINA, "bbox_head.score_thr", 0.1, r"score_thr: stands in train_cfg or test_cfg, too"),
        (RETINA, "train_cfg", [{}], r"model\.train_cfg: need a dict or None, got \[\{\}\]"),
        (FASTER, "train_cfg.rcnn", [{}], r"model\.train_cfg\.rcnn: need one dict"),
        (
            CASCADE,
            "train_cfg.rcnn",
            {"pos_weight": 1},
            r"model\.train_cfg\.rcnn: need a list with one dict for each st",
        ),
        (CASCADE, "train_cfg.rcnn.1.pos_weight", ..., r"model\.train_cfg\.rcnn\.1: needs 'pos_weight'"),
    ],
)
def test_a_wrong_model_says_where(name: str, path: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_detector(changed(name, path, value))


def test_mask_rcnn_needs_masks() -> None:
    detector = build_detector(changed(MASK, "backbone.depth", 18))
    batch = detector.data_preprocessor([torch.zeros(3, 64, 64)])
    with pytest.raises(ValueError, match=r"needs masks: load them by LoadAnnotations\(with_mask=True\)"):
        detector(batch, [Instances(BOXES, "rbox", torch.tensor([0, 1]))])


def test_fcos_needs_no_train_cfg() -> None:
    model = small_config(FCOS)
    assert model.pop("train_cfg") is None
    assert build_detector(model).bbox_head.score_thr == 0.05


def test_proposals_in_training_may_be_those_of_inference() -> None:
    head = build_detector(changed(FASTER, "train_cfg.rpn_proposal", ...)).rpn_head
    assert head.train_proposals.nms_pre == head.test_proposals.nms_pre
    assert head.train_proposals.nms.iou_threshold == head.test_proposals.nms.iou_threshold


def test_the_names_of_mmcv_for_roi_align() -> None:
    layer = {"type": "mmcv.RoIAlignRotated", "output_size": 5, "sampling_ratio": 1, "clockwise": True}
    extractor = build_detector(changed(ORIENTED, "roi_head.bbox_roi_extractor.roi_layer", layer)).roi_head
    assert extractor.bbox_roi_extractor.roi_layer.out_size == (5, 5)
    assert extractor.bbox_roi_extractor.roi_layer.sample_num == 1


def test_zero_init_residual() -> None:
    def last_scales(value: bool) -> Tensor:
        return build_detector(changed(RETINA, "backbone.zero_init_residual", value)).backbone.layer1[0].bn2.weight

    assert (last_scales(True) == 0).all() and (last_scales(False) == 1).all()


def test_whole_numbers_as_mean_give_a_batch_of_floats() -> None:
    preprocess = DetDataPreprocessor(mean=(127, 127, 127), std=(128, 128, 128))
    batch = preprocess([torch.full((3, 2, 2), 191, dtype=torch.uint8)])
    assert batch.images.dtype == torch.float32 and batch.images.unique().tolist() == [0.5]
