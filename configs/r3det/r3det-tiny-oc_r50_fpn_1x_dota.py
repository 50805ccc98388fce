_base_ = 'r3det-oc_r50_fpn_1x_dota.py'

model = dict(
    bbox_head_init=dict(stacked_convs=2),
    bbox_head_refine=[{**_base_.model['bbox_head_refine'][0], 'stacked_convs': 2}])
