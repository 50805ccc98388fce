"""Old names of modules and classes: they work for one version, with a DeprecationWarning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Old module → new module, within rotx.
MODULES = {
    "models.targets": "models.assigners",
    "models.targets.anchor_targets": "models.heads.anchor_targets",
    "models.targets.overlaps": "models.assigners.overlaps",
    "models.targets.deltas": "models.coders.deltas",
    "models.targets.assigners": "models.assigners.max_iou",
    "models.targets.coders": "models.coders",
    "models.targets.angle_coders": "models.coders.angle_coder",
    "models.targets.priors": "models.priors.anchors",
    "models.targets.samplers": "models.samplers.sampler",
    "models.heads.dense": "models.heads",
    "models.heads.dense.maps": "models.heads.maps",
    "models.heads.dense.retina": "models.heads.retina",
    "models.heads.dense.rpn": "models.heads.rpn",
    "models.heads.dense.fcos": "models.heads.fcos",
    "models.heads.dense.angle_branch_retina": "models.heads.angle_branch_retina",
    "models.heads.roi": "models.heads",
    "models.heads.roi.bbox": "models.heads.shared_2fc",
    "models.heads.roi.standard": "models.heads.standard_roi",
    "models.heads.roi.cascade": "models.heads.cascade_roi",
    "models.heads.roi.extractors": "models.heads.roi_extractor",
    "models.heads.roi.stage": "models.heads.roi_sampling",
    "config.translate": "compat.mmrotate0",
    "config.translate_data": "compat.mmrotate0_data",
    "config.translate_model": "compat.mmrotate0_model",
    "data": "datasets",
    "data.archives": "annotations.archives",
    "data.browse": "datasets.browse",
    "data.check": "annotations.check",
    "data.check.faults": "annotations.check.faults",
    "data.check.images": "annotations.check.images",
    "data.check.objects": "annotations.check.objects",
    "data.check.picture": "annotations.check.picture",
    "data.check.sets": "annotations.check.sets",
    "data.check.training": "datasets.check",
    "data.classes": "annotations.classes",
    "data.coco": "datasets.coco",
    "data.convert": "annotations.convert",
    "data.convert.dataset": "records.table",
    "data.convert.images": "annotations.convert.images",
    "data.convert.labelme": "annotations.convert.labelme",
    "data.convert.read": "annotations.convert.read",
    "data.convert.rectangles": "annotations.convert.rectangles",
    "data.convert.report": "annotations.convert.report",
    "data.convert.target": "annotations.convert.target",
    "data.convert.write": "annotations.convert.write",
    "data.convert.yaml_names": "annotations.convert.yaml_names",
    "data.convert.yolo": "annotations.convert.yolo",
    "data.datasets": "datasets.dataset",
    "data.files": "annotations.files",
    "data.formats": "annotations.formats",
    "data.found": "records.table",
    "data.image_files": "images.files",
    "data.loader": "datasets.loader",
    "data.preview": "images.preview",
    "data.resizing": "datasets.transforms.resizing",
    "data.sample": "datasets.sample",
    "data.samplers": "datasets.samplers",
    "data.sniff": "annotations.sniff",
    "data.split": "tiling.split",
    "data.split.config": "tiling.split.config",
    "data.split.folder": "tiling.split.folder",
    "data.split.inputs": "tiling.split.inputs",
    "data.synthetic": "datasets.synthetic",
    "data.text_datasets": "datasets.text",
    "data.synthetic.canvas": "datasets.synthetic.canvas",
    "data.synthetic.grounds": "datasets.synthetic.grounds",
    "data.synthetic.objects": "datasets.synthetic.objects",
    "data.synthetic.scene": "datasets.synthetic.scene",
    "data.synthetic.sites": "datasets.synthetic.sites",
    "data.synthetic.write": "datasets.synthetic.write",
    "data.tiled": "datasets.tiled",
    "data.tiling": "tiling.windows",
    "data.transforms": "datasets.transforms.loading",
    "data.turning": "datasets.transforms.rotating",
    "data.window_cache": "images.window_cache",
    "data.wrappers": "datasets.wrappers",
    "data.xml_datasets": "datasets.hrsc",
    "engine.evaluate": "evaluation.detect",
    "engine.pictures": "evaluation.pictures",
    "engine.subject": "evaluation.setup",
    "evaluation.patches": "tiling.merging",
    "evaluation.task1": "annotations.task1",
    "inference.large": "inference.windowed",
    "inference.seams": "tiling.seams",
    "inference.tta": "models.tta",
    "inference.windows": "tiling.windowed_image",
    "models.key_names": "compat.checkpoint_keys",
    "visualize": "images.draw",
}

#: Old module and name → new module and name, within rotx.
NAMES: dict[tuple[str, str], tuple[str, str]] = {
    ("models.targets.coders", "BoxCoder"): ("models.coders.box_coder", "BoxCoder"),
    ("models.targets.coders", "DeltaXYWHHBBoxCoder"): ("models.coders.delta_xywh", "DeltaXYWHHBBoxCoder"),
    ("models.targets.coders", "DeltaXYWHTRBBoxCoder"): ("models.coders.delta_xywht", "DeltaXYWHTRBBoxCoder"),
    ("models.targets.coders", "DeltaXYWHTHBBoxCoder"): ("models.coders.delta_xywht", "DeltaXYWHTHBBoxCoder"),
    ("models.targets.coders", "MidpointOffsetCoder"): ("models.coders.midpoint_offset", "MidpointOffsetCoder"),
    ("models.targets.coders", "DistanceAnglePointCoder"): (
        "models.coders.distance_angle_point",
        "DistanceAnglePointCoder",
    ),
    ("models.targets.angle_coders", "CSLCoder"): ("models.coders.csl", "CSLCoder"),
    ("models.targets.angle_coders", "PSCCoder"): ("models.coders.psc", "PSCCoder"),
    ("models.targets.priors", "FakeRotatedAnchorGenerator"): (
        "models.priors.rotated_anchors",
        "FakeRotatedAnchorGenerator",
    ),
    ("models.targets.priors", "MlvlPointGenerator"): ("models.priors.points", "MlvlPointGenerator"),
    ("models.targets.samplers", "RandomSampler"): ("models.samplers.random_sampler", "RandomSampler"),
    ("models.targets.samplers", "OHEMSampler"): ("models.samplers.ohem_sampler", "OHEMSampler"),
    ("models.targets.samplers", "PseudoSampler"): ("models.samplers.pseudo_sampler", "PseudoSampler"),
    ("engine.subject", "Subject"): ("evaluation.setup", "EvaluationSetup"),
    ("engine.subject", "load_subject"): ("evaluation.setup", "load_setup"),
    ("inference.large", "Look"): ("inference.windowed", "WindowOptions"),
    ("data.check", "Labelled"): ("annotations.check", "CheckedSet"),
    ("data.check", "Report"): ("annotations.check", "CheckReport"),
    ("data.check.images", "Image"): ("annotations.check.images", "DecodedImage"),
    ("data.check.sets", "Labelled"): ("annotations.check.sets", "CheckedSet"),
    ("data.check.training", "Drops"): ("datasets.check", "DatasetUsage"),
    ("data.check.training", "drops_of"): ("datasets.check", "dataset_usage"),
    ("data.classes", "Wanted"): ("annotations.classes", "ClassSelection"),
    ("data.classes", "few"): ("annotations.classes", "first_names"),
    ("data.classes", "wanted_classes"): ("annotations.classes", "class_selection"),
    ("data.coco", "read_coco"): ("annotations.coco", "read_coco"),
    ("data.convert", "DataSet"): ("records", "InstanceTable"),
    ("data.convert", "Report"): ("annotations.convert", "ConversionReport"),
    ("data.convert.dataset", "DataSet"): ("records", "InstanceTable"),
    ("data.convert.report", "Report"): ("annotations.convert", "ConversionReport"),
    ("data.datasets", "DOTADataset"): ("datasets.dota", "DOTADataset"),
    ("data.datasets", "DOTAv15Dataset"): ("datasets.dota", "DOTAv15Dataset"),
    ("data.datasets", "DOTAv2Dataset"): ("datasets.dota", "DOTAv2Dataset"),
    ("data.datasets", "FileDataset"): ("datasets.file_dataset", "FileDataset"),
    ("data.datasets", "LEAST_SIDE"): ("annotations.limits", "LEAST_SIDE"),
    ("data.datasets", "SRSDDDataset"): ("datasets.dota", "SRSDDDataset"),
    ("data.formats", "Annotations"): ("records.deprecated", "Annotations"),
    ("data.formats", "Detections"): ("records.deprecated", "Detections"),
    ("data.formats", "Problem"): ("records", "FileProblem"),
    ("data.found", "Found"): ("records", "InstanceTable"),
    ("data.loader", "Item"): ("datasets.loader", "LoadedImage"),
    ("data.loader", "Items"): ("datasets.loader", "LoadedImages"),
    ("data.resizing", "Pad"): ("datasets.transforms.padding", "Pad"),
    ("data.resizing", "RandomCrop"): ("datasets.transforms.cropping", "RandomCrop"),
    ("data.loader", "Samples"): ("datasets.loader", "SampleSource"),
    ("data.sample", "Record"): ("records.deprecated", "Record"),
    ("data.sample", "Window"): ("records", "Window"),
    ("data.samplers", "Records"): ("datasets.samplers", "RecordSource"),
    ("data.samplers", "Sampler"): ("datasets.samplers", "DataSampler"),
    ("data.sniff", "Found"): ("annotations.sniff", "AnnotationFiles"),
    ("data.text_datasets", "UCASAODDataset"): ("datasets.ucas", "UCASAODDataset"),
    ("data.transforms", "Normalize"): ("datasets.transforms.colors", "Normalize"),
    ("data.transforms", "PhotoMetricDistortion"): ("datasets.transforms.colors", "PhotoMetricDistortion"),
    ("data.turning", "RandomFlip"): ("datasets.transforms.flipping", "RandomFlip"),
    ("data.xml_datasets", "DIORDataset"): ("datasets.dior", "DIORDataset"),
    ("data.split", "Report"): ("tiling.split", "SplitReport"),
    ("engine.checkpoints", "Keeper"): ("engine.deprecated", "Keeper"),
    ("models.structures", "Detections"): ("models.old_records", "Detections"),
    ("models.structures", "Targets"): ("models.old_records", "Targets"),
}


def old_name(module: str, name: str) -> Any:
    """Implements a module's ``__getattr__`` for old names; returns the new object and warns.

    Raises:
        AttributeError: If the module never had the name.
    """
    now = NAMES.get((module.removeprefix("rotx."), name))
    if now is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    message = f"{module}.{name} is now rotx.{'.'.join(now)}; the old name will be removed in the next version"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
    return getattr(import_module(f"rotx.{now[0]}"), now[1])


class _Renamed(ModuleType):
    """Stand-in for a module under its old name; looks everything up in the new module."""

    def __init__(self, old: str) -> None:
        super().__init__(f"rotx.{old}", f"Renamed: see rotx.{MODULES[old]}.")
        self.__path__: list[str] = []  # so that submodules are looked up, too

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        old = self.__name__.removeprefix("rotx.")
        module, now = NAMES.get((old, name), (MODULES[old], name))
        return getattr(import_module(f"rotx.{module}"), now)


class _Finder(MetaPathFinder, Loader):
    """Import hook that finds modules by their old names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns a spec for an old name, None for any other name."""
        package, _, old = fullname.partition(".")
        return ModuleSpec(fullname, self, is_package=True) if package == "rotx" and old in MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Makes the stand-in for an old name and warns."""
        old = spec.name.removeprefix("rotx.")
        message = f"{spec.name} is now rotx.{MODULES[old]}; the old name will be removed in the next version"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return _Renamed(old)

    def exec_module(self, module: ModuleType) -> None:
        """Does nothing: the stand-in is complete."""


def install() -> None:
    """Makes the old names importable."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
