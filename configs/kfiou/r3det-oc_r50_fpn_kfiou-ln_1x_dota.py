_base_ = '../r3det/r3det-oc_r50_fpn_1x_dota.py'

kfiou = dict(loss_bbox_type='kfiou', loss_bbox=dict(type='KFLoss', fun='ln', loss_weight=5.0))
model = dict(
    bbox_head_init=kfiou,  # keeps the base's beta
    bbox_head_refine=[{**_base_.model['bbox_head_refine'][0], **kfiou}])
