"""HRSC2016."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.classes import CLASSES_OF, HRSC_CLASSES
from rotx.annotations.formats import read_annotations
from rotx.datasets.file_dataset import FileDataset
from rotx.images.files import find_images, list_images
from rotx.records import InstanceTable


class HRSCDataset(FileDataset):
    """HRSC2016.

    ``ann_file`` lists the images, such as ``ImageSets/trainval.txt``. Images and XML files are in subfolders of
    ``data_prefix=dict(sub_data_root="FullDataSet/")``.

    Args:
        img_subdir: Folder of the images, within ``sub_data_root``.
        ann_subdir: Folder of the XML files, within ``sub_data_root``.
        classwise: Whether to distinguish the 31 ship types; otherwise all objects are ``ship``.
        **kwargs: Keywords of :class:`FileDataset`.
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
        """Path of the image folder, relative to ``data_root``."""
        return str(PurePosixPath(self.prefix, self.img_subdir))

    def _read(self) -> InstanceTable:
        names = self._existing("ann_file", self.ann_file)
        folder = self._existing("ann_subdir", str(PurePosixPath(self.prefix, self.ann_subdir)))
        images = self._existing("img_subdir", self.images)
        found = read_annotations(folder, images=names)
        found.paths = find_images(images, list_images(images, self.img_suffix), found.images)
        if self.classwise:
            found.classes, found.label = _kinds_of_ships(found, folder)
        return found


def _kinds_of_ships(read: InstanceTable, folder: Path) -> tuple[list[str], NDArray[np.int32]]:
    """Names of HRSC2016's ship types, and the type (N,) of each object; an unknown type is named by its id."""
    ids: list[str] = []
    for name in read.images:
        # The Rust reader has accepted these files: they are XML without expanding entities.
        for thing in ET.parse(folder / f"{name}.xml").iter("HRSC_Object"):
            ids.append((thing.findtext("Class_ID") or "").strip())
    names = [HRSC_CLASSES.get(number, number) for number in ids]
    if len(names) != len(read.image) or not all(names):
        raise ValueError(f"{folder}: classwise: need one Class_ID in each HRSC_Object")
    classes = list(dict.fromkeys(names))
    label = np.zeros(len(names), np.int32)
    label[np.argsort(read.image, kind="stable")] = [classes.index(name) for name in names]
    return classes, label
