"""The test pipeline of a config, for images that are in no dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.datasets.dataset import Transform
from rotx.datasets.pipeline import checked_pipeline
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.loading import LoadAnnotations, LoadImageFromFile
from rotx.datasets.transforms.resizing import Resize
from rotx.records import ImageRecord, Instances
from rotx.registry import build

#: Where a config describes the images of a test, most telling first.
TEST_LOADERS = ("test_dataloader", "val_dataloader")


class ImagePipeline:
    """Shows images as evaluation shows those of the config's dataset.

    Args:
        transforms: The transforms of a test pipeline, in turn. Those that load an image or its objects are passed
            over: images come as pixels.

    Raises:
        ValueError: For a transform that a test pipeline must not have, such as RandomFlip.
    """

    def __init__(self, transforms: Sequence[Transform] = ()) -> None:
        checked = checked_pipeline(transforms, test_mode=True)
        self.transforms = [t for t in checked if not isinstance(t, LoadImageFromFile | LoadAnnotations)]

    def __call__(self, pixels: NDArray[np.uint8], name: str = "image") -> Sample:
        """An image after all transforms.

        Args:
            pixels: The image, (H, W, 3) uint8, BGR; it is not modified.
            name: What messages call the image.
        """
        size = pixels.shape[0], pixels.shape[1]
        sample = Sample(ImageRecord(name, Path(name), Instances.empty("quad"), size), pixels)
        rng = np.random.default_rng(0)  # test pipelines draw nothing
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample

    @property
    def scale(self) -> tuple[int, int] | None:
        """Width and height that the first Resize of the pipeline aims at; None without one, or with a factor."""
        resize = next((t for t in self.transforms if isinstance(t, Resize)), None)
        if resize is None or resize.scale is None:
            return None
        return int(resize.scale[0]), int(resize.scale[1])

    @property
    def keep_ratio(self) -> bool:
        """Whether images keep their shape."""
        return all(t.keep_ratio for t in self.transforms if isinstance(t, Resize))


def pipeline_of(settings: Mapping[str, Any]) -> ImagePipeline:
    """The pipeline of the images that a config tests on: of ``test_dataloader``, else of ``val_dataloader``.

    Without either, or without a pipeline there, images are shown as they are.

    Raises:
        ValueError: For a pipeline that cannot be built or run, naming the transform; for datasets whose pipelines
            differ.
    """
    for loader in TEST_LOADERS:
        found = list(_pipelines(settings.get(loader), loader))
        if not found:
            continue
        where, steps = found[0]
        for other_where, other in found[1:]:
            if other != steps:
                raise ValueError(f"{where} and {other_where} differ: nothing tells which one images are shown by")
        try:
            return ImagePipeline(build(steps, where))
        except ValueError as error:
            place, message = where.removesuffix("pipeline"), str(error)
            raise ValueError(message if message.startswith(where) else f"{place}{message}") from error
    return ImagePipeline()


def _pipelines(config: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The pipelines in a loader's dataset and in the datasets within it, with their places."""
    if isinstance(config, list | tuple):
        for i, item in enumerate(config):
            yield from _pipelines(item, f"{where}.{i}")
    elif isinstance(config, Mapping):
        if config.get("pipeline"):
            yield f"{where}.pipeline", config["pipeline"]
        for key in ("dataset", "datasets"):
            if key in config:
                yield from _pipelines(config[key], f"{where}.{key}")
