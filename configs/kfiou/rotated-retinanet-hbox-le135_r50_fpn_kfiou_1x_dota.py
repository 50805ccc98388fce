_base_ = 'rotated-retinanet-rbox-le135_r50_fpn_kfiou_1x_dota.py'

# Anchors and objects are compared by their horizontal boxes.
model = dict(train_cfg=dict(assigner=dict(iou_calculator=dict(type='FakeRBboxOverlaps2D'))))
