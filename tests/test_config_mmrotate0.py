"""Configs of MMRotate 0.x become those of 1.x: the models of five families, data, schedule, runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rotx.compat import load_config as load
from rotx.config import ConfigError, dumps

IMAGENET = "img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)\n"

DATA = (
    "root = 'data/dota/'\n"
    "data_root = root\n"
    + IMAGENET
    + """
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RResize', img_scale=(1024, 1024)),
    dict(type='RRandomFlip', flip_ratio=[0.25, 0.25, 0.25],
         direction=['horizontal', 'vertical', 'diagonal'], version='le90'),
    dict(type='PolyRandomRotate', rotate_ratio=0.5, angles_range=180, auto_bound=False,
         rect_classes=[9, 11], version='le90'),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='Pad', size_divisor=32),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels'])
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(1024, 1024), flip=False, transforms=[
        dict(type='RResize'), dict(type='Normalize', **img_norm_cfg), dict(type='Pad', size_divisor=32),
        dict(type='DefaultFormatBundle'), dict(type='Collect', keys=['img'])])
]
data = dict(
    samples_per_gpu=2, workers_per_gpu=4,
    train=dict(type='DOTADataset', ann_file=data_root + 'trainval/annfiles/',
               img_prefix=data_root + 'trainval/images/', pipeline=train_pipeline, version='le90'),
    val=dict(type='DOTADataset', ann_file=data_root + 'trainval/annfiles/',
             img_prefix=data_root + 'trainval/images/', pipeline=test_pipeline, version='le90'),
    test=dict(type='DOTADataset', ann_file=data_root + 'test/images/',
              img_prefix=data_root + 'test/images/', pipeline=test_pipeline, version='le90'))
"""
)

SCHEDULE = """
evaluation = dict(interval=3, metric='mAP')
optimizer = dict(type='SGD', lr=0.0025, momentum=0.9, weight_decay=0.0001)
optimizer_config = dict(grad_clip=dict(max_norm=35, norm_type=2))
lr_config = dict(policy='step', warmup='linear', warmup_iters=500, warmup_ratio=1.0 / 3, step=[8, 11])
runner = dict(type='EpochBasedRunner', max_epochs=12)
checkpoint_config = dict(interval=1, max_keep_ckpts=2)
log_config = dict(interval=50, hooks=[dict(type='TextLoggerHook'), dict(type='TensorboardLoggerHook')])
dist_params = dict(backend='nccl')
log_level = 'INFO'
load_from = None
resume_from = 'last.pth'
workflow = [('train', 1)]
opencv_num_threads = 0
mp_start_method = 'fork'
fp16 = dict(loss_scale='dynamic')
"""


def translated(folder: Path, text: str) -> tuple[dict[str, Any], list[str]]:
    """The config, and the notices without the name of the file."""
    path = folder / "old.py"
    path.write_text(text)
    notices: list[str] = []
    config = load(path, notice=notices.append)
    assert all(notice.startswith(f"{path}: ") for notice in notices)
    again = folder / "new.py"
    again.write_text(dumps(config))
    assert load(again, notice=pytest.fail) == config, "what is translated is not translated again"
    return config, [notice.removeprefix(f"{path}: ") for notice in notices]


def test_data(tmp_path: Path) -> None:
    config, _ = translated(tmp_path, DATA)
    annotations = [
        {"type": "LoadAnnotations", "with_bbox": True, "box_type": "qbox"},
        {"type": "ConvertBoxType", "box_type_mapping": {"gt_bboxes": "rbox"}},
    ]
    resize = {"type": "Resize", "scale": (1024, 1024), "keep_ratio": True}
    pack = {"type": "PackDetInputs", "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")}
    assert config["train_dataloader"] == {
        "batch_size": 2,
        "num_workers": 4,
        "persistent_workers": True,
        "sampler": {"type": "DefaultSampler", "shuffle": True},
        "dataset": {
            "type": "DOTADataset",
            "data_root": "data/dota/",
            "ann_file": "trainval/annfiles/",
            "data_prefix": {"img_path": "trainval/images/"},
            "filter_cfg": {"filter_empty_gt": True},
            "pipeline": [
                {"type": "LoadImageFromFile"},
                *annotations,
                resize,
                {"type": "RandomFlip", "prob": 0.75, "direction": ["horizontal", "vertical", "diagonal"]},
                {"type": "RandomRotate", "prob": 0.5, "angle_range": 180, "rect_obj_labels": [9, 11]},
                {"type": "PackDetInputs"},
            ],
        },
    }
    val = config["val_dataloader"]
    assert (val["batch_size"], val["sampler"]) == (1, {"type": "DefaultSampler", "shuffle": False})
    assert val["dataset"]["test_mode"] is True
    assert val["dataset"]["pipeline"] == [{"type": "LoadImageFromFile"}, resize, *annotations, pack]
    test = config["test_dataloader"]["dataset"]
    assert (test["ann_file"], test["data_prefix"]) == ("", {"img_path": "test/images/"})
    assert test["pipeline"] == [{"type": "LoadImageFromFile"}, resize, pack]
    assert config["test_evaluator"]["format_only"] is True
    assert config["val_evaluator"] == {"type": "DOTAMetric", "metric": "mAP"}
    gone = {"data", "img_norm_cfg", "train_pipeline", "test_pipeline"}
    assert not gone & config.keys()
    assert config["root"] == "data/dota/", "names of the user's stay"


def test_hrsc_and_repeats(tmp_path: Path) -> None:
    text = """
