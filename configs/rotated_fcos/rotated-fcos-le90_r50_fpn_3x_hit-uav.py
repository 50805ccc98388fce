_base_ = [
    '../_base_/models/rotated-fcos-le90_r50_fpn.py',
    '../_base_/datasets/hit_uav.py',
    '../_base_/schedules/schedule_3x.py',
    '../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=3))
