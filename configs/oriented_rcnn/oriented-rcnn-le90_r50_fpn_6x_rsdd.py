_base_ = [
    '../_base_/models/oriented-rcnn-le90_r50_fpn.py',
    '../_base_/datasets/rsdd.py',
    '../_base_/schedules/schedule_6x.py',
    '../_base_/default_runtime.py'
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=1)))

optim_wrapper = dict(optimizer=dict(lr=0.005))
