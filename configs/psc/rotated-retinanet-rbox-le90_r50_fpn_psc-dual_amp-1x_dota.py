_base_ = '../rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_amp-1x_dota.py'

angle_version = 'le90'

model = dict(
    bbox_head=dict(
        type='AngleBranchRetinaHead',
        # As the 0.x detector whose weights the published one starts from: all anchors have the angle 0.
        anchor_generator=dict(angle_version=None),
        use_normalized_angle_feat=True,
        angle_coder=dict(
            type='PSCCoder',
            angle_version=angle_version,
            dual_freq=True,
            num_step=3),
        loss_bbox=dict(type='L1Loss', loss_weight=0.5),
        loss_angle=dict(type='L1Loss', loss_weight=0.2)))
