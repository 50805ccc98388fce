"""Datasets with an xml file an image and a list of the images of each split: HRSC2016 and DIOR-R."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.classes import CLASSES_OF, HRSC_CLASSES
from rotx.annotations.formats import Annotations, read_annotations
from rotx.datasets.dataset import FileDataset
from rotx.datasets.found import Found, found_of
from rotx.datasets.transforms.loading import enclosing
from rotx.images.files import find_images, list_images


class HRSCDataset(FileDataset):
    """HRSC2016.

    ``ann_file`` lists the images, such as ``ImageSets/trainval.txt``; images and xml files are in sub-folders of
    ``data_prefix=dict(sub_data_root="FullDataSet/")``.

    Args:
        img_subdir: the folder of the images.
        ann_subdir: the folder of the xml files.
        classwise: tell the 31 kinds of ships apart; else all are ``ship``.
        **kwargs: as :class:`FileDataset`.
    """

    own_classes = CLASSES_OF["HRSCDataset"]
    prefix_keys = ("sub_data_root",)

    def __init__(
        self, *, img_subdir: str = "AllImages", ann_subdir: str = "Annotations", classwise: bool = False, **kwargs: Any
    ) -> None:
        self.img_subdir, self.ann_subdir, self.classwise = img_subdir, ann_subdir, classwise
        if classwise:
            self.own_classes = tuple(HRSC_CLASSES.values())
        super().__init__(**kwargs)

    @property
    def images(self) -> str:
        """The folder of the images, within the data's."""
        return str(PurePosixPath(self.prefix, self.img_subdir))

    def _read(self) -> Found:
        names = self._existing("ann_file", self.ann_file)
        folder = self._existing("ann_subdir", str(PurePosixPath(self.prefix, self.ann_subdir)))
        images = self._existing("img_subdir", self.images)
        read = read_annotations(folder, images=names)
        found = found_of(read, find_images(images, list_images(images, self.img_suffix), read.images))
        if self.classwise:
            found.classes, found.label = _kinds_of_ships(read, folder)
        return found


class DIORDataset(FileDataset):
    """DIOR-R. Names of classes are made small letters, as MMRotate's.

    ``ann_file`` lists the images, such as ``ImageSets/Main/train.txt``.

    Args:
        ann_subdir: the folder of the xml files, within ``data_root``.
        ann_type: ``"obb"``: boxes as annotated; ``"hbb"``: the horizontal ones around them.
        **kwargs: as :class:`FileDataset`.
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

    def _read(self) -> Found:
        names = self._existing("ann_file", self.ann_file)
        folder = self._existing("ann_subdir", self.ann_subdir)
        images = self._existing("data_prefix", self.images)
        read = read_annotations(folder, images=names)
        found = found_of(read, find_images(images, list_images(images, self.img_suffix), read.images))
        small = [name.lower() for name in read.classes]
        found.classes = list(dict.fromkeys(small))
        found.label = np.array([found.classes.index(name) for name in small], dtype=np.int64)[read.label]
        if self.ann_type == "hbb":
            found.quads = enclosing(read.quads)
        return found


def _kinds_of_ships(read: Annotations, folder: Path) -> tuple[list[str], NDArray[np.int64]]:
    """The names of HRSC2016's kinds of ships and the kind (N,) of each object; an unknown one is called by its id."""
    ids: list[str] = []
    for name in read.images:
        # The Rust reader has read these files before: they are xml, and without entities that grow.
        for thing in ET.parse(folder / f"{name}.xml").iter("HRSC_Object"):
            ids.append((thing.findtext("Class_ID") or "").strip())
    names = [HRSC_CLASSES.get(number, number) for number in ids]
    if len(names) != len(read.image) or not all(names):
        raise ValueError(f"{folder}: classwise: need one Class_ID in each HRSC_Object")
    classes = list(dict.fromkeys(names))
    label = np.zeros(len(names), np.int64)
    label[np.argsort(read.image, kind="stable")] = [classes.index(name) for name in names]
    return classes, label
