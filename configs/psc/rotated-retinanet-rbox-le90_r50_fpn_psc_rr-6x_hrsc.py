_base_ = '../rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_rr-6x_hrsc.py'

angle_version = 'le90'

model = dict(
    bbox_head=dict(
        type='AngleBranchRetinaHead',
        angle_coder=dict(
            type='PSCCoder',
            angle_version=angle_version,
            dual_freq=False,
            num_step=3),
        loss_bbox=dict(type='L1Loss', loss_weight=0.5),
        loss_angle=dict(type='L1Loss', loss_weight=0.2)))