data_root = 'data/hrsc/'
part = dict(type='HRSCDataset', classwise=False, ann_file=data_root + 'ImageSets/trainval.txt',
            ann_subdir=data_root + 'FullDataSet/Annotations/', img_subdir=data_root + 'FullDataSet/AllImages/',
            img_prefix=data_root + 'FullDataSet/AllImages/', pipeline=[])
data = dict(samples_per_gpu=2, workers_per_gpu=0, train=dict(type='RepeatDataset', times=3, dataset=part))
"""
    loader = translated(tmp_path, text)[0]["train_dataloader"]
    assert loader["persistent_workers"] is False
    assert loader["dataset"]["times"] == 3
    assert loader["dataset"]["dataset"] == {
        "type": "HRSCDataset",
        "data_root": "data/hrsc/",
        "ann_file": "ImageSets/trainval.txt",
        "ann_subdir": "Annotations",
        "img_subdir": "AllImages",
        "data_prefix": {"sub_data_root": "FullDataSet/"},
        "filter_cfg": {"filter_empty_gt": True},
        "classwise": False,
        "pipeline": [{"type": "PackDetInputs"}],
    }


def test_several_datasets(tmp_path: Path) -> None:
    part = "dict(type='DOTADataset', ann_file='{0}/ann', img_prefix='{0}/img', pipeline=[])"
    parts = f"[{part.format('a')}, {part.format('b')}]"
    both = f"dict(type='ConcatDataset', datasets={parts})"
    config, _ = translated(tmp_path, f"data = dict(train={parts}, val={both}, test={both})")
    for name in ("train", "val", "test"):
        dataset = config[f"{name}_dataloader"]["dataset"]
        assert set(dataset) == {"type", "datasets"} and dataset["type"] == "ConcatDataset"
        assert [one["ann_file"] for one in dataset["datasets"]] == ["a/ann", "b/ann"]
        assert all(("test_mode" in one) == (name != "train") for one in dataset["datasets"])
    assert "format_only" not in config["test_evaluator"]


def test_paths_that_are_not_below_the_root_stay(tmp_path: Path) -> None:
    text = "data_root = 'a/'\ndata = dict(train=dict(type='X', ann_file='b/ann', img_prefix='b/img', pipeline=[]))"
    dataset = translated(tmp_path, text)[0]["train_dataloader"]["dataset"]
    assert dataset["ann_file"] == "b/ann" and dataset["data_prefix"] == {"img_path": "b/img"}
    assert "data_root" not in dataset


@pytest.mark.parametrize(
    ("step", "new"),
    [
        ("type='RResize', img_scale=[(8, 8)]", {"type": "Resize", "scale": (8, 8), "keep_ratio": True}),
        (
            "type='RResize', img_scale=[(8, 8), (9, 9)], multiscale_mode='value'",
            {"type": "RandomChoiceResize", "scales": [(8, 8), (9, 9)], "keep_ratio": True},
        ),
        (
            "type='RResize', img_scale=[(8, 8), (9, 9)]",
            {"type": "RandomResize", "scale": [(8, 8), (9, 9)], "keep_ratio": True},
        ),
        (
            "type='RResize', img_scale=(8, 8), ratio_range=(0.5, 2)",
            {"type": "RandomResize", "scale": (8, 8), "ratio_range": (0.5, 2), "keep_ratio": True},
        ),
        ("type='RRandomFlip', flip_ratio=0.5", {"type": "RandomFlip", "prob": 0.5, "direction": "horizontal"}),
        (
            "type='RRandomFlip', flip_ratio=[0.1, 0.2], direction=['horizontal', 'vertical']",
            {"type": "RandomFlip", "prob": [0.1, 0.2], "direction": ["horizontal", "vertical"]},
        ),
        (
            "type='PolyRandomRotate', mode='value', angles_range=[30, 60], rotate_ratio=1",
            {"type": "RandomChoiceRotate", "prob": 1, "angles": [30, 60]},
        ),
        ("type='Own', a=1", {"type": "Own", "a": 1}),
    ],
)
def test_steps_of_pipelines(tmp_path: Path, step: str, new: dict[str, Any]) -> None:
    config, notices = translated(tmp_path, f"data = dict(train=dict(type='X', pipeline=[dict({step})]))")
    assert config["train_dataloader"]["dataset"]["pipeline"] == [new, {"type": "PackDetInputs"}]
    assert any("the step Own" in notice for notice in notices) == (new["type"] == "Own")


def test_a_flip_that_only_others_ask_for(tmp_path: Path) -> None:
    config, _ = translated(tmp_path, "data = dict(train=dict(type='X', pipeline=[dict(type='RRandomFlip')]))")
    assert config["train_dataloader"]["dataset"]["pipeline"] == [{"type": "PackDetInputs"}]


def test_schedule_and_runtime(tmp_path: Path) -> None:
    config, notices = translated(tmp_path, SCHEDULE)
    assert config == {
        "log_level": "INFO",
        "load_from": "last.pth",
        "resume": True,
        "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": 12, "val_interval": 3},
        "val_cfg": {"type": "ValLoop"},
        "test_cfg": {"type": "TestLoop"},
        "optim_wrapper": {
            "type": "AmpOptimWrapper",
            "optimizer": {"type": "SGD", "lr": 0.0025, "momentum": 0.9, "weight_decay": 0.0001},
            "clip_grad": {"max_norm": 35, "norm_type": 2},
            "loss_scale": "dynamic",
        },
        "param_scheduler": [
            {"type": "LinearLR", "start_factor": 1.0 / 3, "by_epoch": False, "begin": 0, "end": 500},
            {"type": "MultiStepLR", "begin": 0, "end": 12, "by_epoch": True, "milestones": [8, 11], "gamma": 0.1},
        ],
        "default_hooks": {
            "checkpoint": {"type": "CheckpointHook", "interval": 1, "max_keep_ckpts": 2},
            "logger": {"type": "LoggerHook", "interval": 50},
        },
        "env_cfg": {
            "mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0},
            "dist_cfg": {"backend": "nccl"},
        },
        "vis_backends": [{"type": "TensorboardVisBackend"}],
    }
    assert notices[0].startswith("translated from MMRotate 0.x: evaluation, optimizer, optimizer_config")
    assert notices[1:] == [
        "left out, for it has no counterpart: evaluation: metric",
    ]


def test_adamw_with_a_cosine(tmp_path: Path) -> None:
    text = """
