_base_ = 'rotated-retinanet-rbox-le90_r50_fpn_rr-6x_hrsc.py'

angle_version = 'oc'

model = dict(
    bbox_head=dict(
        anchor_generator=dict(angle_version=angle_version),
        bbox_coder=dict(angle_version=angle_version)),
    # Anchors and objects are compared by their horizontal boxes.
    train_cfg=dict(assigner=dict(iou_calculator=dict(type='FakeRBboxOverlaps2D'))))
