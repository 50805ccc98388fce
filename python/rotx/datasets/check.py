"""Checking the datasets of a config: which files they read, and what they leave out before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rotx.annotations.check.images import in_threads
from rotx.annotations.check.sets import CheckedSet, read_set
from rotx.annotations.classes import class_selection, first_names
from rotx.compat import build
from rotx.datasets.dataset import Dataset
from rotx.datasets.dior import DIORDataset
from rotx.datasets.file_dataset import FileDataset, prefix_of
from rotx.datasets.hrsc import HRSCDataset
from rotx.datasets.sample import keep_sound
from rotx.datasets.ucas import UCASAODDataset
from rotx.images.files import UnreadableImage
from rotx.registry import resolve

#: Keys of a config whose datasets are checked.
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
#: Greatest number of images that are sent through the pipeline.
DRAWN = 1000


@dataclass(frozen=True)
class DatasetUsage:
    """What a dataset of a config uses, and what it leaves out.

    Attributes:
        name: Key of its data loader in the config.
        images, objects: Numbers of images and objects used; for windows, of windows and the objects in them.
        notices: Notes of the dataset about what it leaves out, one sentence each.
        drawn: Number of images sent through the pipeline once.
        seen: Number of objects on these images.
        lost: Number of these objects that the pipeline dropped, for each reason.
        error: Why the dataset cannot be built, so that training would not start; "" if it can.
    """

    name: str
    images: int = 0
    objects: int = 0
    notices: list[str] = field(default_factory=list)
    drawn: int = 0
    seen: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    error: str = ""


def config_sets(config: Mapping[str, Any], jobs: int | None = None) -> list[CheckedSet]:
    """Reads the files of a config's datasets, each once; notes if training data also serve for evaluation.

    Raises:
        ValueError: If the config has no dataset with annotations, or a dataset cannot be read at all.
        OSError: If images cannot be listed.
    """
    found: dict[tuple[Any, ...], CheckedSet] = {}
    trained: set[tuple[Any, ...]] = set()
    for key in LOADERS:
        for leaf in _leaves(_dataset(config, key)):
            for files in _files(leaf):
                if files not in found:
                    found[files] = _read(leaf, key, *files, jobs)
                    if key == LOADERS[0]:
                        trained.add(files)
                elif key != LOADERS[0] and files in trained:
                    found[files].notices.append(
                        f"{found[files].name}: {key} reads it too, so training data are evaluated"
                    )
    if not found:
        raise ValueError(f"has no dataset with annotations in {', '.join(LOADERS)}")
    return list(found.values())


def dataset_usage(config: Mapping[str, Any], jobs: int | None = None) -> list[DatasetUsage]:
    """Finds what the datasets of a config leave out, by building them and drawing training samples."""
    drops, seen = [], []
    for key in LOADERS:
        dataset = _dataset(config, key)
        if dataset is None or dataset in seen:
            continue
        seen.append(dataset)
        try:
            made = build(dataset, f"{key}.dataset")
            objects = sum(len(made.record(i).instances) for i in range(len(made)))
            part = DatasetUsage(key, len(made), objects, list(made.notices))
            _check_num_classes(config.get("model"), made.classes, key)
            drops.append(part if made.test_mode else _draw(made, part, jobs))
        except (ValueError, OSError) as error:
            drops.append(DatasetUsage(key, error=str(error)))
    return drops


def _check_num_classes(model: Any, classes: Sequence[str], key: str) -> None:
    """Raises ValueError if a head of the model has another number of classes than a dataset."""
    for where, number in _num_classes(model, "model"):
        if isinstance(number, int) and number != len(classes):
            raise ValueError(
                f"{where} is {number}, but {key}.dataset has {len(classes)} classes {first_names(classes)}: set "
                f"num_classes={len(classes)} there, or the names with metainfo=dict(classes=...) here"
            )


def _num_classes(part: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The places and values of ``num_classes`` of heads; an RPN has one class whatever the data."""
    items = part.items() if isinstance(part, Mapping) else enumerate(part) if isinstance(part, list | tuple) else ()
    for key, value in items:
        if key == "num_classes" and "_head" in where:
            yield f"{where}.{key}", value
        elif key != "rpn_head":
            yield from _num_classes(value, f"{where}.{key}")