optimizer = dict(type='AdamW', lr=1e-4, paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.)}))
optimizer_config = dict(grad_clip=None)
lr_config = dict(policy='CosineAnnealing', min_lr_ratio=1e-2)
total_epochs = 36
"""
    config, _ = translated(tmp_path, text)
    assert config["optim_wrapper"] == {
        "type": "OptimWrapper",
        "optimizer": {"type": "AdamW", "lr": 1e-4},
        "paramwise_cfg": {"custom_keys": {"norm": {"decay_mult": 0.0}}},
    }
    cosine = {"type": "CosineAnnealingLR", "T_max": 36, "eta_min_ratio": 1e-2}
    assert config["param_scheduler"] == [{"begin": 0, "end": 36, "by_epoch": True, **cosine}]


HEAD = """
    num_classes=15, in_channels=256, stacked_convs=4, feat_channels=256,
    loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
"""
RETINA = (
    """
model = dict(
    type='RotatedRetinaNet', backbone=dict(type='ResNet', depth=50), neck=dict(type='FPN', num_outs=5),
    bbox_head=dict(type='RotatedRetinaHead', assign_by_circumhbbox=None,"""
    + HEAD
    + """
        anchor_generator=dict(type='RotatedAnchorGenerator', octave_base_scale=4, scales_per_octave=3,
                              ratios=[1.0, 0.5, 2.0], strides=[8, 16, 32, 64, 128]),
        bbox_coder=dict(type='DeltaXYWHAOBBoxCoder', angle_range='le90', norm_factor=None, edge_swap=True,
                        proj_xy=True, target_means=(.0, .0, .0, .0, .0), target_stds=(1.0, 1.0, 1.0, 1.0, 1.0)),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    train_cfg=dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0,
                                 ignore_iof_thr=-1, iou_calculator=dict(type='RBboxOverlaps2D')),
                   allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=2000, min_bbox_size=0, score_thr=0.05, nms=dict(iou_thr=0.1), max_per_img=2000))
"""
)
FOCAL = {"type": "FocalLoss", "use_sigmoid": True, "gamma": 2.0, "alpha": 0.25, "loss_weight": 1.0}


def child_of(folder: Path, base: str, text: str) -> dict[str, Any]:
    """The model of a config with a base, as in 0.x."""
    (folder / "base.py").write_text(base)
    model: dict[str, Any] = translated(folder, f"_base_ = 'base.py'\n{text}")[0]["model"]
    return model


def test_rotated_retinanet(tmp_path: Path) -> None:
    config, _ = translated(tmp_path, RETINA + DATA)
    assert config["model"] == {
        "type": "RetinaNet",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "bgr_to_rgb": True,
            "pad_size_divisor": 32,
        },
        "backbone": {"type": "ResNet", "depth": 50},
        "neck": {"type": "FPN", "num_outs": 5},
        "bbox_head": {
            "type": "RetinaHead",
            "num_classes": 15,
            "in_channels": 256,
            "stacked_convs": 4,
            "feat_channels": 256,
            "loss_cls": FOCAL,
            "anchor_generator": {
                "type": "FakeRotatedAnchorGenerator",
                "angle_version": None,  # all with angle 0
                "octave_base_scale": 4,
                "scales_per_octave": 3,
                "ratios": [1.0, 0.5, 2.0],
                "strides": [8, 16, 32, 64, 128],
            },
            "bbox_coder": {
                "type": "DeltaXYWHTRBBoxCoder",
                "angle_version": "le90",
                "norm_factor": None,
                "edge_swap": True,
                "proj_xy": True,
                "target_means": (0.0,) * 5,
                "target_stds": (1.0,) * 5,
            },
            "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
        },
        "train_cfg": {
            "assigner": {
                "type": "MaxIoUAssigner",
                "pos_iou_thr": 0.5,
                "neg_iou_thr": 0.4,
                "min_pos_iou": 0,
                "ignore_iof_thr": -1,
                "iou_calculator": {"type": "RBboxOverlaps2D"},
            },
            "sampler": {"type": "PseudoSampler"},
            "allowed_border": -1,
            "pos_weight": -1,
            "debug": False,
        },
        "test_cfg": {
            "nms_pre": 2000,
            "min_bbox_size": 0,
            "score_thr": 0.05,
            "nms": {"type": "nms_rotated", "iou_threshold": 0.1},
            "max_per_img": 2000,
        },
    }


def calculator(stage: dict[str, Any]) -> str:
    return str(stage["assigner"]["iou_calculator"]["type"])


def test_retinanet_by_upright_boxes(tmp_path: Path) -> None:
    model = child_of(tmp_path, RETINA, "model = dict(bbox_head=dict(assign_by_circumhbbox='oc'))")
    assert calculator(model["train_cfg"]) == "FakeRBboxOverlaps2D"
    assert "assign_by_circumhbbox" not in model["bbox_head"]


def test_what_a_retina_head_of_0x_took_for_granted(tmp_path: Path) -> None:
    text = """
