_base_ = 'rotated-fcos-le90_r50_fpn_1x_dota.py'

model = dict(
    bbox_head=dict(
        use_hbbox_loss=True,
        angle_coder=dict(type='PseudoAngleCoder'),
        loss_bbox=dict(type='IoULoss', loss_weight=1.0),
        loss_angle=dict(_delete_=True, type='L1Loss', loss_weight=0.2)))
