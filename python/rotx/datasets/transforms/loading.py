"""Transforms that load a sample or choose the kind of its boxes; no torch.

Every transform is called with a :class:`~rotx.datasets.sample.Sample` and a random generator, and returns the
sample, changed in place. All random choices come from the generator. Transforms that move pixels return a `Warp`, and
`rotx.datasets.transforms.warp` applies it to image, boxes and masks. Names and keywords are MMRotate's and
MMDetection's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from rotx.datasets.sample import Sample
from rotx.images.window_cache import read_record

BoxType = Literal["hbox", "rbox", "qbox"]


class LoadImageFromFile:
    """Reads the image of the sample's record as (H, W, 3) uint8, BGR; greyscale and 16-bit images are converted.

    The record then has the size of the file, or of the window in it.

    Raises:
        UnreadableImage: When called, for a file that is missing or holds no image.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Reads the image."""
        sample.image = read_record(sample.record)
        sample.record = replace(sample.record, size=sample.size)
        return sample


class LoadAnnotations:
    """Copies the objects of the sample's record, in pixels of the file.

    After a Resize, as in test pipelines, the objects stay in pixels of the file.

    Args:
        box_type: ``"hbox"``: the horizontal boxes around the objects; ``"qbox"`` and ``"rbox"``: quads, as annotated;
            None: horizontal boxes if the dataset has them, else quads.
        with_mask: Whether to copy the masks, too; objects without a mask are then ignored, as in MMDetection.
    """

    def __init__(self, *, with_mask: bool = False, box_type: BoxType | None = None) -> None:
        self.box_type = None if box_type is None else _box_type("box_type", box_type)
        self.with_mask = with_mask

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Copies the objects of the record into the sample."""
        known = sample.record.instances
        upright = self.box_type == "hbox" or (self.box_type is None and known.kind == "hbox")
        ignored = np.zeros(len(known), np.bool_) if known.ignored is None else known.ignored.copy()
        masks = known.file_masks if self.with_mask else None
        if masks is not None:
            ignored |= np.array([not mask for mask in masks], np.bool_)
        taken = replace(known, labels=known.labels.copy(), ignored=ignored, masks=masks)
        converted = taken.convert("hbox" if upright else "quad")
        sample.instances = replace(converted, boxes=converted.boxes.astype(np.float64))
        return sample


class ConvertBoxType:
    """Converts the boxes of the objects. Rotated boxes are kept as quads, so only ``"hbox"`` has an effect.

    Args:
        box_type_mapping: ``dict(gt_bboxes=...)`` with ``"hbox"`` for the horizontal boxes around the objects;
            ``"qbox"`` and ``"rbox"`` change nothing.
    """

    def __init__(self, *, box_type_mapping: Mapping[str, BoxType]) -> None:
        if not isinstance(box_type_mapping, Mapping) or set(box_type_mapping) != {"gt_bboxes"}:
            raise ValueError(f"box_type_mapping: need dict(gt_bboxes=...), got {box_type_mapping!r}")
        self.box_type = _box_type("box_type_mapping.gt_bboxes", box_type_mapping["gt_bboxes"])

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Converts the objects."""
        sample.instances = sample.instances.convert("hbox" if self.box_type == "hbox" else "quad")
        return sample


class ConvertMask2BoxType(ConvertBoxType):
    """Same as :class:`ConvertBoxType`: the boxes of objects with masks already enclose these masks.

    Args:
        box_type: Kind of boxes, as ``gt_bboxes`` of `ConvertBoxType`.
    """

    def __init__(self, *, box_type: BoxType = "rbox") -> None:
        self.box_type = _box_type("box_type", box_type)


class PackDetInputs:
    """Does nothing: the loader turns every sample into tensors."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the sample unchanged."""
        return sample


def _box_type(name: str, value: BoxType) -> BoxType:
    if value not in get_args(BoxType):
        raise ValueError(f"{name}: need 'hbox', 'rbox' or 'qbox', got {value!r}")
    return value
