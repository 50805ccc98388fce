"""Datasets in files, read and cleaned when they are built.

Every format has a reader that fills an `InstanceTable`. The rest is the same for all: classes are chosen; missing
images, unusable objects and unwanted images are left out and counted; and one record is made for each image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rotx.annotations.classes import ClassSelection, choose_classes, class_selection
from rotx.annotations.limits import LEAST_SIDE
from rotx.annotations.sniff import nearest
from rotx.datasets.dataset import Dataset, Transform
from rotx.datasets.pipeline import checked_pipeline
from rotx.geometry import quad_to_rbox
from rotx.images.files import find_images, image_size, list_files, list_images
from rotx.records import InstanceTable


class FileDataset(Dataset):
    """A dataset in files; subclasses read one format each. Its records are sorted by name.

    Args:
        ann_file: Path of the annotations, within ``data_root``; ``""``: all images of the folder, without objects.
        data_root: Folder of the data.
        data_prefix: Folder of the images, within ``data_root``: ``dict(img_path="images/")``; ``img`` is a synonym.
        metainfo: ``dict(classes=..., left_out=...)``; see :func:`rotx.annotations.classes.class_selection`.
        filter_cfg: For training only: ``dict(filter_empty_gt=True)`` leaves out images without objects, ``min_size=32``
            images with a side below 32 pixels.
        pipeline: Transforms of the pipeline, in order.
        test_mode: Whether the dataset is for evaluation, which keeps images without objects of a wanted class.
        diff_thr: Objects of greater difficulty are ignored.
        img_suffix: Suffix of the image files, such as ``"png"``; None: any image suffix.
        indices: Number of images to use, the first by name; None: all.

    Raises:
        ValueError: For missing paths, annotations that cannot be read, classes that do not match the data, and if no
            image is left.
    """

    #: Default classes; None: those of the data.
    own_classes: tuple[str, ...] | None = None
    #: Keys of ``data_prefix`` for the image folder; all mean the same.
    prefix_keys: tuple[str, ...] = ("img_path", "img")
    #: Whether the annotations list their classes, so that the config may ask for some of them.
    lists_classes = False
    #: Whether horizontal boxes stay horizontal; otherwise they become quads, to be rotated like others.
    keeps_hboxes = False

    def __init__(
        self,
        *,
        ann_file: str = "",
        data_root: str | None = "",
        data_prefix: Mapping[str, str] | None = None,
        metainfo: Mapping[str, Any] | None = None,
        filter_cfg: Mapping[str, Any] | None = None,
        pipeline: Sequence[Transform] = (),
        test_mode: bool = False,
        diff_thr: int = 100,
        img_suffix: str | None = None,
        indices: int | None = None,
    ) -> None:
        for key, value in (("ann_file", ann_file), ("data_root", data_root or ""), ("img_suffix", img_suffix or "")):
            if not isinstance(value, str | Path):
                raise ValueError(f"{key}: need {'a suffix' if key == 'img_suffix' else 'a path'}, got {value!r}")
        if not isinstance(test_mode, bool) or not isinstance(diff_thr, int | float):
            raise ValueError(f"need test_mode True or False and diff_thr a number, got {test_mode!r} and {diff_thr!r}")
        if indices is not None and (type(indices) is not int or indices < 1):
            raise ValueError(f"indices: need the number of images wanted, got {indices!r}")
        self.root, self.ann_file, self.img_suffix = Path(data_root or ""), ann_file, img_suffix
        self.prefix = prefix_of(data_prefix, self.prefix_keys)
        self.transforms = checked_pipeline(pipeline, test_mode)
        self.test_mode = test_mode
        self.filter_cfg, self.diff_thr, self.indices = filter_cfg, diff_thr, indices
        self._wanted = class_selection(metainfo, self.own_classes, self.root)
        self._load()

    def _load(self) -> None:
        """Reads and cleans the annotations."""
        self.dropped: Counter[str] = Counter()
        keep_empty, min_size = checked_filter(self.filter_cfg)
        found = self._read() if self.ann_file else self._read_images()
        if found.kind == "hbox" and not self.keeps_hboxes:
            found.convert("quad")
        self.notices = found.notices
        if not found.images:
            raise ValueError(f"{self.source}: no image in it")
        self._leave_out_absent(found)
        self.classes = self._choose_classes(found, self._wanted)
        beyond = found.difficult > self.diff_thr
        found.ignored = beyond if found.ignored is None else found.ignored | beyond
        if not self.test_mode:
            self._drop_objects(found)
            self._filter_images(found, keep_empty, min_size)
        self.records = found.records()[: self.indices]

    @property
    def images(self) -> str:
        """Path of the image folder, relative to ``data_root``."""
        return self.prefix

    @property
    def source(self) -> Path:
        """Path of the annotations, or of the images if there are none, for messages."""
        return self.root / (self.ann_file or self.images)

    def _read(self) -> InstanceTable:
        """Reads the annotations and finds the images."""
        raise NotImplementedError

    def _read_images(self) -> InstanceTable:
        """Lists all images of the folder, without objects."""
        if not self.test_mode:
            raise ValueError("ann_file: training needs annotations; leave it out only with test_mode=True")
        folder = self._existing("data_prefix", self.images)
        listed = list_images(folder, self.img_suffix)
        return InstanceTable.without_objects(list(listed), find_images(folder, listed, list(listed)))

    def _existing(self, key: str, inner: str) -> Path:
        """Returns a path within ``data_root``; all but ``ann_file`` are folders.

        Raises:
            ValueError: If the path does not exist; names the config keys it is made of.
        """
        path = self.root / inner
        if path.is_dir() or (key == "ann_file" and path.exists()):
            return path
        problem = "is not a folder" if path.exists() else f"no such {'file or ' if key == 'ann_file' else ''}folder"
        start = "" if path.is_absolute() else f"; relative paths start at {Path.cwd()}"
        raise ValueError(f"{path}: {problem}: data_root {str(self.root)!r} and {key} {inner!r}{start}")

    def _leave_out_absent(self, found: InstanceTable) -> None:
        """Leaves out annotated images without a file."""
        there = np.array([path is not None for path in found.paths])
        count = len(there) - int(there.sum())
        if not count:
            return
        folder, first = self.root / self.images, found.images[int(there.argmin())]
        if count == len(there):
            files = list_files(folder)
            has = f"which holds {len(files):,} files, such as {files[0]}" if files else "which holds no file"
            suffix = f" (img_suffix={self.img_suffix!r})" if self.img_suffix else ""
            problem = f"none of its {count:,} images, such as {first}, is in {folder}{suffix}, {has}"
            raise ValueError(f"{self.source}: {problem}")
        found.notices.append(
            f"{self.source}: {count:,} of {len(there):,} annotated images are left out: not in {folder}; first {first}"
        )
        found.keep_images(there)

    def _choose_classes(self, found: InstanceTable, wanted: ClassSelection) -> tuple[str, ...]:
        """Returns the classes; leaves out objects of other classes and sets the labels of the rest."""
        if not self.ann_file:
            return wanted.classes or ()
        counts = np.bincount(found.label, minlength=len(found.classes))
        classes, labels, notices = choose_classes(wanted, found.classes, counts, self.source, subset=self.lists_classes)
        found.notices += notices
        found.label = labels[found.label].astype(np.int32)
        found.keep_objects(found.label >= 0)
        return classes

    def _drop_objects(self, found: InstanceTable) -> None:
        """Drops and counts objects that cannot be learnt."""
        sides = quad_to_rbox(found.quads)[:, 2:4]
        finite = np.asarray(np.isfinite(found.boxes).all(axis=1) & np.isfinite(sides).all(axis=1))
        thin = finite & (sides.min(axis=1, initial=np.inf) < LEAST_SIDE)
        for reason, bad in (("not finite", ~finite), ("zero area", thin)):
            if bad.any():
                self.dropped[reason] += int(bad.sum())
                first = found.images[found.image[bad.argmax()]]
                found.notices.append(f"{self.source}: {bad.sum():,} objects dropped, {reason}; first in {first}")
        found.keep_objects(finite & ~thin)

    def _filter_images(self, found: InstanceTable, keep_empty: bool, min_size: int) -> None:
        """Applies ``filter_cfg``: leaves out empty and small images."""
        images = len(found.images)
        empty = (np.bincount(found.image, minlength=images) == 0) & (not keep_empty)
        small = np.zeros(images, np.bool_)
        if min_size:
            for i, path in enumerate(found.paths):
                size = (found.sizes[i] if found.sizes else None) or (image_size(path) if path else None)
                small[i] = size is not None and min(size) < min_size
        keep = ~(empty | small)
        if keep.all():
            return
        reasons = f"{empty.sum():,} without an object"
        if min_size:
            reasons += f", {(small & ~empty).sum():,} more with a side below {min_size}"
        if not keep.any():
            raise ValueError(f"{self.source}: filter_cfg leaves none of its {images:,} images: {reasons}")
        found.notices.append(f"{self.source}: filter_cfg leaves out, of {images:,} images, {reasons}")
        found.keep_images(keep)


def prefix_of(data_prefix: Mapping[str, str] | None, keys: Sequence[str]) -> str:
    """The folder that ``data_prefix`` names, under one of ``keys``."""
    if not isinstance(data_prefix, Mapping | None):
        raise ValueError(f"data_prefix: need dict({keys[0]}='folder/'), got {data_prefix!r}")
    given = {key: value for key, value in (data_prefix or {}).items() if value is not None}
    for key, value in given.items():
        if key not in keys:
            raise ValueError(f"data_prefix takes no {key!r}; need dict({keys[0]}='folder/')")
        if not isinstance(value, str):
            raise ValueError(f"data_prefix.{key}: need the path of a folder, got {value!r}")
    if len(given) > 1:
        raise ValueError(f"data_prefix: {' and '.join(given)} mean the same; keep one")
    return next(iter(given.values()), "")


def checked_filter(filter_cfg: Mapping[str, Any] | None) -> tuple[bool, int]:
    """Checks ``filter_cfg``; returns whether images without objects stay, and the least side of images in pixels."""
    known = {"filter_empty_gt": False, "min_size": 0}
    if not isinstance(filter_cfg, Mapping | None):
        raise ValueError(f"filter_cfg: need dict(filter_empty_gt=True), got {filter_cfg!r}")
    for key, value in (filter_cfg or {}).items():
        if key not in known:
            raise ValueError(f"filter_cfg takes no {key!r}{nearest(str(key), tuple(known))}")
        if type(value) is not type(known[key]) or value < 0:
            raise ValueError(
                f"filter_cfg.{key}: need {'True or False' if key != 'min_size' else 'pixels'}, got {value!r}"
            )
    says = {**known, **(filter_cfg or {})}
    return not says["filter_empty_gt"], int(says["min_size"])
