"""Checks of the order of transforms in a pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from rotx.datasets.dataset import Transform
from rotx.datasets.transforms.colors import PhotoMetricDistortion
from rotx.datasets.transforms.loading import LoadAnnotations, LoadImageFromFile
from rotx.datasets.transforms.mixing import Mixing
from rotx.datasets.transforms.resizing import RandomChoiceResize, RandomResize
from rotx.datasets.transforms.warp import Geometric

# Transforms that could be undone, but are random.
_RANDOM = (RandomResize, RandomChoiceResize, PhotoMetricDistortion)


def checked_pipeline(pipeline: Sequence[Transform], test_mode: bool) -> list[Transform]:
    """Checks the order of transforms and returns them as a list.

    Raises:
        ValueError: If a detector would learn or be scored on other boxes than those in the image.
    """
    if not isinstance(pipeline, list | tuple):
        raise ValueError(f"pipeline: need a list of dict(type=...), got {pipeline!r}")
    for i, transform in enumerate(pipeline):
        name = type(transform).__name__
        if not callable(transform):
            raise ValueError(f"pipeline.{i}: need dict(type=...), got {transform!r}")
        if test_mode and (
            isinstance(transform, Mixing) or (isinstance(transform, Geometric) and transform.training_only)
        ):
            raise ValueError(f"pipeline.{i}: {name} is for training, not for test_mode: it would move the objects")
        if test_mode and isinstance(transform, _RANDOM):
            raise ValueError(f"pipeline.{i}: {name} is for training, not for test_mode: it is random")
    hint = "" if test_mode else "; for evaluation set test_mode=True"
    ours = all(type(transform).__module__.startswith("rotx.") for transform in pipeline)
    for loads in (LoadImageFromFile,) if test_mode else (LoadImageFromFile, LoadAnnotations):
        place = next((i for i, transform in enumerate(pipeline) if isinstance(transform, loads)), None)
        if place is None and pipeline and ours:
            raise ValueError(f"pipeline: needs {loads.__name__}{hint}")
        moved = next((t for t in pipeline[: place or 0] if isinstance(t, Geometric | Mixing)), None)
        if moved is not None:
            raise ValueError(f"pipeline.{place}: {loads.__name__} must come before {type(moved).__name__}{hint}")
    return list(pipeline)