model = dict(type='RotatedRetinaNet', pretrained='torchvision://resnet50', backbone=dict(type='ResNet'),
             bbox_head=dict(type='RotatedRetinaHead', num_classes=1, in_channels=256),
             train_cfg=dict(assigner=dict(type='MaxIoUAssigner', iou_calculator=dict(type='RBboxOverlaps2D'))))
"""
    model = translated(tmp_path, text)[0]["model"]
    assert model["backbone"]["init_cfg"] == {"type": "Pretrained", "checkpoint": "torchvision://resnet50"}
    assert "pretrained" not in model
    head = model["bbox_head"]
    assert head["loss_cls"] == FOCAL and head["loss_bbox"] == {"type": "L1Loss", "loss_weight": 1.0}
    assert head["bbox_coder"] == {"type": "DeltaXYWHTRBBoxCoder", "angle_version": "oc"}
    assert head["anchor_generator"]["angle_version"] is None
    assert head["anchor_generator"]["strides"] == [8, 16, 32, 64, 128]
    assert calculator(model["train_cfg"]) == "FakeRBboxOverlaps2D"


@pytest.mark.parametrize(
    "loss",
    [
        "dict(type='GDLoss', loss_type='gwd', loss_weight=5.0)",
        "dict(_delete_=True, type='GDLoss', loss_type='kld', fun='log1p', tau=1, sqrt=False, loss_weight=5.5)",
    ],
)
def test_retinanet_with_gaussian_losses(tmp_path: Path, loss: str) -> None:
    head = child_of(tmp_path, RETINA, f"model = dict(bbox_head=dict(reg_decoded_bbox=True, loss_bbox={loss}))")[
        "bbox_head"
    ]
    assert head["type"] == "RetinaHead" and head["reg_decoded_bbox"] is True
    assert head["loss_bbox"]["type"] == "GDLoss" and "_delete_" not in head["loss_bbox"]


def test_retinanet_with_kfiou(tmp_path: Path) -> None:
    text = "model = dict(bbox_head=dict(type='KFIoURRetinaHead', assign_by_circumhbbox='le90', "
    model = child_of(tmp_path, RETINA, text + "loss_bbox=dict(type='KFLoss', loss_weight=5.0)))")
    head = model["bbox_head"]
    assert (head["type"], head["loss_bbox_type"]) == ("RotatedRetinaHead", "kfiou")
    assert head["loss_bbox"] == {"type": "KFLoss", "loss_weight": 5.0}
    assert calculator(model["train_cfg"]) == "FakeRBboxOverlaps2D"


def test_retinanet_with_csl(tmp_path: Path) -> None:
    coder = "dict(type='CSLCoder', angle_version='le90', omega=4, window='gaussian', radius=3)"
    loss = "dict(type='SmoothFocalLoss', gamma=2.0, alpha=0.25, loss_weight=0.8)"
    text = f"model = dict(bbox_head=dict(type='CSLRRetinaHead', angle_coder={coder}, loss_angle={loss}))"
    head = child_of(tmp_path, RETINA, text)["bbox_head"]
    assert head["type"] == "AngleBranchRetinaHead"
    assert head["angle_coder"]["omega"] == 4 and head["loss_angle"]["loss_weight"] == 0.8


FCOS = (
    """
model = dict(
    type='RotatedFCOS', backbone=dict(type='ResNet'), neck=dict(type='FPN'),
    bbox_head=dict(type='RotatedFCOSHead',"""
    + HEAD
    + """
        strides=[8, 16, 32, 64, 128], center_sampling=True, center_sample_radius=1.5, norm_on_bbox=True,
        centerness_on_reg=True, separate_angle=False, scale_angle=True,
        bbox_coder=dict(type='DistanceAnglePointCoder', angle_version='le90'),
        h_bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_bbox=dict(type='RotatedIoULoss', loss_weight=1.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)),
    train_cfg=None,
    test_cfg=dict(nms_pre=2000, min_bbox_size=0, score_thr=0.05, nms=dict(iou_thr=0.1), max_per_img=2000))
