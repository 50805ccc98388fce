_base_ = 'r3det-oc_r50_fpn_1x_dota.py'

# A second head refines the boxes of the first, and asks for more overlap.
head = _base_.model['bbox_head_refine'][0]
stage = _base_.model['train_cfg']['refine'][0]
strict = {**stage['assigner'], 'pos_iou_thr': 0.7, 'neg_iou_thr': 0.6}
model = dict(
    bbox_head_refine=[head, head],
    train_cfg=dict(
        refine=[stage, {**stage, 'assigner': strict}],
        stage_loss_weights=[1.0, 1.0]))
