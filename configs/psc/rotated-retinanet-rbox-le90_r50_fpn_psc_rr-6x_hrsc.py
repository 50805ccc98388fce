_base_ = '../rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_rr-6x_hrsc.py'

angle_version = 'le90'

model = dict(
    bbox_head=dict(
        type='AngleBranchRetinaHead',
        anchor_generator=dict(angle_version=None),
        use_normalized_angle_feat=True,
        angle_coder=dict(
            type='PSCCoder',
            angle_version=angle_version,
            dual_freq=False,
            num_step=3,
            thr_mod=0.0),
        loss_bbox=dict(type='L1Loss', loss_weight=0.7),
        loss_angle=dict(type='L1Loss', loss_weight=0.6)))