"""
)


def test_rotated_fcos(tmp_path: Path) -> None:
    model = translated(tmp_path, FCOS)[0]["model"]
    assert (model["type"], model["train_cfg"]) == ("FCOS", None)
    assert model["bbox_head"] == {
        "type": "RotatedFCOSHead",
        "num_classes": 15,
        "in_channels": 256,
        "stacked_convs": 4,
        "feat_channels": 256,
        "loss_cls": FOCAL,
        "strides": [8, 16, 32, 64, 128],
        "center_sampling": True,
        "center_sample_radius": 1.5,
        "norm_on_bbox": True,
        "centerness_on_reg": True,
        "use_hbbox_loss": False,
        "scale_angle": True,
        "bbox_coder": {"type": "DistanceAnglePointCoder", "angle_version": "le90"},
        "loss_bbox": {"type": "RotatedIoULoss", "loss_weight": 1.0},
        "loss_angle": None,
        "loss_centerness": {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0},
    }
    assert model["test_cfg"]["nms"] == {"type": "nms_rotated", "iou_threshold": 0.1}


def test_rotated_fcos_with_an_angle_of_its_own(tmp_path: Path) -> None:
    text = "loss_angle=dict(type='L1Loss', loss_weight=0.2)"
    head = child_of(tmp_path, FCOS, f"model = dict(bbox_head=dict(separate_angle=True, {text}))")["bbox_head"]
    assert head["use_hbbox_loss"] is True
    assert head["angle_coder"] == {"type": "PseudoAngleCoder"}
    assert head["loss_angle"] == {"type": "L1Loss", "loss_weight": 0.2}


def test_rotated_fcos_with_csl(tmp_path: Path) -> None:
    text = "angle_coder=dict(type='CSLCoder', angle_version='le90', omega=1, window='gaussian', radius=1)"
    text = f"model = dict(bbox_head=dict(type='CSLRFCOSHead', separate_angle=True, scale_angle=False, {text}))"
    head = child_of(tmp_path, FCOS, text)["bbox_head"]
    assert (head["type"], head["use_hbbox_loss"], head["scale_angle"]) == ("RotatedFCOSHead", True, False)
    assert head["angle_coder"]["radius"] == 1
    assert head["loss_angle"] == {"type": "L1Loss", "loss_weight": 1.0}, "0.x took this for granted"


RPN = """
    rpn_head=dict(type='{head}', in_channels=256, feat_channels=256, version='le90',
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict({coder}),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='SmoothL1Loss', beta=1.0 / 9.0, loss_weight=1.0)),
"""
UPRIGHT_RPN = RPN.format(head="RotatedRPNHead", coder="type='DeltaXYWHBBoxCoder'")
ORIENTED_RPN = RPN.format(head="OrientedRPNHead", coder="type='MidpointOffsetCoder', angle_range='le90'")
UPRIGHT_ROIS = "dict(type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0))"
ROTATED_ROIS = (
    "dict(type='RotatedSingleRoIExtractor', "
    "roi_layer=dict(type='RoIAlignRotated', out_size=7, sample_num=2, clockwise=True))"
)
UPRIGHT_HEAD = (
    "dict(type='RotatedShared2FCBBoxHead', num_classes=15, reg_class_agnostic=True, "
    "bbox_coder=dict(type='DeltaXYWHAHBBoxCoder', angle_range='le90', norm_factor=2, edge_swap=True))"
)
ROTATED_HEAD = (
    "dict(type='RotatedShared2FCBBoxHead', num_classes=15, reg_class_agnostic=False, "
    "bbox_coder=dict(type='DeltaXYWHAOBBoxCoder', angle_range='le90', norm_factor=None, edge_swap=True, proj_xy=True))"
)
SAMPLED = "sampler=dict(type='{}', num=512)"
RPN_TRAIN = (
    "rpn=dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7), sampler=dict(type='RandomSampler', num=256)), "
    "rpn_proposal=dict(nms_pre=2000, nms=dict(iou_threshold=0.7)), "
)
TEST = (
    "test_cfg=dict(rpn=dict(nms_pre=2000, nms=dict(type='nms', iou_threshold=0.7)), "
    "rcnn=dict(score_thr=0.05, nms=dict({}), max_per_img=2000))"
)


def two_stage(name: str, rpn: str, roi: str, rcnn: str, nms: str = "iou_thr=0.1") -> str:
    return (
        f"model = dict(type='{name}', backbone=dict(type='ResNet'), neck=dict(type='FPN'), {rpn} roi_head={roi}, "
        f"train_cfg=dict({RPN_TRAIN} rcnn={rcnn}), {TEST.format(nms)})\n"
    )


def check_two_stage(model: dict[str, Any], detector: str, rpn: str, roi: str) -> None:
    """What the three detectors with proposals have in common."""
    assert model["type"] == detector
    assert model["rpn_head"]["type"] == rpn and "version" not in model["rpn_head"]
    assert model["roi_head"]["type"] == roi and "version" not in model["roi_head"]
    assert calculator(model["train_cfg"]["rpn"]) == "RBbox2HBboxOverlaps2D"
    assert model["train_cfg"]["rpn_proposal"]["nms"] == {"type": "nms", "iou_threshold": 0.7}
    assert model["test_cfg"]["rpn"]["nms"] == {"type": "nms", "iou_threshold": 0.7}
    assert model["test_cfg"]["rcnn"]["nms"] == {"type": "nms_rotated", "iou_threshold": 0.1}


def test_rotated_faster_rcnn(tmp_path: Path) -> None:
    roi = "dict(type='RotatedStandardRoIHead', version='le90', "
    roi += f"bbox_roi_extractor={UPRIGHT_ROIS}, bbox_head={UPRIGHT_HEAD})"
    rcnn = f"dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5), {SAMPLED.format('RandomSampler')})"
    model = translated(tmp_path, two_stage("RotatedFasterRCNN", UPRIGHT_RPN, roi, rcnn))[0]["model"]
    check_two_stage(model, "FasterRCNN", "RPNHead", "StandardRoIHead")
    assert model["rpn_head"]["bbox_coder"] == {"type": "DeltaXYWHHBBoxCoder"}
    assert model["roi_head"]["bbox_head"] == {
        "type": "Shared2FCBBoxHead",
        "predict_box_type": "rbox",
        "num_classes": 15,
        "reg_class_agnostic": True,
        "bbox_coder": {"type": "DeltaXYWHTHBBoxCoder", "angle_version": "le90", "norm_factor": 2, "edge_swap": True},
    }
    assert calculator(model["train_cfg"]["rcnn"]) == "RBbox2HBboxOverlaps2D"


def test_oriented_rcnn(tmp_path: Path) -> None:
    roi = f"dict(type='OrientedStandardRoIHead', bbox_roi_extractor={ROTATED_ROIS}, bbox_head={ROTATED_HEAD})"
    assigner = "assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, iou_calculator=dict(type='RBboxOverlaps2D'))"
    rcnn = f"dict({assigner}, {SAMPLED.format('RRandomSampler')})"
    model = translated(tmp_path, two_stage("OrientedRCNN", ORIENTED_RPN, roi, rcnn))[0]["model"]
    check_two_stage(model, "FasterRCNN", "OrientedRPNHead", "StandardRoIHead")
    assert model["rpn_head"]["bbox_coder"] == {"type": "MidpointOffsetCoder", "angle_version": "le90"}
    assert model["roi_head"]["bbox_head"]["bbox_coder"]["type"] == "DeltaXYWHTRBBoxCoder"
    assert model["roi_head"]["bbox_roi_extractor"]["type"] == "RotatedSingleRoIExtractor"
    assert calculator(model["train_cfg"]["rcnn"]) == "RBboxOverlaps2D"
    assert model["train_cfg"]["rcnn"]["sampler"] == {"type": "RandomSampler", "num": 512}


def test_roi_transformer(tmp_path: Path) -> None:
    roi = (
        "dict(type='RoITransRoIHead', version='le90', num_stages=2, stage_loss_weights=[1, 1], "
        f"bbox_roi_extractor=[{UPRIGHT_ROIS}, {ROTATED_ROIS}], bbox_head=[{UPRIGHT_HEAD}, {ROTATED_HEAD}])"
    )
    upright = "assigner=dict(type='MaxIoUAssigner', iou_calculator=dict(type='BboxOverlaps2D'))"
    rotated = "assigner=dict(type='MaxIoUAssigner', iou_calculator=dict(type='RBboxOverlaps2D'))"
    rcnn = f"[dict({upright}, {SAMPLED.format('RandomSampler')}), dict({rotated}, {SAMPLED.format('RRandomSampler')})]"
    # The published file of 0.x names the angle version where the kind of suppression stands.
    text = two_stage("RoITransformer", UPRIGHT_RPN, roi, rcnn, nms="type='le90', iou_thr=0.1")
    model = translated(tmp_path, text)[0]["model"]
    check_two_stage(model, "CascadeRCNN", "RPNHead", "CascadeRoIHead")
    assert model["roi_head"]["num_stages"] == 2
    heads = model["roi_head"]["bbox_head"]
    assert [head["type"] for head in heads] == ["Shared2FCBBoxHead"] * 2
    assert [head["predict_box_type"] for head in heads] == ["rbox"] * 2
    assert [head["bbox_coder"]["type"] for head in heads] == ["DeltaXYWHTHBBoxCoder", "DeltaXYWHTRBBoxCoder"]
    stages = model["train_cfg"]["rcnn"]
    assert [calculator(stage) for stage in stages] == ["RBbox2HBboxOverlaps2D", "RBboxOverlaps2D"]
    assert [stage["sampler"]["type"] for stage in stages] == ["RandomSampler"] * 2


def test_roi_transformer_with_kfiou(tmp_path: Path) -> None:
    kfiou = ROTATED_HEAD.replace("RotatedShared2FCBBoxHead", "RotatedKFIoUShared2FCBBoxHead")
    assert kfiou != ROTATED_HEAD
    roi = (
        "dict(type='RoITransRoIHead', version='le90', num_stages=2, stage_loss_weights=[1, 1], "
        f"bbox_roi_extractor=[{UPRIGHT_ROIS}, {ROTATED_ROIS}], bbox_head=[{UPRIGHT_HEAD}, {kfiou}])"
    )
    model = translated(tmp_path, two_stage("RoITransformer", UPRIGHT_RPN, roi, "[dict(), dict()]"))[0]["model"]
    first, second = model["roi_head"]["bbox_head"]
    assert first["type"] == "Shared2FCBBoxHead" and "loss_bbox_type" not in first
    assert second["type"] == "RotatedShared2FCBBoxHead" and second["loss_bbox_type"] == "kfiou"
    assert first["predict_box_type"] == second["predict_box_type"] == "rbox"


R3DET = """
model = dict(
    type='R3Det', num_refine_stages=1, backbone=dict(type='ResNet', depth=50),
    bbox_head=dict(type='RotatedRetinaHead', num_classes=15, in_channels=256),
    frm_cfgs=[dict(in_channels=256, featmap_strides=[8, 16, 32, 64, 128])],
    refine_heads=[dict(type='RotatedRetinaRefineHead', num_classes=15, in_channels=256, assign_by_circumhbbox=None)],
    train_cfg=dict(s0=dict(pos_weight=1), sr=[dict(pos_weight=2)], stage_loss_weights=[1.0]),
    test_cfg=dict(nms=dict(iou_thr=0.1)))
