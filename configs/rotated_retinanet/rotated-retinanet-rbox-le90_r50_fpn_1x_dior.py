_base_ = [
    '../_base_/models/rotated-retinanet-rbox-le90_r50_fpn.py',
    '../_base_/datasets/dior.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=20))
