_base_ = '../r3det/r3det-oc_r50_fpn_1x_dota.py'

kld = dict(
    reg_decoded_bbox=True,
    loss_bbox=dict(
        type='GDLoss',
        loss_type='kld',
        fun='log1p',
        tau=1.0,
        sqrt=False,
        loss_weight=5.0))
model = dict(
    bbox_head_init={**_base_.model['bbox_head_init'], **kld, '_delete_': True},
    bbox_head_refine=[{**_base_.model['bbox_head_refine'][0], **kld}])
