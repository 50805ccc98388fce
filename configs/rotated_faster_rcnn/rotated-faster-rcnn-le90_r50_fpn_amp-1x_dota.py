_base_ = 'rotated-faster-rcnn-le90_r50_fpn_1x_dota.py'

optim_wrapper = dict(type='AmpOptimWrapper')