def _draw(dataset: Dataset, part: DatasetUsage, jobs: int | None) -> DatasetUsage:
    """Sends evenly spaced images through the pipeline and counts dropped objects."""
    count = min(len(dataset), DRAWN)
    indices = np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist()

    def draw(index: int) -> tuple[int, Counter[str]] | None:
        try:
            sample = dataset.sample(index, np.random.default_rng((0, index)))
        except UnreadableImage:
            return None
        keep_sound(sample)
        return len(sample.instances) + sum(sample.dropped.values()), sample.dropped

    results = [result for result in in_threads(draw, indices, part.name, jobs) if result is not None]
    lost = sum((dropped for _, dropped in results), Counter[str]())
    seen = sum(number for number, _ in results)
    return replace(part, drawn=len(results), seen=seen, lost=dict(lost.most_common()))


def _dataset(config: Mapping[str, Any], key: str) -> Any:
    loader = config.get(key)
    return loader.get("dataset") if isinstance(loader, Mapping) else None


def _leaves(config: Any) -> Iterator[Mapping[str, Any]]:
    """Yields the file datasets that a dataset's config is made of."""
    if isinstance(config, Mapping):
        name = config.get("type")
        target = resolve(name) if isinstance(name, str) else None
        if isinstance(target, type) and issubclass(target, FileDataset):
            yield config
        else:
            for value in config.values():
                yield from _leaves(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _leaves(value)


def _files(leaf: Mapping[str, Any]) -> list[tuple[Path, Path, Path | None]]:
    """Annotations, image folder and image list of each part of a dataset; UCAS-AOD has two parts."""
    target = _class_of(leaf)
    root, ann_file = Path(_text(leaf, "data_root")), _text(leaf, "ann_file")
    prefix = prefix_of(leaf.get("data_prefix"), target.prefix_keys)
    if not ann_file:
        return []
    if issubclass(target, UCASAODDataset):
        return [(root / prefix / folder, root / prefix / folder, None) for folder in ("CAR", "PLANE")]
    if issubclass(target, HRSCDataset):
        folder = root / prefix
        annotations = folder / _text(leaf, "ann_subdir", "Annotations")
        return [(annotations, folder / _text(leaf, "img_subdir", "AllImages"), root / ann_file)]
    if issubclass(target, DIORDataset):
        annotations = root / _text(leaf, "ann_subdir", "Annotations/Oriented Bounding Boxes/")
        return [(annotations, root / prefix, root / ann_file)]
    return [(root / ann_file, root / prefix, None)]


def _text(leaf: Mapping[str, Any], key: str, default: str = "") -> str:
    value = leaf.get(key) or default
    if not isinstance(value, str):
        raise ValueError(f"{key}: need a path, got {value!r}")
    return value


def _class_of(leaf: Mapping[str, Any]) -> type[FileDataset]:
    target = resolve(leaf["type"])
    assert isinstance(target, type) and issubclass(target, FileDataset)
    return target


def _read(
    leaf: Mapping[str, Any], key: str, annotations: Path, images: Path, names: Path | None, jobs: int | None
) -> CheckedSet:
    name = f"{key} ({names or annotations})"
    checked = read_set(annotations, images, name=name, names=names, suffix=leaf.get("img_suffix"), jobs=jobs)
    target = _class_of(leaf)
    if issubclass(target, DIORDataset):
        checked.table.classes = [word.lower() for word in checked.table.classes]
    wanted = class_selection(leaf.get("metainfo"), target.own_classes, Path(leaf.get("data_root") or ""))
    # In UCAS-AOD, the folder is the class.
    own = target.lists_classes or issubclass(target, UCASAODDataset) or leaf.get("classwise")
    if wanted.classes is not None and not own:
        checked.wanted = (*wanted.classes, *wanted.left_out)
    return checked
