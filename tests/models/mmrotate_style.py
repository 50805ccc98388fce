"""Models written as users of MMRotate write them: 1.x with scopes and box types, 0.x with the names of its time.

``V1`` and ``V0`` hold, for a config of ours, the same detector in the words of the two versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_BACKBONE = """
    backbone=dict(
        type='{s}ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1, {more}
        norm_cfg=dict(type='BN', requires_grad=True), norm_eval=True, style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    neck=dict(type='{s}FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, {neck} num_outs=5),
"""
_FOCAL = "loss_cls=dict(type='{s}FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0)"
_SOFTMAX = "loss_cls=dict(type='{s}CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)"
_SIGMOID = "loss_cls=dict(type='{s}CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)"
_SMOOTH = "loss_bbox=dict(type='{s}SmoothL1Loss', beta=1.0, loss_weight=1.0)"
_RETINA_ANCHORS = "octave_base_scale=4, scales_per_octave=3, ratios=[1.0, 0.5, 2.0], strides=[8, 16, 32, 64, 128]"
_RPN_ANCHORS = "scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]"
_RETINA_NECK = "start_level=1, add_extra_convs='on_input',"
_FCOS_NECK = "start_level=1, add_extra_convs='on_output', relu_before_extra_convs=True,"
_ROIS = """dict(
            type='{s}SingleRoIExtractor', roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=256, featmap_strides=[4, 8, 16, 32])"""
_ROTATED_ROIS = """dict(
            type='RotatedSingleRoIExtractor',
            roi_layer=dict(type='RoIAlignRotated', out_size=7, sample_num=2, clockwise=True),
            out_channels=256, featmap_strides=[4, 8, 16, 32])"""
_BOTTOM = "nms_pre=2000, min_bbox_size=0, score_thr=0.05, nms=dict({nms}), max_per_img=2000"
_PROPOSALS = "nms_pre=2000, max_per_img=2000, nms=dict(type='nms', iou_threshold={thr}), min_bbox_size=0"

_V1 = {"s": "mmdet.", "more": "", "nms": "type='nms_rotated', iou_threshold=0.1"}
_V0 = {"s": "", "more": "zero_init_residual=False,", "nms": "iou_thr=0.1"}


def _fill(text: str, version: Mapping[str, str], **values: str) -> str:
    """``text`` with the parts above in the words of a version."""
    for key, value in {**values, **version}.items():
        text = text.replace(f"{{{key}}}", value)
    return text


_PREPROCESSOR = """
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True, pad_size_divisor=32, boxtype2tensor=False),"""


def _retina1() -> str:
    text = f"""
angle_version = 'le90'
model = dict(
    type='mmdet.RetinaNet',{_PREPROCESSOR}{_BACKBONE}
    bbox_head=dict(
        type='mmdet.RetinaHead', num_classes=15, in_channels=256, stacked_convs=4, feat_channels=256,
        conv_cfg=None, norm_cfg=None,
        anchor_generator=dict(type='FakeRotatedAnchorGenerator', angle_version=angle_version, {_RETINA_ANCHORS}),
        bbox_coder=dict(
            type='DeltaXYWHTRBBoxCoder', angle_version=angle_version, norm_factor=None, edge_swap=True, proj_xy=True,
            target_means=(.0, .0, .0, .0, .0), target_stds=(1.0, 1.0, 1.0, 1.0, 1.0)),
        {_FOCAL}, loss_bbox=dict(type='mmdet.L1Loss', loss_weight=1.0)),
    train_cfg=dict(
        assigner=dict(
            type='mmdet.MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1,
            gpu_assign_thr=800, iou_calculator=dict(type='RBboxOverlaps2D')),
        sampler=dict(type='mmdet.PseudoSampler'), allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict({_BOTTOM}))
"""
    return _fill(text, _V1, neck=_RETINA_NECK)


_OC = "norm_factor=None, edge_swap=False, proj_xy=False"
_R3_SMOOTH = "loss_bbox=dict(type='{s}SmoothL1Loss', beta=0.11, loss_weight=1.0)"
_STRIDES = "strides=[8, 16, 32, 64, 128]"


def _r3_head(start: str, coder: str, convs: int, loss: str) -> str:
    return f"""dict(
        {start}, num_classes=15, in_channels=256, stacked_convs={convs}, feat_channels=256,
        bbox_coder=dict(
            type={coder}=angle_version, {_OC}, target_means=(.0, .0, .0, .0, .0),
            target_stds=(1.0, 1.0, 1.0, 1.0, 1.0)),
        {_FOCAL}, {loss})"""


def _r3_refine1(convs: int = 4, loss: str = _R3_SMOOTH) -> str:
    frm = f"frm_cfg=dict(type='FRM', feat_channels=256, {_STRIDES})"
    start = f"type='R3RefineHead', {frm}, anchor_generator=dict(type='PseudoRotatedAnchorGenerator', {_STRIDES})"
    return _r3_head(start, "'DeltaXYWHTRBBoxCoder', angle_version", convs, loss)


def _r3_stage(pos: float, neg: float) -> str:
    return f"""dict(
        assigner=dict(
            type='{{s}}MaxIoUAssigner', pos_iou_thr={pos}, neg_iou_thr={neg}, min_pos_iou=0, ignore_iof_thr=-1,
            iou_calculator=dict(type='RBboxOverlaps2D')),
        allowed_border=-1, pos_weight=-1, debug=False)"""


def _r3det1(convs: int = 4, refine: tuple[tuple[float, float], ...] = ((0.6, 0.5),)) -> str:
    anchors = (
        f"anchor_generator=dict(type='FakeRotatedAnchorGenerator', angle_version=angle_version, {_RETINA_ANCHORS})"
    )
    init = _r3_head(
        f"type='R3Head', {anchors}", "'DeltaXYWHTRBBoxCoder', use_box_type=False, angle_version", convs, _R3_SMOOTH
    )
    text = f"""
angle_version = 'oc'
model = dict(
    type='RefineSingleStageDetector',{_PREPROCESSOR}{_BACKBONE}
    bbox_head_init={init},
    bbox_head_refine=[{", ".join([_r3_refine1(convs)] * len(refine))}],
    train_cfg=dict(
        init={_r3_stage(0.5, 0.4)},
        refine=[{", ".join(_r3_stage(*thr) for thr in refine)}],
        stage_loss_weights={[1.0] * len(refine)}),
    test_cfg=dict({_BOTTOM}))
"""
    return _fill(text, _V1, neck=_RETINA_NECK)


def _r3_loss1(init: str, refine: str) -> str:
    text = f"""
_base_ = ['../r3det/r3det-oc_r50_fpn_1x_dota.py']
angle_version = 'oc'
model = dict(bbox_head_init=dict({init}), bbox_head_refine=[{refine}])
"""
    return _fill(text, _V1)


def _fcos1() -> str:
    text = f"""
angle_version = 'le90'
model = dict(
    type='mmdet.FCOS',{_PREPROCESSOR}{_BACKBONE}
    bbox_head=dict(
        type='RotatedFCOSHead', num_classes=15, in_channels=256, stacked_convs=4, feat_channels=256,
        strides=[8, 16, 32, 64, 128], center_sampling=True, center_sample_radius=1.5, norm_on_bbox=True,
        centerness_on_reg=True, conv_bias='auto', dcn_on_last_conv=False, use_hbbox_loss=False, scale_angle=True,
        bbox_coder=dict(type='DistanceAnglePointCoder', angle_version=angle_version, clip_border=True),
        {_FOCAL}, loss_bbox=dict(type='RotatedIoULoss', loss_weight=1.0), loss_angle=None,
        loss_centerness=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)),
    train_cfg=None,
    test_cfg=dict({_BOTTOM}))
"""
    return _fill(text, _V1, neck=_FCOS_NECK)


def _reppoints(detector: str, preprocessor: str, version: Mapping[str, str], more: str = "") -> str:
    """Rotated RepPoints in the words of either version."""
    text = f"""
norm_cfg = dict(type='GN', num_groups=32, requires_grad=True)
model = dict(
    type='{detector}',{preprocessor}{_BACKBONE}
    bbox_head=dict(
        type='RotatedRepPointsHead', num_classes=15, in_channels=256, feat_channels=256, point_feat_channels=256,
        stacked_convs=3, num_points=9, gradient_mul=0.3, point_strides=[8, 16, 32, 64, 128], point_base_scale=2,
        norm_cfg=norm_cfg, {_FOCAL}, loss_bbox_init=dict(type='ConvexGIoULoss', loss_weight=0.375),
        loss_bbox_refine=dict(type='ConvexGIoULoss', loss_weight=1.0), transform_method='rotrect',
        center_init=True, {more}),
    train_cfg=dict(
        init=dict(
            assigner=dict(type='ConvexAssigner', scale=4, pos_num=1), allowed_border=-1, pos_weight=-1, debug=False),
        refine=dict(
            assigner=dict(
                type='MaxConvexIoUAssigner', pos_iou_thr=0.4, neg_iou_thr=0.3, min_pos_iou=0, ignore_iof_thr=-1,
                gpu_assign_thr=800),
            allowed_border=-1, pos_weight=-1, debug=False)),
    test_cfg=dict({_BOTTOM}))
"""
    nms = version["nms"].replace("0.1", "0.4")
    return _fill(text, {**version, "nms": nms}, neck="start_level=1, add_extra_convs='on_input', norm_cfg=norm_cfg,")


def _head1(coder: str, stds: str, agnostic: bool, loss: str = _SMOOTH) -> str:
    loss_type = "loss_bbox_type='kfiou', " if "KFLoss" in loss else ""
    kind = "RotatedShared2FCBBoxHead" if loss_type else "mmdet.Shared2FCBBoxHead"
    return f"""dict(
            type='{kind}', predict_box_type='rbox', in_channels=256, fc_out_channels=1024, roi_feat_size=7,
            num_classes=15, reg_predictor_cfg=dict(type='mmdet.Linear'), cls_predictor_cfg=dict(type='mmdet.Linear'),
            bbox_coder=dict(
                type={coder}, angle_version=angle_version, edge_swap=True, target_means=(.0, .0, .0, .0, .0),
                target_stds={stds}, use_box_type=True),
            reg_class_agnostic={agnostic}, {_SOFTMAX}, {loss_type}{loss})"""


_BY_HBOX = "'DeltaXYWHTHBBoxCoder', norm_factor=2"
_BY_RBOX = "'DeltaXYWHTRBBoxCoder', norm_factor=None, proj_xy=True"


def _stage1(calculator: str) -> str:
    return f"""dict(
            assigner=dict(
                type='mmdet.MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5,
                match_low_quality=False, ignore_iof_thr=-1, iou_calculator=dict(type='{calculator}')),
            sampler=dict(
                type='mmdet.RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            pos_weight=-1, debug=False)"""


def _two_stage1(kind: str, rpn: str, roi_head: str, rcnn: str, thr: str = "0.7") -> str:
    text = f"""
angle_version = 'le90'
model = dict(
    type='mmdet.{kind}',{_PREPROCESSOR}{_BACKBONE}
    rpn_head=dict(
        {rpn}, in_channels=256, feat_channels=256,
        anchor_generator=dict(type='mmdet.AnchorGenerator', {_RPN_ANCHORS}, use_box_type=True),
        {_SIGMOID}, loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1.0 / 9.0, loss_weight=1.0)),
    roi_head=dict({roi_head}),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type='mmdet.MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3,
                match_low_quality=True, ignore_iof_thr=-1, iou_calculator=dict(type='RBbox2HBboxOverlaps2D')),
            sampler=dict(
                type='mmdet.RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
            allowed_border=0, pos_weight=-1, debug=False),
        rpn_proposal=dict({_PROPOSALS}),
        rcnn={rcnn}),
    test_cfg=dict(rpn=dict({_PROPOSALS}), rcnn=dict({_BOTTOM})))
"""
    return _fill(text, _V1, neck="", thr=thr)


_UPRIGHT_RPN = """type='mmdet.RPNHead', bbox_coder=dict(
            type='DeltaXYWHHBBoxCoder', target_means=[.0, .0, .0, .0], target_stds=[1.0, 1.0, 1.0, 1.0],
            use_box_type=True)"""
_ORIENTED_RPN = """type='OrientedRPNHead', bbox_coder=dict(
            type='MidpointOffsetCoder', angle_version=angle_version, target_means=[.0, .0, .0, .0, .0, .0],
            target_stds=[1.0, 1.0, 1.0, 1.0, 0.5, 0.5])"""
_HALVES = "(0.1, 0.1, 0.2, 0.2, 0.1)"
_QUARTERS = "(0.05, 0.05, 0.1, 0.1, 0.05)"
_KF = "loss_bbox=dict(type='KFLoss', fun='ln', loss_weight=5.0)"


def _cascade1(loss: str = _SMOOTH) -> str:
    return f"[{_head1(_BY_HBOX, _HALVES, True, loss)}, {_head1(_BY_RBOX, _QUARTERS, False, loss)}]"


_GD = "model = dict(bbox_head=dict(reg_decoded_bbox=True, loss_bbox=dict({})))"
_KLD = "_delete_=True, type='GDLoss', loss_type='kld', fun='log1p', tau=1, sqrt=False, loss_weight=5.5"
_KLD1 = "_delete_=True, type='GDLoss_v1', loss_type='kld', fun='log1p', tau=1, loss_weight=1.0"
_CSL = "type='CSLCoder', angle_version=angle_version, omega={}, window='gaussian', radius={}"
_SMOOTH_FOCAL = "type='SmoothFocalLoss', gamma=2.0, alpha=0.25, loss_weight={}"
_R3_KLD = "reg_decoded_bbox=True, loss_bbox=dict({})"
_R3_STABLE = "type='GDLoss', loss_type='kld', fun='log1p', tau=1.0, sqrt=False, loss_weight=5.0"
_FAKE = "train_cfg=dict(assigner=dict(iou_calculator=dict(type='FakeRBboxOverlaps2D')))"

#: Names under configs/ → the same detector in the words of 1.x.
V1 = {
    "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota": _retina1(),
    "rotated_reppoints/rotated-reppoints-qbox_r50_fpn_1x_dota": _reppoints(
        "mmdet.RepPointsDetector", _PREPROCESSOR, _V1, "use_grid_points=False"
    ),
    "rotated_retinanet/rotated-retinanet-rbox-oc_r50_fpn_1x_dota": """
_base_ = 'rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py'
angle_version = 'oc'
model = dict(bbox_head=dict(
    anchor_generator=dict(angle_version=angle_version),
    bbox_coder=dict(angle_version=angle_version, norm_factor=None, edge_swap=False, proj_xy=False)))
""",
    "rotated_retinanet/rotated-retinanet-hbox-le90_r50_fpn_1x_dota": f"""
_base_ = './rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py'
model = dict({_FAKE})
""",
    "gwd/rotated-retinanet-rbox-le90_r50_fpn_gwd_1x_dota": """
_base_ = ['../rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py']
"""
    + _GD.format("type='GDLoss', representation='xy_wh_r', loss_type='gwd', loss_weight=5.0"),
    "kld/rotated-retinanet-rbox-le90_r50_fpn_kld-stable_1x_dota": """
_base_ = '../rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py'
"""
    + _GD.format(_KLD),
    "kfiou/rotated-retinanet-hbox-oc_r50_fpn_kfiou_1x_dota": f"""
_base_ = '../rotated_retinanet/rotated-retinanet-rbox-oc_r50_fpn_1x_dota.py'
model = dict(
    bbox_head=dict(
        type='RotatedRetinaHead', loss_bbox_type='kfiou', loss_bbox=dict(type='KFLoss', loss_weight=5.0)),
    {_FAKE})
""",
    "csl/rotated-retinanet-rbox-le90_r50_fpn_csl-gaussian_amp-1x_dota": f"""
_base_ = \\
    ['../rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py']
angle_version = 'le90'
model = dict(bbox_head=dict(
    type='AngleBranchRetinaHead', angle_coder=dict({_CSL.format(4, 3)}),
    loss_angle=dict({_SMOOTH_FOCAL.format(0.8)})))
""",
    "psc/rotated-retinanet-rbox-le90_r50_fpn_psc-dual_amp-1x_dota": """
_base_ = ['../rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py']
angle_version = 'le90'
model = dict(bbox_head=dict(
    anchor_generator=dict(angle_version=None), type='AngleBranchRetinaHead', use_normalized_angle_feat=True,
    angle_coder=dict(type='PSCCoder', angle_version=angle_version, dual_freq=True, num_step=3),
    loss_bbox=dict(type='mmdet.L1Loss', loss_weight=0.5), loss_angle=dict(type='mmdet.L1Loss', loss_weight=0.2)))
""",
    "r3det/r3det-oc_r50_fpn_1x_dota": _r3det1(),
    "r3det/r3det-tiny-oc_r50_fpn_1x_dota": _r3det1(convs=2),
    "r3det/r3det-refine-oc_r50_fpn_1x_dota": _r3det1(refine=((0.6, 0.5), (0.7, 0.6))),
    "kld/r3det-oc_r50_fpn_kld-stable_1x_dota": _r3_loss1(
        _R3_KLD.format(f"_delete_=True, {_R3_STABLE}"), _r3_refine1(4, _R3_KLD.format(_R3_STABLE))
    ),
    "kld/r3det-oc_r50_fpn_kld_1x_dota": _r3_loss1(
        _R3_KLD.format(_KLD1), _r3_refine1(4, _R3_KLD.format(_KLD1.removeprefix("_delete_=True, ")))
    ),
    "kld/r3det-tiny-oc_r50_fpn_kld_1x_dota": _r3_loss1(
        _R3_KLD.format(_KLD1), _r3_refine1(2, _R3_KLD.format(_KLD1.removeprefix("_delete_=True, ")))
    ),
    "kfiou/r3det-oc_r50_fpn_kfiou-ln_1x_dota": _r3_loss1(
        f"loss_bbox_type='kfiou', {_KF}", _r3_refine1(4, f"loss_bbox_type='kfiou', {_KF}")
    ),
    "rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota": _fcos1(),
    "rotated_fcos/rotated-fcos-hbox-le90_r50_fpn_csl-gaussian_1x_dota": f"""
_base_ = 'rotated-fcos-le90_r50_fpn_1x_dota.py'
angle_version = {{{{_base_.angle_version}}}}
model = dict(bbox_head=dict(
    use_hbbox_loss=True, scale_angle=False, angle_coder=dict({_CSL.format(1, 1)}),
    loss_angle=dict(_delete_=True, {_SMOOTH_FOCAL.format(0.2)}),
    loss_bbox=dict(type='mmdet.IoULoss', loss_weight=1.0)), )
""",
    "rotated_faster_rcnn/rotated-faster-rcnn-le90_r50_fpn_1x_dota": _two_stage1(
        "FasterRCNN",
        _UPRIGHT_RPN,
        f"type='mmdet.StandardRoIHead', bbox_roi_extractor={_ROIS}, bbox_head={_head1(_BY_HBOX, _HALVES, True)}",
        _stage1("RBbox2HBboxOverlaps2D"),
    ),
    "oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota": _two_stage1(
        "FasterRCNN",
        _ORIENTED_RPN,
        f"type='mmdet.StandardRoIHead', bbox_roi_extractor={_ROTATED_ROIS}, "
        f"bbox_head={_head1(_BY_RBOX, _HALVES, True)}",
        _stage1("RBboxOverlaps2D"),
        thr="0.8",
    ),
    "roi_trans/roi-trans-le90_r50_fpn_1x_dota": _two_stage1(
        "CascadeRCNN",
        _UPRIGHT_RPN,
        "type='mmdet.CascadeRoIHead', num_stages=2, stage_loss_weights=[1, 1], "
        f"bbox_roi_extractor=[{_ROIS}, {_ROTATED_ROIS}], bbox_head={_cascade1()}",
        f"[{_stage1('RBbox2HBboxOverlaps2D')}, {_stage1('RBboxOverlaps2D')}]",
    ),
    "kfiou/roi-trans-le90_r50_fpn_kfiou-ln_1x_dota": f"""
_base_ = '../roi_trans/roi-trans-le90_r50_fpn_1x_dota.py'
angle_version = 'le90'
model = dict(roi_head=dict(bbox_head={_fill(_cascade1(_KF), _V1)}))
""",
}

_DATA0 = """
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='Normalize', **img_norm_cfg), dict(type='Pad', size_divisor=32)]
data = dict(samples_per_gpu=2, workers_per_gpu=2, train=dict(type='DOTADataset', pipeline=train_pipeline))
"""


def _retina0(version: str, coder: str) -> str:
    text = f"""
angle_version = '{version}'
model = dict(
    type='RotatedRetinaNet',{_BACKBONE}
    bbox_head=dict(
        type='RotatedRetinaHead', num_classes=15, in_channels=256, stacked_convs=4, feat_channels=256,
        assign_by_circumhbbox=None, anchor_generator=dict(type='RotatedAnchorGenerator', {_RETINA_ANCHORS}),
        bbox_coder=dict(
            type='DeltaXYWHAOBBoxCoder', angle_range=angle_version, {coder},
            target_means=(.0, .0, .0, .0, .0), target_stds=(1.0, 1.0, 1.0, 1.0, 1.0)),
        {_FOCAL}, loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1,
            iou_calculator=dict(type='RBboxOverlaps2D')),
        allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict({_BOTTOM}))
{_DATA0}"""
    return _fill(text, _V0, neck=_RETINA_NECK)


def _r3_init0(kind: str = "RotatedRetinaHead", loss: str = _R3_SMOOTH) -> str:
    anchors = f"anchor_generator=dict(type='RotatedAnchorGenerator', {_RETINA_ANCHORS})"
    return _r3_head(f"type='{kind}', {anchors}", "'DeltaXYWHAOBBoxCoder', angle_range", 4, loss)


def _r3_refine0(kind: str = "RotatedRetinaRefineHead", loss: str = _R3_SMOOTH) -> str:
    start = (
        f"type='{kind}', assign_by_circumhbbox=None, anchor_generator=dict(type='PseudoAnchorGenerator', {_STRIDES})"
    )
    return _r3_head(start, "'DeltaXYWHAOBBoxCoder', angle_range", 4, loss)


def _r3det0(refine: tuple[tuple[float, float], ...] = ((0.6, 0.5),)) -> str:
    frm = "dict(in_channels=256, featmap_strides=[8, 16, 32, 64, 128])"
    text = f"""
angle_version = 'oc'
model = dict(
    type='R3Det',{_BACKBONE}
    bbox_head={_r3_init0()},
    frm_cfgs=[{", ".join([frm] * len(refine))}],
    num_refine_stages={len(refine)},
    refine_heads=[{", ".join([_r3_refine0()] * len(refine))}],
    train_cfg=dict(
        s0={_r3_stage(0.5, 0.4)},
        sr=[{", ".join(_r3_stage(*thr) for thr in refine)}],
        stage_loss_weights={[1.0] * len(refine)}),
    test_cfg=dict({_BOTTOM}))
{_DATA0}"""
    return _fill(text, _V0, neck=_RETINA_NECK)


def _fcos0(loss: str, more: str) -> str:
    text = f"""
angle_version = 'le90'
model = dict(
    type='RotatedFCOS',{_BACKBONE}
    bbox_head=dict(
        num_classes=15, in_channels=256, stacked_convs=4, feat_channels=256, strides=[8, 16, 32, 64, 128],
        center_sampling=True, center_sample_radius=1.5, norm_on_bbox=True, centerness_on_reg=True,
        bbox_coder=dict(type='DistanceAnglePointCoder', angle_version=angle_version), {more},
        {_FOCAL}, loss_bbox=dict(type='{loss}', loss_weight=1.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)),
    train_cfg=None,
    test_cfg=dict({_BOTTOM}))
{_DATA0}"""
    return _fill(text, _V0, neck=_FCOS_NECK)


def _head0(coder: str, stds: str, agnostic: bool) -> str:
    return f"""dict(
            type='RotatedShared2FCBBoxHead', in_channels=256, fc_out_channels=1024, roi_feat_size=7, num_classes=15,
            bbox_coder=dict(
                type={coder}, angle_range=angle_version, edge_swap=True, target_means=[0., 0., 0., 0., 0.],
                target_stds={stds}),
            reg_class_agnostic={agnostic}, {_SOFTMAX}, {_SMOOTH})"""


_BY_HBOX0 = "'DeltaXYWHAHBBoxCoder', norm_factor=2"
_BY_RBOX0 = "'DeltaXYWHAOBBoxCoder', norm_factor=None, proj_xy=True"


def _stage0(sampler: str, calculator: str = "") -> str:
    return f"""dict(
            assigner=dict(
                type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False,
                {calculator} ignore_iof_thr=-1),
            sampler=dict(type='{sampler}', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            pos_weight=-1, debug=False)"""


def _two_stage0(kind: str, rpn: str, roi_head: str, rcnn: str, thr: str = "0.7") -> str:
    text = f"""
angle_version = 'le90'
model = dict(
    type='{kind}',{_BACKBONE}
    rpn_head=dict(
        {rpn}, in_channels=256, feat_channels=256, version=angle_version,
        anchor_generator=dict(type='AnchorGenerator', {_RPN_ANCHORS}),
        {_SIGMOID}, loss_bbox=dict(type='SmoothL1Loss', beta=0.1111111111111111, loss_weight=1.0)),
    roi_head=dict({roi_head}),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True,
                ignore_iof_thr=-1),
            sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
            allowed_border=0, pos_weight=-1, debug=False),
        rpn_proposal=dict({_PROPOSALS}),
        rcnn={rcnn}),
    test_cfg=dict(rpn=dict({_PROPOSALS}), rcnn=dict({_BOTTOM})))
{_DATA0}"""
    return _fill(text, _V0, neck="", thr=thr)


_UPRIGHT_RPN0 = "type='RotatedRPNHead', bbox_coder=dict(type='DeltaXYWHBBoxCoder')"
_ORIENTED_RPN0 = """type='OrientedRPNHead', bbox_coder=dict(
            type='MidpointOffsetCoder', angle_range=angle_version, target_means=[.0, .0, .0, .0, .0, .0],
            target_stds=[1.0, 1.0, 1.0, 1.0, 0.5, 0.5])"""
_BY_RIOU = "iou_calculator=dict(type='RBboxOverlaps2D'),"
_BY_IOU = "iou_calculator=dict(type='BboxOverlaps2D'),"

#: Names under configs/ → the same detector in the words of 0.x.
V0 = {
    "rotated_reppoints/rotated-reppoints-qbox_r50_fpn_1x_dota": _reppoints(
        "RotatedRepPoints", "", _V0, "use_reassign=False, topk=6, anti_factor=0.75"
    )
    + _DATA0,
    "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota": _retina0(
        "le90", "norm_factor=None, edge_swap=True, proj_xy=True"
    ),
    "rotated_retinanet/rotated-retinanet-rbox-oc_r50_fpn_1x_dota": _retina0(
        "oc", "norm_factor=None, edge_swap=False, proj_xy=False"
    ),
    "rotated_retinanet/rotated-retinanet-rbox-le135_r50_fpn_1x_dota": _retina0(
        "le135", "norm_factor=1, edge_swap=False, proj_xy=True"
    ),
    "rotated_retinanet/rotated-retinanet-hbox-oc_r50_fpn_1x_dota": """
_base_ = './rotated-retinanet-rbox-oc_r50_fpn_1x_dota.py'
angle_version = 'oc'
model = dict(bbox_head=dict(assign_by_circumhbbox=angle_version))
""",
    "gwd/rotated-retinanet-hbox-oc_r50_fpn_gwd_1x_dota": """
_base_ = ['../rotated_retinanet/rotated-retinanet-hbox-oc_r50_fpn_1x_dota.py']
"""
    + _GD.format("type='GDLoss', loss_type='gwd', loss_weight=5.0"),
    "kld/rotated-retinanet-rbox-le90_r50_fpn_kld_1x_dota": """
_base_ = ['../rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py']
"""
    + _GD.format(_KLD1),
    "kfiou/rotated-retinanet-hbox-le135_r50_fpn_kfiou_1x_dota": """
_base_ = ['../rotated_retinanet/rotated-retinanet-rbox-le135_r50_fpn_1x_dota.py']
angle_version = 'le135'
model = dict(bbox_head=dict(
    type='KFIoURRetinaHead', assign_by_circumhbbox=angle_version, loss_bbox=dict(type='KFLoss', loss_weight=5.0)))
""",
    "csl/rotated-retinanet-rbox-le90_r50_fpn_csl-gaussian_amp-1x_dota": f"""
_base_ = ['../rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py']
angle_version = 'le90'
model = dict(bbox_head=dict(
    type='CSLRRetinaHead', angle_coder=dict({_CSL.format(4, 3)}), loss_angle=dict({_SMOOTH_FOCAL.format(0.8)})))
""",
    "r3det/r3det-oc_r50_fpn_1x_dota": _r3det0(),
    "r3det/r3det-refine-oc_r50_fpn_1x_dota": _r3det0(refine=((0.6, 0.5), (0.7, 0.6))),
    "kfiou/r3det-oc_r50_fpn_kfiou-ln_1x_dota": f"""
_base_ = ['../r3det/r3det-oc_r50_fpn_1x_dota.py']
angle_version = 'oc'
model = dict(
    bbox_head={_r3_init0("KFIoURRetinaHead", _KF).replace("dict(", "dict(_delete_=True,", 1)},
    refine_heads=[{_r3_refine0("KFIoURRetinaRefineHead", _KF)}])
""".replace("{s}", ""),
    "rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota": _fcos0(
        "RotatedIoULoss", "type='RotatedFCOSHead', separate_angle=False, scale_angle=True"
    ),
    "rotated_fcos/rotated-fcos-hbox-le90_r50_fpn_1x_dota": _fcos0(
        "GIoULoss",
        "type='RotatedFCOSHead', separate_angle=True, scale_angle=True, "
        "h_bbox_coder=dict(type='DistancePointBBoxCoder'), loss_angle=dict(type='L1Loss', loss_weight=0.2)",
    ),
    "rotated_fcos/rotated-fcos-hbox-le90_r50_fpn_csl-gaussian_1x_dota": _fcos0(
        "GIoULoss",
        f"type='CSLRFCOSHead', separate_angle=True, scale_angle=False, angle_coder=dict({_CSL.format(1, 1)}), "
        f"loss_angle=dict({_SMOOTH_FOCAL.format(0.2)})",
    ),
    "rotated_faster_rcnn/rotated-faster-rcnn-le90_r50_fpn_1x_dota": _two_stage0(
        "RotatedFasterRCNN",
        _UPRIGHT_RPN0,
        "type='RotatedStandardRoIHead', version=angle_version, "
        f"bbox_roi_extractor={_ROIS}, bbox_head={_head0(_BY_HBOX0, _HALVES, True)}",
        _stage0("RandomSampler"),
    ),
    "oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota": _two_stage0(
        "OrientedRCNN",
        _ORIENTED_RPN0,
        f"type='OrientedStandardRoIHead', bbox_roi_extractor={_ROTATED_ROIS}, "
        f"bbox_head={_head0(_BY_RBOX0, _HALVES, True)}",
        _stage0("RRandomSampler", _BY_RIOU),
        thr="0.8",
    ),
    "roi_trans/roi-trans-le90_r50_fpn_1x_dota": _two_stage0(
        "RoITransformer",
        _UPRIGHT_RPN0,
        "type='RoITransRoIHead', version=angle_version, num_stages=2, stage_loss_weights=[1, 1], "
        f"bbox_roi_extractor=[{_ROIS}, {_ROTATED_ROIS}], "
        f"bbox_head=[{_head0(_BY_HBOX0, '[0.1, 0.1, 0.2, 0.2, 1]', True)}, "
        f"{_head0(_BY_RBOX0, '[0.05, 0.05, 0.1, 0.1, 0.5]', False)}]",
        f"[{_stage0('RandomSampler', _BY_IOU)}, {_stage0('RRandomSampler', _BY_RIOU)}]",
    ),
}


def write(folder: Path, version: Mapping[str, str], name: str) -> Path:
    """Writes the configs of a version, which name each other as bases, and returns the path of one."""
    for path, text in version.items():
        file = folder / f"{path}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / f"{name}.py"