optimizer = dict(type='SGD', lr=1)
"""


def test_r3det(tmp_path: Path) -> None:
    config, notices = translated(tmp_path, R3DET)
    model = config["model"]
    assert model["type"] == "RefineSingleStageDetector" and not {"bbox_head", "frm_cfgs", "refine_heads"} & set(model)
    assert model["bbox_head_init"]["anchor_generator"]["angle_version"] is None
    (head,) = model["bbox_head_refine"]
    assert head["type"] == "R3RefineHead" and "assign_by_circumhbbox" not in head
    assert head["frm_cfg"] == {"type": "FRM", "feat_channels": 256, "strides": [8, 16, 32, 64, 128]}
    assert head["anchor_generator"] == {"type": "PseudoRotatedAnchorGenerator", "strides": [8, 16, 32, 64, 128]}
    assert model["train_cfg"]["init"]["pos_weight"] == 1
    assert model["train_cfg"]["refine"] == [{"pos_weight": 2}] and model["train_cfg"]["stage_loss_weights"] == [1.0]
    assert model["test_cfg"]["nms"] == {"iou_threshold": 0.1, "type": "nms_rotated"}
    assert not any("circumhbbox" in notice for notice in notices)


def test_r3det_with_a_rule_that_1x_has_not(tmp_path: Path) -> None:
    _, notices = translated(tmp_path, R3DET.replace(", assign_by_circumhbbox=None", ""))
    assert any("no counterpart: refine_heads.0.assign_by_circumhbbox" in notice for notice in notices)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("frm_cfgs=", "frm_cfg=", r"has no 'frm_cfg': did you mean 'frm_cfgs'"),
        ("num_refine_stages=1, ", "", r"R3Det of MMRotate 0\.x needs 'num_refine_stages'"),
        ("num_refine_stages=1", "num_refine_stages=2", r"need one of each a stage, got 2, 1, 1"),
    ],
)
def test_r3det_in_parts_that_do_not_fit(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translated(tmp_path, R3DET.replace(old, new))


def test_another_model_is_named(tmp_path: Path) -> None:
    _, notices = translated(tmp_path, "model = dict(type='ReDet')\noptimizer = dict(type='SGD', lr=1)\n")
    assert any("model.type 'ReDet' is not among the models that are translated" in notice for notice in notices)


def test_a_model_of_0x_among_keys_of_1x(tmp_path: Path) -> None:
    text = RETINA + "train_dataloader = dict(batch_size=2)\noptim_wrapper = dict(type='OptimWrapper')\nseed = 1\n"
    config, notices = translated(tmp_path, text)
    assert config["model"]["type"] == "RetinaNet"
    assert config["train_dataloader"] == {"batch_size": 2} and config["seed"] == 1
    assert notices == ["model translated from MMRotate 0.x"]


def test_a_config_of_1x_stays(tmp_path: Path) -> None:
    text = "optimizer = dict(type='SGD')\noptim_wrapper = dict(optimizer=optimizer)\ntrain_pipeline = []\n"
    config, notices = translated(tmp_path, text)
    assert list(config) == ["optimizer", "optim_wrapper", "train_pipeline"] and not notices


def test_options_are_in_the_keys_of_1x(tmp_path: Path) -> None:
    path = tmp_path / "old.py"
    path.write_text(SCHEDULE)
    config = load(path, ["optim_wrapper.optimizer.lr=0.01"], notice=lambda _: None)
    assert config["optim_wrapper"]["optimizer"]["lr"] == 0.01
    with pytest.raises(ConfigError, match=r"no 'optimizer': did you mean 'optim_wrapper\.optimizer\.lr'\?"):
        load(path, ["optimizer.lr=0.01"], notice=lambda _: None)


def test_without_a_notice_it_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "old.py"
    path.write_text("optimizer = dict(type='SGD', lr=1)\n")
    with pytest.warns(UserWarning, match=r"translated from MMRotate 0\.x: optimizer"):
        load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr_config = dict(policy='poly')", "old.py: lr_config.policy 'poly' has no counterpart"),
        ("lr_config = dict(policy='step', step=[1], warmup='exp')", "old.py: lr_config.warmup 'exp'"),
        ("lr_config = dict(policy='step', step=[1], target_ratio=1)", "old.py: lr_config.target_ratio"),
        ("lr_config = dict(policy='step')", "old.py: cannot be translated from MMRotate 0.x: KeyError('step')"),
        ("lr_config = [1]", "old.py: cannot be translated from MMRotate 0.x"),
        ("data = dict(train=dict(pipeline=5))", "old.py: cannot be translated from MMRotate 0.x"),
        (
            "lr_config = dict()\ntrain_dataloader = dict()",
            "old.py: keys of MMRotate 0.x (lr_config) and of 1.x (train_dataloader): keep to one of them",
        ),
    ],
)
def test_what_cannot_be_translated(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "old.py"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, notice=lambda _: None)
    assert message in str(caught.value) and "\n" not in str(caught.value)


OLD_SCHEDULE = "optimizer = dict(type='SGD', lr=0.01)\nlr_config = dict(policy='step', step=[8, 11])\n"


def test_a_model_of_1x_among_keys_of_0x_stays(tmp_path: Path) -> None:
    model = (
        "dict(type='mmdet.RetinaNet', data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[1, 2, 3]),"
        " bbox_head=dict(type='mmdet.RetinaHead', anchor_generator=dict(type='FakeRotatedAnchorGenerator',"
        " angle_version='le90')), train_cfg=dict(assigner=dict(iou_calculator=dict(type='RBboxOverlaps2D'))),"
        " test_cfg=dict(nms=dict(type='nms_rotated', iou_threshold=0.1)))"
    )
    config, notices = translated(tmp_path, f"model = {model}\n{OLD_SCHEDULE}")
    assert config["model"] == eval(model)
    assert any("kept as it stands" in notice for notice in notices) and "optim_wrapper" in config


def test_the_preprocessor_of_a_model_that_is_not_translated(tmp_path: Path) -> None:
    data = (
        "data = dict(train=dict(type='DOTADataset', ann_file='a/', img_prefix='b/', pipeline=[dict(type='Normalize',"
        " mean=[1, 2, 3], std=[4, 5, 6], to_rgb=True), dict(type='Pad', size_divisor=32)]))\n"
    )
    config, _ = translated(tmp_path, f"model = dict(type='ReDet', neck=dict(a=1))\n{data}{OLD_SCHEDULE}")
    assert config["model"]["data_preprocessor"]["mean"] == [1, 2, 3] and config["model"]["neck"] == {"a": 1}


def test_leftovers_of_0x_beside_keys_of_1x(tmp_path: Path) -> None:
    text = (
        "checkpoint_config = dict(interval=10)\nlog_config = dict(interval=1)\ntrain_dataloader = dict(batch_size=2)\n"
    )
    config, notices = translated(tmp_path, text)
    assert config == {"train_dataloader": {"batch_size": 2}}
    assert any("left out: checkpoint_config, log_config" in notice for notice in notices)


def test_hooks_and_settings_with_a_counterpart(tmp_path: Path) -> None:
    text = OLD_SCHEDULE + (
        "checkpoint_config = dict(interval=1, create_symlink=False)\n"
        "evaluation = dict(interval=1, metric='mAP', save_best='mAP', rule='greater')\n"
        "log_config = dict(interval=50, hooks=[dict(type='TextLoggerHook'), dict(type='TensorboardLoggerHook')])\n"
        "custom_hooks = [dict(type='ExpMomentumEMAHook', momentum=0.0001, priority=49)]\n"
        "find_unused_parameters = True\n"
    )
    config, _ = translated(tmp_path, text)
    assert config["default_hooks"]["checkpoint"] == {
        "type": "CheckpointHook", "save_best": "mAP", "rule": "greater", "interval": 1
    }  # fmt: skip
    assert config["vis_backends"] == [{"type": "TensorboardVisBackend"}]
    (hook,) = config["custom_hooks"]
    assert (hook["type"], hook["ema_type"], hook["momentum"]) == ("EMAHook", "ExpMomentumEMA", 0.0001)
    assert config["model_wrapper_cfg"]["find_unused_parameters"] is True and "find_unused_parameters" not in config


def test_sar_datasets_are_dotas_with_one_class(tmp_path: Path) -> None:
    data = "data = dict(train=dict(type='SARDataset', ann_file='a/', img_prefix='b/', pipeline=[]))\n"
    dataset = translated(tmp_path, data + OLD_SCHEDULE)[0]["train_dataloader"]["dataset"]
    assert (dataset["type"], dataset["metainfo"]) == ("DOTADataset", {"classes": ("ship",)})


def test_a_rotation_that_grows_images_is_named(tmp_path: Path) -> None:
    step = "dict(type='PolyRandomRotate', rotate_ratio=0.8, mode='range', angles_range=60, auto_bound=True)"
    data = f"data = dict(train=dict(type='DOTADataset', ann_file='a/', img_prefix='b/', pipeline=[{step}]))\n"
    with pytest.raises(ConfigError, match=r"PolyRandomRotate\.auto_bound=True has no counterpart"):
        translated(tmp_path, data + OLD_SCHEDULE)
