_base_ = 'resnet50.py'

angle_version = 'oc'
strides = [8, 16, 32, 64, 128]

# Both heads have layers, losses and a coder alike.
head = dict(
    num_classes=15,
    in_channels=256,
    stacked_convs=4,
    feat_channels=256,
    bbox_coder=dict(
        type='DeltaXYWHTRBBoxCoder',
        angle_version=angle_version,
        norm_factor=None,
        edge_swap=False,
        proj_xy=False,
        target_means=(0.0, 0.0, 0.0, 0.0, 0.0),
        target_stds=(1.0, 1.0, 1.0, 1.0, 1.0)),
    loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
    loss_bbox=dict(type='SmoothL1Loss', beta=0.11, loss_weight=1.0))

model = dict(
    type='RefineSingleStageDetector',
    neck=dict(
        type='FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        start_level=1,
        add_extra_convs='on_input',
        num_outs=5),
    bbox_head_init=dict(
        type='R3Head',
        anchor_generator=dict(
            type='FakeRotatedAnchorGenerator',
            angle_version=angle_version,
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[1.0, 0.5, 2.0],
            strides=strides),
        **head),
    bbox_head_refine=[
        dict(
            type='R3RefineHead',
            frm_cfg=dict(type='FRM', feat_channels=256, strides=strides),
            anchor_generator=dict(type='PseudoRotatedAnchorGenerator', strides=strides),
            **head)
    ],
    train_cfg=dict(
        init=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.4,
                min_pos_iou=0,
                ignore_iof_thr=-1,
                iou_calculator=dict(type='RBboxOverlaps2D')),
            allowed_border=-1,
            pos_weight=-1),
        refine=[
            dict(
                assigner=dict(
                    type='MaxIoUAssigner',
                    pos_iou_thr=0.6,
                    neg_iou_thr=0.5,
                    min_pos_iou=0,
                    ignore_iof_thr=-1,
                    iou_calculator=dict(type='RBboxOverlaps2D')),
                allowed_border=-1,
                pos_weight=-1)
        ],
        stage_loss_weights=[1.0]),
    test_cfg=dict(
        nms_pre=2000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms_rotated', iou_threshold=0.1),
        max_per_img=2000))
