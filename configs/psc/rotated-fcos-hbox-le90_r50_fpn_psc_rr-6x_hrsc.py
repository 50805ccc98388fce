_base_ = '../rotated_fcos/rotated-fcos-le90_r50_fpn_rr-6x_hrsc.py'

angle_version = 'le90'

model = dict(
    bbox_head=dict(
        use_hbbox_loss=True,
        scale_angle=False,
        angle_coder=dict(
            type='PSCCoder',
            angle_version=angle_version,
            dual_freq=False,
            num_step=3),
        loss_bbox=dict(type='IoULoss', loss_weight=1.0),
        loss_angle=dict(_delete_=True, type='L1Loss', loss_weight=0.2)))
