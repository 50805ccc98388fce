_base_ = 'ssdd.py'

data_root = 'data/rsdd/'

train_dataloader = dict(
    dataset=dict(
        data_root=data_root, ann_file='ImageSets/train.json', data_prefix=dict(img='JPEGImages/')))
val_dataloader = dict(
    dataset=dict(
        data_root=data_root, ann_file='ImageSets/test.json', data_prefix=dict(img='JPEGImages/')))
test_dataloader = val_dataloader
