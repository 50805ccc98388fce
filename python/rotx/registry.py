"""Registry: maps ``type`` names in configs to classes, and builds objects from config dicts.

One table holds every name that a config may use as ``type``; a class is imported when it is first built. Users add
their own classes with :func:`register`. Nothing else can be built: a downloaded config cannot reach an arbitrary
callable.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, TypeVar

C = TypeVar("C", bound=Callable[..., Any])

_HEADS = "rotx.models.heads"
_MODELS = "rotx.models"
_LOSSES = "rotx.models.losses"
_DATA = "rotx.datasets"

#: Name in a config → ``module:attribute``.
TABLE: dict[str, str] = {
    # Datasets
    "DOTADataset": "rotx.datasets.dota:DOTADataset",
    "DOTAv15Dataset": "rotx.datasets.dota:DOTAv15Dataset",
    "DOTAv2Dataset": "rotx.datasets.dota:DOTAv2Dataset",
    "HRSCDataset": "rotx.datasets.hrsc:HRSCDataset",
    "DIORDataset": "rotx.datasets.dior:DIORDataset",
    "SRSDDDataset": "rotx.datasets.dota:SRSDDDataset",
    "UCASAODDataset": "rotx.datasets.ucas:UCASAODDataset",
    "ICDAR2015Dataset": "rotx.datasets.text:TextDataset",
    "MSRATD500Dataset": "rotx.datasets.text:TextDataset",
    "SSDDDataset": "rotx.datasets.coco:SARShipDataset",
    "HRSIDDataset": "rotx.datasets.coco:SARShipDataset",
    "RSDDDataset": "rotx.datasets.coco:SARShipDataset",
    "HITUAVDataset": "rotx.datasets.coco:HITUAVDataset",
    "RotatedCocoDataset": "rotx.datasets.coco:RotatedCocoDataset",
    "CocoDataset": "rotx.datasets.coco:RotatedCocoDataset",
    "ConcatDataset": "rotx.datasets.wrappers:ConcatDataset",
    "RepeatDataset": "rotx.datasets.wrappers:RepeatDataset",
    "ClassBalancedDataset": "rotx.datasets.wrappers:ClassBalancedDataset",
    "MultiImageMixDataset": "rotx.datasets.wrappers:MultiImageMixDataset",
    "TiledDataset": "rotx.datasets.tiled:TiledDataset",
    # Detectors
    "SingleStageDetector": "rotx.models.detectors:SingleStage",
    "TwoStageDetector": "rotx.models.detectors:TwoStage",
    "RetinaNet": "rotx.models.detectors:SingleStage",
    "FCOS": "rotx.models.detectors:SingleStage",
    "RepPointsDetector": "rotx.models.detectors:SingleStage",
    "FasterRCNN": "rotx.models.detectors:TwoStage",
    "MaskRCNN": "rotx.models.detectors:TwoStage",
    "CascadeRCNN": "rotx.models.detectors:TwoStage",
    "RefineSingleStageDetector": "rotx.models.detectors:Refine",
    "DetDataPreprocessor": "rotx.models.preprocess:DetDataPreprocessor",
    # Backbones and necks
    "ResNet": "rotx.models.backbones.resnet:ResNet",
    "MobileNetV2": "rotx.models.backbones.mobilenet_v2:MobileNetV2",
    "TIMMBackbone": "rotx.models.backbones.timm:TIMMBackbone",
    "FPN": "rotx.models.necks.fpn:FPN",
    # Layers and initial weights
    "BN": "rotx.models.layers:BN",
    "GN": "rotx.models.layers:GN",
    "SyncBN": "rotx.models.layers:SyncBN",
    "Conv": f"{_MODELS}.layers.convolutions:conv2d",
    "Conv2d": f"{_MODELS}.layers.convolutions:conv2d",
    "ReLU": f"{_MODELS}.layers.activations:relu",
    "ReLU6": f"{_MODELS}.layers.activations:relu6",
    "LeakyReLU": f"{_MODELS}.layers.activations:leaky_relu",
    "SiLU": f"{_MODELS}.layers.activations:silu",
    "Swish": f"{_MODELS}.layers.activations:silu",
    "GELU": f"{_MODELS}.layers.activations:gelu",
    "HSwish": f"{_MODELS}.layers.activations:hard_swish",
    "HSigmoid": f"{_MODELS}.layers.activations:hard_sigmoid",
    "Mish": f"{_MODELS}.layers.activations:mish",
    "Sigmoid": f"{_MODELS}.layers.activations:sigmoid",
    "Pretrained": "rotx.models.checkpoints:Pretrained",
    # Dense heads
    "RPNHead": f"{_HEADS}.rpn:RPNHead",
    "Proposals": f"{_HEADS}.rpn:Proposals",
    "OrientedRPNHead": f"{_HEADS}.rpn:RPNHead",
    "RetinaHead": f"{_HEADS}.retina:RetinaHead",
    "RotatedRetinaHead": f"{_HEADS}.retina:RetinaHead",
    "AngleBranchRetinaHead": f"{_HEADS}.angle_branch_retina:AngleBranchRetinaHead",
    "RotatedFCOSHead": f"{_HEADS}.fcos:RotatedFCOSHead",
    "R3Head": f"{_HEADS}.retina:RetinaHead",
    "R3RefineHead": f"{_HEADS}.r3:R3RefineHead",
    "FRM": f"{_MODELS}.layers.feature_refinement:FRM",
    "RotatedRepPointsHead": f"{_HEADS}.rotated_reppoints:RotatedRepPointsHead",
    # RoI heads
    "StandardRoIHead": f"{_HEADS}.standard_roi:StandardRoIHead",
    "CascadeRoIHead": f"{_HEADS}.cascade_roi:CascadeRoIHead",
    "Shared2FCBBoxHead": f"{_HEADS}.shared_2fc:Shared2FCBBoxHead",
    "RotatedShared2FCBBoxHead": f"{_HEADS}.shared_2fc:Shared2FCBBoxHead",
    "FCNMaskHead": f"{_HEADS}.fcn_mask:FCNMaskHead",
    "SingleRoIExtractor": f"{_HEADS}.roi_extractor:SingleRoIExtractor",
    "RotatedSingleRoIExtractor": f"{_HEADS}.roi_extractor:SingleRoIExtractor",
    "RoIAlign": f"{_HEADS}.roi_extractor:RoIAlign",
    "RoIAlignRotated": f"{_HEADS}.roi_extractor:RoIAlignRotated",
    "nms": "rotx.models.postprocess:NMS",
    "nms_rotated": "rotx.models.postprocess:NMSRotated",
    "nms_quadri": "rotx.models.postprocess:NMSRotated",
    # Priors
    "AnchorGenerator": f"{_MODELS}.priors.anchors:AnchorGenerator",
    "FakeRotatedAnchorGenerator": f"{_MODELS}.priors.rotated_anchors:FakeRotatedAnchorGenerator",
    "PseudoRotatedAnchorGenerator": f"{_MODELS}.priors.pseudo_anchors:PseudoRotatedAnchorGenerator",
    "MlvlPointGenerator": f"{_MODELS}.priors.points:MlvlPointGenerator",
    # Coders
    "DeltaXYWHBBoxCoder": f"{_MODELS}.coders.delta_xywh:DeltaXYWHHBBoxCoder",
    "DeltaXYWHHBBoxCoder": f"{_MODELS}.coders.delta_xywh:DeltaXYWHHBBoxCoder",
    "DeltaXYWHTHBBoxCoder": f"{_MODELS}.coders.delta_xywht:DeltaXYWHTHBBoxCoder",
    "DeltaXYWHTRBBoxCoder": f"{_MODELS}.coders.delta_xywht:DeltaXYWHTRBBoxCoder",
    "MidpointOffsetCoder": f"{_MODELS}.coders.midpoint_offset:MidpointOffsetCoder",
    "DistanceAnglePointCoder": f"{_MODELS}.coders.distance_angle_point:DistanceAnglePointCoder",
    "PseudoAngleCoder": f"{_MODELS}.coders.angle_coder:PseudoAngleCoder",
    "CSLCoder": f"{_MODELS}.coders.csl:CSLCoder",
    "PSCCoder": f"{_MODELS}.coders.psc:PSCCoder",
    # Assigners, their overlap calculators, and samplers
    "MaxIoUAssigner": f"{_MODELS}.assigners.max_iou:MaxIoUAssigner",
    "ConvexAssigner": f"{_MODELS}.assigners.convex:ConvexAssigner",
    "MaxConvexIoUAssigner": f"{_MODELS}.assigners.max_convex_iou:MaxConvexIoUAssigner",
    "BboxOverlaps2D": f"{_MODELS}.assigners.overlaps:BboxOverlaps2D",
    "RBboxOverlaps2D": f"{_MODELS}.assigners.overlaps:RBboxOverlaps2D",
    "FakeRBboxOverlaps2D": f"{_MODELS}.assigners.overlaps:FakeRBboxOverlaps2D",
    "RBbox2HBboxOverlaps2D": f"{_MODELS}.assigners.overlaps:BboxOverlaps2D",
    "RandomSampler": f"{_MODELS}.samplers.random_sampler:RandomSampler",
    "PseudoSampler": f"{_MODELS}.samplers.pseudo_sampler:PseudoSampler",
    "OHEMSampler": f"{_MODELS}.samplers.ohem_sampler:OHEMSampler",
    # Losses
    "FocalLoss": f"{_LOSSES}.focal:FocalLoss",
    "SmoothFocalLoss": f"{_LOSSES}.focal:SmoothFocalLoss",
    "CrossEntropyLoss": f"{_LOSSES}.cross_entropy:CrossEntropyLoss",
    "L1Loss": f"{_LOSSES}.smooth_l1:L1Loss",
    "SmoothL1Loss": f"{_LOSSES}.smooth_l1:SmoothL1Loss",
    "IoULoss": f"{_LOSSES}.iou:IoULoss",
    "GIoULoss": f"{_LOSSES}.iou:GIoULoss",
    "RotatedIoULoss": f"{_LOSSES}.iou:RotatedIoULoss",
    "RotatedGIoULoss": f"{_LOSSES}.iou:RotatedGIoULoss",
    "ConvexGIoULoss": f"{_LOSSES}.convex_giou:ConvexGIoULoss",
    "GDLoss": f"{_LOSSES}.gaussian:GDLoss",
    "GDLoss_v1": f"{_LOSSES}.gaussian:GDLoss_v1",
    "KFLoss": f"{_LOSSES}.gaussian:KFLoss",
    # Transforms of the data pipeline
    "LoadImageFromFile": f"{_DATA}.transforms.loading:LoadImageFromFile",
    "LoadAnnotations": f"{_DATA}.transforms.loading:LoadAnnotations",
    "ConvertBoxType": f"{_DATA}.transforms.loading:ConvertBoxType",
    "ConvertMask2BoxType": f"{_DATA}.transforms.loading:ConvertMask2BoxType",
    "Normalize": f"{_DATA}.transforms.colors:Normalize",
    "PhotoMetricDistortion": f"{_DATA}.transforms.colors:PhotoMetricDistortion",
    "PackDetInputs": f"{_DATA}.transforms.loading:PackDetInputs",
    "Resize": f"{_DATA}.transforms.resizing:Resize",
    "RandomResize": f"{_DATA}.transforms.resizing:RandomResize",
    "RandomChoiceResize": f"{_DATA}.transforms.resizing:RandomChoiceResize",
    "RandomCrop": f"{_DATA}.transforms.cropping:RandomCrop",
    "Pad": f"{_DATA}.transforms.padding:Pad",
    "RandomFlip": f"{_DATA}.transforms.flipping:RandomFlip",
    "Rotate": f"{_DATA}.transforms.rotating:Rotate",
    "RandomRotate": f"{_DATA}.transforms.rotating:RandomRotate",
    "RandomChoiceRotate": f"{_DATA}.transforms.rotating:RandomChoiceRotate",
    "RandomAffine": f"{_DATA}.transforms.affine:RandomAffine",
    "Mosaic": f"{_DATA}.transforms.mixing:Mosaic",
    "MixUp": f"{_DATA}.transforms.mixing:MixUp",
    # Samplers of the data loader
    "DefaultSampler": f"{_DATA}.samplers:DefaultSampler",
    "InfiniteSampler": f"{_DATA}.samplers:InfiniteSampler",
    "ClassAwareSampler": f"{_DATA}.samplers:ClassAwareSampler",
    "AspectRatioBatchSampler": f"{_DATA}.samplers:AspectRatioBatchSampler",
    # Metrics
    "DOTAMetric": "rotx.evaluation.metrics:DOTAMetric",
    "RotatedCocoMetric": "rotx.evaluation.metrics:RotatedCocoMetric",
    "CocoMetric": "rotx.evaluation.coco:CocoMetric",
    # Optimizers and learning rates
    "SGD": "rotx.engine.optim:SGD",
    "Adam": "rotx.engine.optim:Adam",
    "AdamW": "rotx.engine.optim:AdamW",
    "LinearLR": "rotx.engine.schedule:LinearLR",
    "ConstantLR": "rotx.engine.schedule:ConstantLR",
    "MultiStepLR": "rotx.engine.schedule:MultiStepLR",
    "StepLR": "rotx.engine.schedule:StepLR",
    "ExponentialLR": "rotx.engine.schedule:ExponentialLR",
    "PolyLR": "rotx.engine.schedule:PolyLR",
    "CosineAnnealingLR": "rotx.engine.schedule:CosineAnnealingLR",
    "OneCycleLR": "rotx.engine.schedule:OneCycleLR",
}

#: Prefixes by which MMRotate's configs name the package of a class.
SCOPES = ("mmengine.", "mmcv.", "mmdet.", "mmrotate.")

_registered: dict[str, Callable[..., Any]] = {}


def register(target: C) -> C:
    """Decorator that makes the user's class or function buildable by its name.

    Raises:
        TypeError: If the target is not a class or function.
        ValueError: If another class has the name.
    """
    name = getattr(target, "__name__", None)
    if name is None or not callable(target):
        raise TypeError(f"register: need a class or a function, got {target!r}")
    # A module that is imported again, as in a notebook, replaces its own classes.
    before = _registered.get(name)
    owner = TABLE[name].partition(":")[0] if name in TABLE else before.__module__ if before else target.__module__
    if name in TABLE or owner != target.__module__:
        raise ValueError(f"register: the name {name!r} is taken by {owner}: choose another")
    _registered[name] = target
    return target


def load_plugins(modules: list[str] | tuple[str, ...]) -> None:
    """Imports the user's modules, which register their classes.

    Raises:
        ImportError: If a module cannot be found, or is given as a file.
    """
    for module in modules:
        if not all(part.isidentifier() for part in module.split(".")) or module.endswith(".py"):
            raise ImportError(f"plugin {module!r}: need the name of a module, such as package.module")
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise ImportError(f"plugin {module!r}: no such module; is its folder in PYTHONPATH?") from None


def unscoped(name: str) -> str:
    """Removes a prefix such as ``mmdet.``, which names the package of a class."""
    return next((name[len(scope) :] for scope in SCOPES if name.startswith(scope)), name)


def resolve(name: str) -> Callable[..., Any]:
    """Returns the class or function that a config means by ``name``, with or without a prefix such as ``mmdet.``.

    Raises:
        ValueError: For a name that is neither in the table nor registered; names the nearest one.
    """
    short = unscoped(name)
    if short in _registered:
        return _registered[short]
    if short not in TABLE:
        known = [*TABLE, *_registered]
        if short.endswith("Dataset") and not get_close_matches(short, known, n=1, cutoff=0.9):
            # A similar name is another set with other classes.
            hint = ": use the type of its format, such as DOTADataset, with metainfo=dict(classes=('a', 'b'))"
            raise ValueError(f"unknown type {name!r}{hint}")
        raise ValueError(f"unknown type {name!r}{nearest(short, known)}")
    module, _, attribute = TABLE[short].partition(":")
    target: Callable[..., Any] = getattr(import_module(module), attribute)
    return target


def build(config: Any, where: str = "config") -> Any:
    """Builds the object that a config describes, children first.

    A dict with a ``type`` is replaced by a call of that class, with the other entries as keywords; other dicts, lists
    and tuples are built item by item; any other value, including a built object, stays as it is.

    Args:
        config: Config, or a part of one.
        where: Path of ``config`` in its file, for messages.

    Raises:
        ValueError: For an unknown type or keyword, a missing keyword, or a value that the constructor rejects;
            the message starts with the path.
    """
    if isinstance(config, list | tuple):
        return type(config)(build(item, f"{where}.{i}") for i, item in enumerate(config))
    if not isinstance(config, Mapping):
        return config
    children = {key: build(value, f"{where}.{key}") for key, value in config.items() if key != "type"}
    if "type" not in config:
        return children
    name = config["type"]
    try:
        target = resolve(name) if isinstance(name, str) else name
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not callable(target):
        raise ValueError(f"{where}: type must be a name, got {name!r}")
    check_keywords(target, children, where)
    try:
        return target(**children)
    except (ImportError, OSError):
        raise
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where} ({_name(target)}): {error}") from error
    except Exception as error:  # such as an IndexError in torch, for a value that the class does not check
        raise ValueError(f"{where} ({_name(target)}): cannot be built: {type(error).__name__}: {error}") from error


def keywords_of(target: Callable[..., Any]) -> tuple[dict[str, bool], bool]:
    """Returns the keywords of a class or function, whether each is required, and whether any others are allowed.

    A class that passes ``**kwargs`` to its base also takes the keywords of the base.
    """
    found: dict[str, bool] = {}
    owners = target.__mro__[:-1] if isinstance(target, type) else (target,)
    for owner in owners:
        parameters = inspect.signature(owner).parameters.values()
        for p in parameters:
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
                found.setdefault(p.name, p.default is p.empty)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return found, False
    return found, True


def check_keywords(target: Callable[..., Any], keywords: Mapping[str, Any], where: str) -> None:
    """Raises ValueError unless ``target`` takes these keywords; names the nearest keyword."""
    known, takes_others = keywords_of(target)
    for key in keywords:
        if key not in known and not takes_others:
            raise ValueError(f"{where}: {_name(target)} takes no {key!r}{nearest(key, list(known))}")
    missing = [name for name, required in known.items() if required and name not in keywords]
    if missing:
        raise ValueError(f"{where}: {_name(target)} needs {', '.join(map(repr, missing))}")


def _name(target: Callable[..., Any]) -> str:
    return getattr(target, "__name__", repr(target))


def nearest(name: object, names: Sequence[str]) -> str:
    """Hint with the nearest name, ``: did you mean 'x'?``, or with all names if there are few."""
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    if near:
        return f": did you mean {near[0]!r}?"
    return f": known are {', '.join(sorted(names))}" if 0 < len(names) <= 20 else ""
