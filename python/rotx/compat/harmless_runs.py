"""Keywords of MMDetection's and MMEngine's classes for data, metrics and training that have no choice here.

Like :mod:`rotx.compat.harmless_models`, for everything but models.
"""

from __future__ import annotations

from rotx.compat.allowed import Allowed

_LOCAL = (None, {"backend": "local"}, {"backend": "disk"})
_FILES: dict[str, Allowed] = {"backend_args": _LOCAL, "file_client_args": _LOCAL}
_DATASET: dict[str, Allowed] = {
    **_FILES,
    "serialize_data": (bool,),
    "lazy_init": (False,),
    "max_refetch": (int,),
    "proposal_file": (None,),
    "return_classes": (False,),
}
_DATASETS = (
    *("DOTADataset", "DOTAv15Dataset", "DOTAv2Dataset", "HRSCDataset", "DIORDataset", "SRSDDDataset"),
    *("UCASAODDataset", "ICDAR2015Dataset", "MSRATD500Dataset", "SSDDDataset", "HRSIDDataset", "RSDDDataset"),
    *("HITUAVDataset", "RotatedCocoDataset", "CocoDataset"),
)
_RESIZE: dict[str, Allowed] = {"backend": ("cv2",)}
_RANDOM_RESIZE: dict[str, Allowed] = {**_RESIZE, "resize_type": ("Resize",)}
_ROTATE: dict[str, Allowed] = {"mask_border_value": (int,), "seg_ignore_label": (int,)}
_RANDOM_ROTATE: dict[str, Allowed] = {**_ROTATE, "rotate_type": ("Rotate",)}
_SCHEDULER: dict[str, Allowed] = {"verbose": (bool,), "last_step": (-1,), "convert_to_iter_based": (False,)}
_SCHEDULERS = ("LinearLR", "ConstantLR", "MultiStepLR", "StepLR", "ExponentialLR", "PolyLR", "CosineAnnealingLR")
_HOOK: dict[str, Allowed] = {"priority": (str, int)}
_WRITER: dict[str, Allowed] = {**_HOOK, **_FILES, "out_dir": (None,)}

#: Class → keyword → allowed values.
RUNS: dict[str, dict[str, Allowed]] = {
    **dict.fromkeys(_DATASETS, _DATASET),
    "ConcatDataset": {"ignore_keys": (None, str, list), "lazy_init": (False,)},
    "MultiImageMixDataset": {"max_refetch": (int,)},
    "RepeatDataset": {"lazy_init": (False,)},
    "ClassBalancedDataset": {"lazy_init": (False,)},
    # Transforms
    "LoadImageFromFile": {
        **_FILES,
        "to_float32": (False,),
        "color_type": ("color",),
        "imdecode_backend": ("cv2",),
        "ignore_empty": (False,),
    },
    # Objects are polygons here, and the dataset reads their files.
    "LoadAnnotations": {
        **_FILES,
        "with_bbox": (True,),
        "with_label": (True,),
        "with_seg": (False,),
        "poly2mask": (bool,),
        "imdecode_backend": ("cv2",),
    },
    "ConvertMask2BoxType": {"keep_mask": (False,)},
    "PackDetInputs": {"meta_keys": (list,)},
    "Resize": _RESIZE,
    "RandomResize": _RANDOM_RESIZE,
    "RandomChoiceResize": _RANDOM_RESIZE,
    "Pad": {"padding_mode": ("constant",), "pad_to_square": (False,)},
    "Rotate": _ROTATE,
    "RandomRotate": _RANDOM_ROTATE,
    "RandomChoiceRotate": _RANDOM_ROTATE,
    # Metrics
    "DOTAMetric": {
        "metric": ("mAP", ("mAP",)),
        "predict_box_type": ("rbox",),
        "scale_ranges": (None,),
        "collect_device": ("cpu", "gpu"),
    },
    # Annotations come from the dataset, and reports always list the classes.
    "RotatedCocoMetric": {
        **_FILES,
        "metric": ("bbox", ("bbox",)),
        "classwise": (bool,),
        "ann_file": (None, str),
        "collect_device": ("cpu", "gpu"),
    },
    "CocoMetric": {
        **_FILES,
        "classwise": (bool,),
        "metric_items": (None,),
        "proposal_nums": ((100, 300, 1000), (100, 1, 10), (1, 10, 100)),
        "sort_categories": (False,),
        "use_mp_eval": (bool,),
        "collect_device": ("cpu", "gpu"),
    },
    # Learning rates
    **dict.fromkeys(_SCHEDULERS, _SCHEDULER),
    "OneCycleLR": _SCHEDULER,
    # Hooks
    "IterTimerHook": _HOOK,
    "ParamSchedulerHook": _HOOK,
    "DistSamplerSeedHook": _HOOK,
    "RuntimeInfoHook": _HOOK,
    "NumClassCheckHook": _HOOK,
    "CheckInvalidLossHook": {**_HOOK, "interval": (int,)},
    "LoggerHook": {
        **_WRITER,
        "ignore_last": (bool,),
        "log_metric_by_epoch": (bool,),
        "interval_exp_name": (int,),
        "keep_local": (bool,),
    },
    "CheckpointHook": {
        **_WRITER,
        "save_last": (True,),
        "save_optimizer": (True,),
        "save_param_scheduler": (True,),
        "save_begin": (0,),
        "filename_tmpl": (None,),
        "published_keys": (None,),
    },
    "DetVisualizationHook": {
        **_HOOK,
        "backend_args": _LOCAL,
        "draw": (False,),
        "interval": (int,),
        "score_thr": (float,),
        "show": (False,),
        "wait_time": (float,),
        "test_out_dir": (None,),
    },
    "EMAHook": {**_HOOK, "strict_load": (bool,), "interval": (1,)},
}

#: Hooks of ``custom_hooks`` whose checks are always done here.
NEEDLESS_HOOKS = ("NumClassCheckHook", "CheckInvalidLossHook")

#: Messages for unsupported values where a list of the supported ones does not help.
REASONS = {
    "lazy_init": "datasets are read when they are made; leave it out",
    "backend_args": "only files of this machine are read; leave it out",
    "file_client_args": "only files of this machine are read; leave it out",
    "scale_ranges": "leave it out: rotx-eval --report tells small, medium and large apart",
}
