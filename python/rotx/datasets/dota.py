"""DOTA and datasets in the same format."""

from __future__ import annotations

from rotx.annotations.classes import CLASSES_OF
from rotx.annotations.formats import read_annotations
from rotx.datasets.file_dataset import FileDataset
from rotx.images.files import find_images, list_images
from rotx.records import InstanceTable


class DOTADataset(FileDataset):
    """Images with DOTA's ``labelTxt`` files, or any other annotations that :func:`read_annotations` knows.

    An image without an annotation file is left out; an empty file means that the image has no objects.
    """

    own_classes: tuple[str, ...] | None = CLASSES_OF["DOTADataset"]

    def _read(self) -> InstanceTable:
        annotations, folder = self._existing("ann_file", self.ann_file), self._existing("data_prefix", self.images)
        found, listed = read_annotations(annotations), list_images(folder, self.img_suffix)
        found.paths = find_images(folder, listed, found.images)
        others = len(listed.keys() - set(found.images))
        if others:
            found.notices.append(f"{folder}: {others:,} images have no annotations in {annotations} and are left out")
        return found


class DOTAv15Dataset(DOTADataset):
    """DOTA-v1.5: 16 classes."""

    own_classes = CLASSES_OF["DOTAv15Dataset"]


class DOTAv2Dataset(DOTADataset):
    """DOTA-v2.0: 18 classes."""

    own_classes = CLASSES_OF["DOTAv2Dataset"]


class SRSDDDataset(DOTADataset):
    """SRSDD-v1.0: six kinds of ships in SAR images, in files like DOTA's."""

    own_classes = CLASSES_OF["SRSDDDataset"]
