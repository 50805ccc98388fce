"""Datasets with COCO-style JSON annotations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.classes import CLASSES_OF
from rotx.annotations.coco import read_coco
from rotx.datasets.dataset import Transform
from rotx.datasets.file_dataset import FileDataset
from rotx.datasets.transforms.loading import ConvertBoxType, ConvertMask2BoxType, LoadAnnotations
from rotx.records import InstanceTable


class RotatedCocoDataset(FileDataset):
    """A dataset with one COCO-style JSON file; configs may call it ``CocoDataset``.

    `rotx.annotations.coco` describes how the shapes of objects are read. If the pipeline loads horizontal boxes, as
    MMDetection's configs do, ``bbox`` takes precedence over ``segmentation``, and training leaves out what MMDetection
    leaves out: boxes outside the image or with a side below one pixel, and objects without an area. Masks are kept if
    ``LoadAnnotations`` asks for them. Objects of categories that the config does not name are left out and counted.
    """

    lists_classes = True
    keeps_hboxes = True
    _consumer: Sequence[Transform] = ()

    def read_for(self, pipeline: Sequence[Transform]) -> None:
        """Reads the annotations again if the pipeline loads other shapes, or masks."""
        before = self._loads_hboxes(), self._loads_masks()
        self._consumer = pipeline
        if (self._loads_hboxes(), self._loads_masks()) != before:
            self._load()

    def _read(self) -> InstanceTable:
        file = self._existing("ann_file", self.ann_file)
        folder = self._existing("data_prefix", self.images)
        read = read_coco(file, [folder], upright=self._loads_hboxes(), masks=self._loads_masks())
        things = read.data.get("annotations", ())
        if (
            read.table.kind == "hbox"
            and read.table.masks is None
            and any(thing.get("segmentation") for thing in things)
        ):
            read.table.notices.append(
                f"{file}: boxes are horizontal (bbox); to use segmentation, set LoadAnnotations box_type='qbox'"
            )
        if read.table.kind == "hbox" and not self.test_mode:
            areas = [thing.get("area") for thing in things]
            self._leave_out_empty(read.table, np.array([1 if area is None else area for area in areas], np.float64))
        return read.table

    def _loads_hboxes(self) -> bool:
        """Whether the pipeline loads horizontal boxes, the default of MMDetection's LoadAnnotations."""
        pipeline = self._consumer or self.transforms
        loads = next((t for t in pipeline if isinstance(t, LoadAnnotations)), None)
        if loads is None or loads.box_type is not None:
            return loads is not None and loads.box_type == "hbox"
        return not any(isinstance(transform, ConvertBoxType) for transform in pipeline)

    def _loads_masks(self) -> bool:
        pipeline = self._consumer or self.transforms
        converted = any(isinstance(transform, ConvertMask2BoxType) for transform in pipeline)
        return not converted and any(isinstance(t, LoadAnnotations) and t.with_mask for t in pipeline)

    def _leave_out_empty(self, found: InstanceTable, areas: NDArray[np.float64]) -> None:
        """Leaves out and counts the objects that MMDetection's CocoDataset leaves out."""
        x1, y1, x2, y2 = found.boxes.T
        size = found.extents[found.image]
        width, height = np.where(size > 0, size, np.inf).T
        inside = (np.minimum(x2, width) > np.maximum(x1, 0)) & (np.minimum(y2, height) > np.maximum(y1, 0))
        empty = ~inside | (areas <= 0) | (x2 - x1 < 1) | (y2 - y1 < 1)
        finite = np.asarray(np.isfinite(found.boxes).all(axis=1))
        if (empty & finite).any():
            count = int((empty & finite).sum())
            self.dropped["below one pixel, or outside the image"] += count
            found.notices.append(f"{self.source}: {count:,} objects dropped, below one pixel or outside their image")
        found.keep_objects(~(empty & finite))


class SARShipDataset(RotatedCocoDataset):
    """SSDD, HRSID and RSDD-SAR with JSON annotations; one class, ``ship``."""

    own_classes = CLASSES_OF["SARShipDataset"]


class HITUAVDataset(RotatedCocoDataset):
    """HIT-UAV: persons, cars, bicycles and other vehicles in infrared.

    Objects marked as ``DontCare`` are left out and counted.
    """

    own_classes = CLASSES_OF["HITUAVDataset"]
