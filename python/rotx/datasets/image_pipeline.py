"""The test pipeline of a config, for images outside any dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.compat import build
from rotx.datasets.dataset import Transform
from rotx.datasets.pipeline import checked_pipeline
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.loading import LoadAnnotations, LoadImageFromFile
from rotx.datasets.transforms.resizing import Resize
from rotx.records import ImageRecord, Instances

#: Data loaders whose pipeline is used for prediction, in order of preference.
TEST_LOADERS = ("test_dataloader", "val_dataloader")


class ImagePipeline:
    """Applies the test pipeline to single images, exactly as evaluation does.

    Args:
        transforms: Transforms of a test pipeline, in order. Those that load an image or its objects are skipped: images
            are given as pixels.

    Raises:
        ValueError: For a transform that a test pipeline must not have, such as RandomFlip.
    """

    def __init__(self, transforms: Sequence[Transform] = ()) -> None:
        checked = checked_pipeline(transforms, test_mode=True)
        self.transforms = [t for t in checked if not isinstance(t, LoadImageFromFile | LoadAnnotations)]

    def __call__(self, pixels: NDArray[np.uint8], name: str = "image") -> Sample:
        """Returns an image after all transforms.

        Args:
            pixels: The image, (H, W, 3) uint8, BGR; it is not modified.
            name: Name of the image in messages.
        """
        size = pixels.shape[0], pixels.shape[1]
        sample = Sample(ImageRecord(name, Path(name), Instances.empty("quad"), size), pixels)
        rng = np.random.default_rng(0)  # not used: test pipelines are not random
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample

    @property
    def scale(self) -> tuple[int, int] | None:
        """Target width and height of the first Resize; None without one, or if it has a scale factor."""
        resize = next((t for t in self.transforms if isinstance(t, Resize)), None)
        if resize is None or resize.scale is None:
            return None
        return int(resize.scale[0]), int(resize.scale[1])

    @property
    def keep_ratio(self) -> bool:
        """Whether every Resize keeps the aspect ratio."""
        return all(t.keep_ratio for t in self.transforms if isinstance(t, Resize))


def pipeline_of(settings: Mapping[str, Any]) -> ImagePipeline:
    """Builds the pipeline of ``test_dataloader``, else of ``val_dataloader``.

    Without either, or without a pipeline, images stay as they are.

    Raises:
        ValueError: For a pipeline that loads no image, cannot be built or cannot be used for prediction; or if the
            datasets have different pipelines.
    """
    loader = next((name for name in TEST_LOADERS if settings.get(name)), None)
    if loader is None:
        return ImagePipeline()
    found = list(_pipelines(settings[loader], loader))
    if not found:
        return ImagePipeline()
    where, steps = found[0]
    for other_where, other in found[1:]:
        if other != steps:
            raise ValueError(f"{where} and {other_where} differ: it is unclear which one to use for prediction")
    try:
        transforms = build(steps, where)
        pipeline = ImagePipeline(transforms)
    except ValueError as error:
        place, message = where.removesuffix("pipeline"), str(error)
        raise ValueError(message if message.startswith(where) else f"{place}{message}") from error
    if not any(isinstance(transform, LoadImageFromFile) for transform in transforms):
        raise ValueError(f"{where}: loads no image; add LoadImageFromFile")
    return pipeline


def _pipelines(config: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yields the pipelines of a loader's dataset and of the datasets within it, with their paths in the config."""
    if isinstance(config, list | tuple):
        for i, item in enumerate(config):
            yield from _pipelines(item, f"{where}.{i}")
    elif isinstance(config, Mapping):
        if config.get("pipeline") is not None:
            yield f"{where}.pipeline", config["pipeline"]
        for key in ("dataset", "datasets"):
            if key in config:
                yield from _pipelines(config[key], f"{where}.{key}")
