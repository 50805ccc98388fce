"""Datasets with a file of text an image in a format of their own: scene text, and UCAS-AOD."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np

from rotx.annotations.classes import CLASSES_OF
from rotx.annotations.formats import read_annotations, read_names
from rotx.datasets.dataset import DOTADataset, FileDataset
from rotx.datasets.found import Found
from rotx.images.files import find_images, list_images

#: The folders of UCAS-AOD, the class of each, and what the usual splits add to the numbers of its images.
_UCAS = {"CAR": ("car", 0), "PLANE": ("airplane", 510)}


class TextDataset(DOTADataset):
    """Scene text: ICDAR 2015 and MSRA-TD500; one class, ``text``.

    What is not to be read (``###``, or of difficulty 1) is ignored, in training and in evaluation, unless ``diff_thr``
    is set higher.

    Args:
        **kwargs: as :class:`rotx.datasets.dataset.FileDataset`.
    """

    own_classes = CLASSES_OF["TextDataset"]

    def __init__(self, *, diff_thr: int = 0, **kwargs: Any) -> None:
        super().__init__(diff_thr=diff_thr, **kwargs)


class UCASAODDataset(FileDataset):
    """UCAS-AOD as it is spread: a folder ``CAR`` and a folder ``PLANE`` with images and their labels.

    ``ann_file`` lists the images of a split as the usual ones do: ``P0001`` to ``P0510`` are those of ``CAR``, and from
    ``P0511`` on those of ``PLANE``, counted on. The folders are in ``data_prefix``.
    """

    own_classes = CLASSES_OF["UCASAODDataset"]

    def _read(self) -> Found:
        names = read_names(self._existing("ann_file", self.ann_file))
        parts = [self._read_folder(folder, *about) for folder, about in _UCAS.items()]
        place = {name: i for i, name in enumerate(names)}
        missing = [name for name in names if all(name not in part.names for part in parts)]
        if missing:
            where = self._existing("data_prefix", self.images)
            raise ValueError(
                f"{self.source}: {len(missing):,} of its {len(names):,} images have no labels in {where}, such as "
                f"{missing[0]}"
            )
        images = np.concatenate([[place.get(part.names[i], -1) for i in part.image] for part in parts]).astype(np.int64)
        paths = {name: path for part in parts for name, path in zip(part.names, part.paths, strict=True)}
        found = Found(
            names=names,
            paths=[paths[name] for name in names],
            classes=[name for name, _ in _UCAS.values()],
            quads=np.concatenate([part.quads for part in parts]),
            image=images,
            label=np.repeat(np.arange(len(parts)), [len(part.quads) for part in parts]),
            difficult=np.concatenate([part.difficult for part in parts]),
            ignored=np.concatenate([part.ignored for part in parts]),
            sizes=[None] * len(names),
        )
        found.keep_objects(images >= 0)
        return found

    def _read_folder(self, name: str, kind: str, more: int) -> Found:
        """The images and objects of one of the folders; the images are called as in the lists."""
        inner = str(PurePosixPath(self.prefix, name))
        folder = self._existing("data_prefix", inner)
        read = read_annotations(folder)
        paths = find_images(folder, list_images(folder, self.img_suffix), read.images)
        numbers = [int(digits) + more if (digits := image[1:]).isdecimal() else None for image in read.images]
        return Found(
            names=[image if n is None else f"P{n:04d}" for image, n in zip(read.images, numbers, strict=True)],
            paths=paths,
            classes=[kind],
            quads=read.quads,
            image=read.image,
            label=np.zeros(len(read.label), np.int64),
            difficult=read.difficult,
            ignored=np.zeros(len(read.label), np.bool_),
            sizes=[None] * len(read.images),
        )
