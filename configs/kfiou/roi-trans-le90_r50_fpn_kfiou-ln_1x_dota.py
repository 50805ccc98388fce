_base_ = '../roi_trans/roi-trans-le90_r50_fpn_1x_dota.py'

stages = _base_.model['roi_head']['bbox_head']
kfiou = dict(
    type='RotatedShared2FCBBoxHead',
    loss_bbox_type='kfiou',
    loss_bbox=dict(type='KFLoss', fun='ln', loss_weight=5.0))
model = dict(roi_head=dict(bbox_head=[{**stages[0], **kfiou}, {**stages[1], **kfiou}]))
