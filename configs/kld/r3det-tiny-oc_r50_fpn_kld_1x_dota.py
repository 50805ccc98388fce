_base_ = 'r3det-oc_r50_fpn_kld_1x_dota.py'

# As MMRotate's: the first head keeps its four layers, unlike that of r3det-tiny-oc_r50_fpn_1x_dota.
model = dict(bbox_head_refine=[{**_base_.model['bbox_head_refine'][0], 'stacked_convs': 2}])
