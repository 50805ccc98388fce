"""DIOR-R."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from rotx.annotations.classes import CLASSES_OF
from rotx.annotations.formats import read_annotations
from rotx.datasets.file_dataset import FileDataset
from rotx.images.files import find_images, list_images
from rotx.records import InstanceTable


class DIORDataset(FileDataset):
    """DIOR-R, with class names in lower case, as in MMRotate.

    ``ann_file`` lists the images, such as ``ImageSets/Main/train.txt``.

    Args:
        ann_subdir: Folder of the XML files, within ``data_root``.
        ann_type: ``"obb"`` for boxes as annotated, ``"hbb"`` for the horizontal boxes around them.
        **kwargs: Keywords of :class:`FileDataset`.
    """

    own_classes = CLASSES_OF["DIORDataset"]

    def __init__(
        self,
        *,
        ann_subdir: str = "Annotations/Oriented Bounding Boxes/",
        ann_type: Literal["obb", "hbb"] = "obb",
        **kwargs: Any,
    ) -> None:
        if ann_type not in ("obb", "hbb"):
            raise ValueError(f"ann_type: need 'obb' or 'hbb', got {ann_type!r}")
        self.ann_subdir, self.ann_type = ann_subdir, ann_type
        super().__init__(**kwargs)

    def _read(self) -> InstanceTable:
        names = self._existing("ann_file", self.ann_file)
        folder = self._existing("ann_subdir", self.ann_subdir)
        images = self._existing("data_prefix", self.images)
        found = read_annotations(folder, images=names)
        found.paths = find_images(images, list_images(images, self.img_suffix), found.images)
        small = [name.lower() for name in found.classes]
        found.classes = list(dict.fromkeys(small))
        found.label = np.array([found.classes.index(name) for name in small], dtype=np.int32)[found.label]
        if self.ann_type == "hbb":
            found.convert("hbox")
        return found
