_base_ = [
    '../_base_/models/roi-trans-le90_r50_fpn.py',
    '../_base_/datasets/hrsc_rr.py',
    '../_base_/schedules/schedule_6x.py',
    '../_base_/default_runtime.py'
]

stages = _base_.model['roi_head']['bbox_head']
model = dict(
    roi_head=dict(bbox_head=[{**stages[0], 'num_classes': 1}, {**stages[1], 'num_classes': 1}]))

optim_wrapper = dict(optimizer=dict(lr=0.005))
