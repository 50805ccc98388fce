_base_ = [
    '../_base_/models/rotated-retinanet-rbox-le90_r50_fpn.py',
    '../_base_/datasets/dota_ms_rr.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py'
]
