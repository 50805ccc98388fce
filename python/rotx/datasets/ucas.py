"""The UCAS-AOD dataset."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np

from rotx.annotations.classes import CLASSES_OF
from rotx.annotations.formats import read_annotations, read_names
from rotx.datasets.file_dataset import FileDataset
from rotx.images.files import find_images, list_images
from rotx.records import InstanceTable

#: Folders of UCAS-AOD, with their classes and the offsets that the usual splits add to the image numbers.
_UCAS = {"CAR": ("car", 0), "PLANE": ("airplane", 510)}


class UCASAODDataset(FileDataset):
    """UCAS-AOD as distributed: a folder ``CAR`` and a folder ``PLANE`` with images and their labels.

    ``ann_file`` lists the images of a split in the usual numbering: ``P0001`` to ``P0510`` are in ``CAR``, and numbers
    from ``P0511`` on continue with ``PLANE``. ``data_prefix`` names the folder that holds both.
    """

    own_classes = CLASSES_OF["UCASAODDataset"]

    def _read(self) -> InstanceTable:
        names = read_names(self._existing("ann_file", self.ann_file))
        parts = [self._read_folder(folder, more) for folder, (_, more) in _UCAS.items()]
        place = {name: i for i, name in enumerate(names)}
        missing = [name for name in names if all(name not in part.images for part in parts)]
        if missing:
            where = self._existing("data_prefix", self.images)
            raise ValueError(
                f"{self.source}: {len(missing):,} of its {len(names):,} images have no labels in {where}, such as "
                f"{missing[0]}"
            )
        paths = {name: path for part in parts for name, path in zip(part.images, part.paths, strict=True)}
        images = np.concatenate([[place.get(part.images[i], -1) for i in part.image] for part in parts])
        found = InstanceTable(
            images=names,
            classes=[name for name, _ in _UCAS.values()],
            boxes=np.concatenate([part.boxes for part in parts]),
            kind="quad",
            image=images.astype(np.int64),
            label=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
            paths=[paths[name] for name in names],
        )
        found.keep_objects(found.image >= 0)
        return found

    def _read_folder(self, name: str, more: int) -> InstanceTable:
        """Reads the images and objects of one folder; names images as in the lists."""
        folder = self._existing("data_prefix", str(PurePosixPath(self.prefix, name)))
        found = read_annotations(folder)
        found.paths = find_images(folder, list_images(folder, self.img_suffix), found.images)
        numbers = [int(digits) + more if (digits := image[1:]).isdecimal() else None for image in found.images]
        found.images = [name if n is None else f"P{n:04d}" for name, n in zip(found.images, numbers, strict=True)]
        return found
