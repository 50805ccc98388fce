"""Translation of ``model = dict(...)`` of MMRotate 0.x to 1.x: names, and the implicit settings of 0.x.

Seven families: Rotated RetinaNet (with CSL, GWD, KLD, KFIoU), R3Det, Rotated FCOS, Rotated RepPoints, Rotated Faster
R-CNN, Oriented R-CNN and RoI Transformer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rotx.compat.harmless import check_type
from rotx.compat.mmrotate0_keys import check_misspelt
from rotx.compat.mmrotate0_refine import r3det

Config = dict[str, Any]
Notice = Callable[[str], None]

DETECTORS = {
    "RotatedRetinaNet": "RetinaNet",
    "RotatedFCOS": "FCOS",
    "RotatedRepPoints": "RepPointsDetector",
    "RotatedFasterRCNN": "FasterRCNN",
    "OrientedRCNN": "FasterRCNN",
    "RoITransformer": "CascadeRCNN",
    "R3Det": "RefineSingleStageDetector",
}
#: Renamed classes, anywhere in a model.
TYPES = {
    "RotatedRetinaHead": "RetinaHead",
    "CSLRRetinaHead": "AngleBranchRetinaHead",
    "KFIoURRetinaHead": "RotatedRetinaHead",
    "RotatedRetinaRefineHead": "R3RefineHead",
    "KFIoURRetinaRefineHead": "R3RefineHead",
    "CSLRFCOSHead": "RotatedFCOSHead",
    "RotatedRPNHead": "RPNHead",
    "RotatedStandardRoIHead": "StandardRoIHead",
    "OrientedStandardRoIHead": "StandardRoIHead",
    "RoITransRoIHead": "CascadeRoIHead",
    "RotatedShared2FCBBoxHead": "Shared2FCBBoxHead",
    "RotatedKFIoUShared2FCBBoxHead": "RotatedShared2FCBBoxHead",
    "RotatedAnchorGenerator": "FakeRotatedAnchorGenerator",
    "PseudoAnchorGenerator": "PseudoRotatedAnchorGenerator",
    "DeltaXYWHBBoxCoder": "DeltaXYWHHBBoxCoder",
    "DeltaXYWHAHBBoxCoder": "DeltaXYWHTHBBoxCoder",
    "DeltaXYWHAOBBoxCoder": "DeltaXYWHTRBBoxCoder",
    "RRandomSampler": "RandomSampler",
}
#: Renamed keys, anywhere in a model.
KEYS = {"angle_range": "angle_version", "iou_thr": "iou_threshold"}
#: Heads of 0.x whose loss compares encoded and decoded boxes; 1.x has a key for that.
_KFIOU = ("KFIoURRetinaHead", "KFIoURRetinaRefineHead", "RotatedKFIoUShared2FCBBoxHead")
#: Keys of heads without counterpart in 1.x: boxes and coders hold their angle version.
_DROPPED = ("version", "h_bbox_coder")
#: Keys of heads that only 0.x has.
_OF_HEADS = ("assign_by_circumhbbox", "separate_angle")

_FOCAL = {"type": "FocalLoss", "use_sigmoid": True, "gamma": 2.0, "alpha": 0.25, "loss_weight": 1.0}
_ANCHORS = {
    "type": "FakeRotatedAnchorGenerator",
    "octave_base_scale": 4,
    "scales_per_octave": 3,
    "ratios": [1.0, 0.5, 2.0],
    "strides": [8, 16, 32, 64, 128],
}
#: Defaults of heads in 0.x that differ in 1.x.
DEFAULTS: dict[str, Config] = {
    "RotatedRetinaHead": {
        "anchor_generator": _ANCHORS,
        "bbox_coder": {"type": "DeltaXYWHTRBBoxCoder", "angle_version": "oc"},
        "loss_cls": _FOCAL,
        "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
    },
    "RotatedFCOSHead": {
        "loss_bbox": {"type": "IoULoss", "loss_weight": 1.0},
        "loss_angle": {"type": "L1Loss", "loss_weight": 1.0},
    },
    "RotatedRepPointsHead": {"stacked_convs": 3},
}
_PLACES = {"type": "PseudoAnchorGenerator", "strides": [8, 16, 32, 64, 128]}
DEFAULTS["RotatedRetinaRefineHead"] = {**DEFAULTS["RotatedRetinaHead"], "anchor_generator": _PLACES}
DEFAULTS["KFIoURRetinaRefineHead"] = DEFAULTS["RotatedRetinaRefineHead"]
DEFAULTS["CSLRRetinaHead"] = DEFAULTS["RotatedRetinaHead"]
DEFAULTS["KFIoURRetinaHead"] = DEFAULTS["RotatedRetinaHead"]
DEFAULTS["CSLRFCOSHead"] = {
    **DEFAULTS["RotatedFCOSHead"],
    "separate_angle": True,
    "scale_angle": False,
    "angle_coder": {"type": "CSLCoder", "angle_version": "le90", "omega": 1, "window": "gaussian", "radius": 6},
}


def is_old_model(model: Any) -> bool:
    """Whether a model is of version 0.x, by the name of its detector."""
    return isinstance(model, dict) and model.get("type") in DETECTORS


def translate_model(model: Config, preprocessor: Config, notice: Notice) -> Config:
    """Translates a model of 0.x to the names of 1.x.

    Args:
        model: Model of one of the seven families; of other models, only the common parts are translated.
        preprocessor: Settings that the data pipelines leave to the model; may be empty.
        notice: Function that is called with each note about what is not translated.
    """
    if model.get("type") not in DETECTORS:
        notice(f"model.type {model.get('type')!r} is not among the models that are translated: check its entries")
    if model.get("type") == "R3Det":
        model = r3det(model, notice)
    new: Config = {"type": DETECTORS.get(model["type"], model["type"])} if "type" in model else {}
    if preprocessor:
        new["data_preprocessor"] = preprocessor
    new |= {key: _renamed(_with_defaults(value)) for key, value in model.items() if key not in ("type", "pretrained")}
    if model.get("pretrained") and isinstance(new.get("backbone"), dict):
        new["backbone"].setdefault("init_cfg", {"type": "Pretrained", "checkpoint": model["pretrained"]})
    train = new.get("train_cfg")
    if "bbox_head_init" in new:
        _retina(new["bbox_head_init"], train.get("init") if isinstance(train, dict) else None)
    head = new.get("bbox_head")
    old_head = model.get("bbox_head")
    if isinstance(head, dict) and isinstance(old_head, dict):
        if "Retina" in str(old_head.get("type")):
            _retina(head, train)
        elif "FCOS" in str(old_head.get("type")):
            _fcos(head)
    if isinstance(new.get("roi_head"), dict):
        _two_stage(new)
    test = new.get("test_cfg")
    if isinstance(test, dict):
        _rotated_nms(test.get("rcnn", test))
    return new


def _with_defaults(head: Any) -> Any:
    """Returns a head, or a list of heads, with the defaults of 0.x written out."""
    if isinstance(head, list):
        return [_with_defaults(item) for item in head]
    if not isinstance(head, dict) or head.get("type") not in DEFAULTS:
        return head
    return {**head, **{key: value for key, value in DEFAULTS[head["type"]].items() if key not in head}}


def _renamed(value: Any) -> Any:
    """Returns a copy with classes and keys renamed to those of 1.x."""
    if isinstance(value, list | tuple):
        return type(value)([_renamed(item) for item in value])
    if not isinstance(value, dict):
        return value
    check_misspelt(value, (*KEYS, "version", *_OF_HEADS), "model")
    for key in _DROPPED:
        check_type(value.get(key), f"model: {key}")
    new = {KEYS.get(key, key): _renamed(item) for key, item in value.items() if key not in _DROPPED}
    if isinstance(value.get("type"), str):
        new["type"] = TYPES.get(value["type"], value["type"])
    if value.get("type") in _KFIOU:
        new["loss_bbox_type"] = "kfiou"
    return new


def _retina(head: Config, train: Any) -> None:
    """Sets the angle version of the anchors and the boxes that the assigner compares."""
    # By default, 0.x compares anchors with the horizontal boxes around the objects.
    upright = head.pop("assign_by_circumhbbox", "oc") is not None
    if head["anchor_generator"].get("type") == "FakeRotatedAnchorGenerator":
        # 0.x gives all anchors the angle 0; another version would swap the sides on which its checkpoints depend.
        head["anchor_generator"]["angle_version"] = None
    if not isinstance(train, dict):
        return
    train.setdefault("sampler", {"type": "PseudoSampler"})  # 0.x does not sample with a focal loss
    assigner = train.get("assigner")
    if isinstance(assigner, dict) and upright:
        assigner["iou_calculator"] = {"type": "FakeRBboxOverlaps2D"}


def _fcos(head: Config) -> None:
    """Sets ``separate_angle``: the box loss uses horizontal boxes, and the angle has its own loss."""
    separate = head.pop("separate_angle", False)
    head["use_hbbox_loss"] = separate
    if not separate:
        head["loss_angle"] = None
    elif "angle_coder" not in head:
        head["angle_coder"] = {"type": "PseudoAngleCoder"}


def _two_stage(model: Config) -> None:
    """Names an overlap calculator: 0.x passes horizontal boxes to assigners before rotated RoIs."""
    train, test = ({} if model.get(key) is None else model[key] for key in ("train_cfg", "test_cfg"))
    _calculator(train.get("rpn", {}), "RBbox2HBboxOverlaps2D")
    stages = _as_list(train.get("rcnn"))
    extractors = _as_list(model["roi_head"].get("bbox_roi_extractor"))
    extractors = extractors * len(stages) if len(extractors) == 1 else extractors
    for stage, extractor in zip(stages, extractors, strict=False):
        rotated = extractor.get("type") == "RotatedSingleRoIExtractor"
        _calculator(stage, "RBboxOverlaps2D" if rotated else "RBbox2HBboxOverlaps2D")
    for proposals in (train.get("rpn_proposal"), test.get("rpn")):
        if isinstance(proposals, dict) and isinstance(proposals.get("nms"), dict):
            proposals["nms"].setdefault("type", "nms")
    for head in _as_list(model["roi_head"].get("bbox_head")):
        if head.get("type") in ("Shared2FCBBoxHead", "RotatedShared2FCBBoxHead"):
            head.setdefault("predict_box_type", "rbox")


def _calculator(stage: Config, name: str) -> None:
    assigner, upright = stage.get("assigner"), {"type": "BboxOverlaps2D"}
    if isinstance(assigner, dict) and assigner.get("iou_calculator", upright).get("type") == "BboxOverlaps2D":
        assigner["iou_calculator"] = {"type": name}


def _rotated_nms(test: Any) -> None:
    """Sets the name of the rotated NMS, which 0.x omits, or replaces by the angle version."""
    if isinstance(test, dict) and isinstance(test.get("nms"), dict):
        test["nms"]["type"] = "nms_rotated"


def _as_list(value: Any) -> list[Config]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
