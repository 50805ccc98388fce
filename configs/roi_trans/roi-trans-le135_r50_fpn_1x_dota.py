_base_ = 'roi-trans-le90_r50_fpn_1x_dota.py'

angle_version = 'le135'

stages = _base_.model['roi_head']['bbox_head']
model = dict(
    roi_head=dict(
        bbox_head=[
            {**stages[0], 'bbox_coder': {**stages[0]['bbox_coder'], 'angle_version': angle_version}},
            {**stages[1], 'bbox_coder': {**stages[1]['bbox_coder'], 'angle_version': angle_version}}
        ]))
