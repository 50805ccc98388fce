"""Transforms that mix further samples into a sample; no torch.

A dataset with such a transform in its pipeline asks it for the indices of further images, sends these through the
transforms before it, and lets it mix them in. All random choices come from the generator of the sample itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rotx.boxes import flip_matrix, scale_matrix, translation_matrix
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.chances import probability
from rotx.datasets.transforms.resizing import positive_pair
from rotx.datasets.transforms.warp import Warp, move, move_instances, per_channel, touching
from rotx.records import ImageRecord, concatenate


class Mixing:
    """A transform that mixes further samples into a sample."""

    def draw(self, records: Sequence[ImageRecord], rng: np.random.Generator) -> list[int]:
        """Draws the indices of the images to mix in; [] to leave the sample unchanged."""
        raise NotImplementedError

    def mix(self, sample: Sample, others: Sequence[Sample], rng: np.random.Generator) -> Sample:
        """Mixes the other samples into the sample."""
        raise NotImplementedError

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Raises TypeError: the transform needs further samples."""
        raise TypeError(f"{type(self).__name__}: needs further samples, so it only works in the pipeline of a dataset")


class Mosaic(Mixing):
    """Places four images around a random point of a canvas twice the width and height of ``img_scale`` (YOLOv4).

    Each image is resized to fit into ``img_scale`` and touches the point with a corner: the sample itself at the top
    left, the others at the top right, bottom left and bottom right. Objects outside the canvas are dropped.

    Args:
        img_scale: Width and height into which each image is fitted.
        center_ratio_range: Range of the position of the point, as a fraction of ``img_scale``.
        bbox_clip_border: Clip horizontal boxes to the canvas; other boxes are never cut.
        pad_val: Value of pixels without an image; one number, or B, G, R.
        prob: Probability of mixing.
    """

    def __init__(
        self,
        *,
        img_scale: tuple[int, int] = (640, 640),
        center_ratio_range: tuple[float, float] = (0.5, 1.5),
        bbox_clip_border: bool = True,
        pad_val: float | Sequence[float] = 114.0,
        prob: float = 1.0,
    ) -> None:
        self.width, self.height = _whole_pair("img_scale", img_scale)
        self.center_ratio_range = positive_pair("center_ratio_range", center_ratio_range)
        self.bbox_clip_border = bbox_clip_border
        self.pad_val = per_channel("pad_val", pad_val)
        self.prob = probability(prob)

    def draw(self, records: Sequence[ImageRecord], rng: np.random.Generator) -> list[int]:
        """Draws three images."""
        drawn: list[int] = rng.integers(len(records), size=3).tolist() if rng.random() < self.prob else []
        return drawn

    def mix(self, sample: Sample, others: Sequence[Sample], rng: np.random.Generator) -> Sample:
        """Places the four images on one canvas."""
        size = 2 * self.height, 2 * self.width
        x = int(rng.uniform(*self.center_ratio_range) * self.width)
        y = int(rng.uniform(*self.center_ratio_range) * self.height)
        canvas = np.empty((*size, 3), sample.image.dtype)
        canvas[:] = self.pad_val
        parts = []
        for i, one in enumerate((sample, *others)):
            _fit(one, self.width, self.height)
            height, width = one.size
            left, top = x - width * (i % 2 == 0), y - height * (i < 2)
            warp = Warp(translation_matrix(left, top), size, clip=self.bbox_clip_border)
            rows, columns = slice(max(top, 0), top + height), slice(max(left, 0), left + width)
            seen = canvas[rows, columns]
            seen[:] = one.image[max(-top, 0) :, max(-left, 0) :][: seen.shape[0], : seen.shape[1]]
            inside = touching(one.instances.quads, (-left, -top, size[1], size[0]))
            one.keep(inside, "outside the mosaic")
            parts.append(move_instances(one.instances, one.size, warp))
            if one is sample:
                sample.matrix = warp.matrix @ sample.matrix
            else:
                sample.dropped.update(one.dropped)
        _check_kinds((sample, *others))
        sample.image, sample.instances = canvas, concatenate(parts)
        return sample


class MixUp(Mixing):
    """Averages the image with another one (Zhang et al., mixup, ICLR 2018; as in YOLOX).

    The other image is fitted into ``img_scale`` with padding at the right and bottom, scaled by a random factor,
    flipped at random, and cropped or padded to the size of the sample. Objects outside are dropped.

    Args:
        img_scale: Width and height into which the other image is fitted.
        ratio_range: Least and greatest scale factor.
        flip_ratio: Probability of flipping the other image horizontally.
        pad_val: Value of padding; one number, or B, G, R.
        max_iters: Number of draws in search of an image with objects; without success, the sample stays unchanged.
        bbox_clip_border: Clip horizontal boxes to the image; other boxes are never cut.
    """

    def __init__(
        self,
        *,
        img_scale: tuple[int, int] = (640, 640),
        ratio_range: tuple[float, float] = (0.5, 1.5),
        flip_ratio: float = 0.5,
        pad_val: float | Sequence[float] = 114.0,
        max_iters: int = 15,
        bbox_clip_border: bool = True,
    ) -> None:
        if type(max_iters) is not int or max_iters < 1:
            raise ValueError(f"max_iters: need an integer of at least 1, got {max_iters!r}")
        self.width, self.height = _whole_pair("img_scale", img_scale)
        self.ratio_range = positive_pair("ratio_range", ratio_range)
        self.flip_ratio = probability(flip_ratio)
        self.pad_val = per_channel("pad_val", pad_val)
        self.max_iters = max_iters
        self.bbox_clip_border = bbox_clip_border

    def draw(self, records: Sequence[ImageRecord], rng: np.random.Generator) -> list[int]:
        """Draws an image with objects."""
        for index in rng.integers(len(records), size=self.max_iters).tolist():
            if len(records[index].instances):
                return [index]
        return []

    def mix(self, sample: Sample, others: Sequence[Sample], rng: np.random.Generator) -> Sample:
        """Averages both images and joins their objects."""
        (other,), (height, width) = others, sample.size
        factor, mirrored = rng.uniform(*self.ratio_range), rng.random() < self.flip_ratio
        _fit(other, self.width, self.height)
        move(other, Warp(np.eye(3), (self.height, self.width), border=self.pad_val))
        _resize(other, self.width * factor, self.height * factor)
        if mirrored:
            move(other, Warp(flip_matrix(other.size, "horizontal"), other.size))
        x = int(rng.integers(max(other.size[1] - width, 0) + 1))
        y = int(rng.integers(max(other.size[0] - height, 0) + 1))
        inside = touching(other.instances.quads, (x, y, width, height))
        clip = self.bbox_clip_border
        matrix = translation_matrix(-x, -y)
        move(
            other, Warp(matrix, (height, width), border=self.pad_val, keep=inside, reason="outside the mix", clip=clip)
        )
        mixed = 0.5 * sample.image.astype(np.float32) + 0.5 * other.image.astype(np.float32)
        sample.image = mixed.astype(sample.image.dtype)
        _check_kinds((sample, other))
        sample.instances = concatenate([sample.instances, other.instances])
        sample.dropped.update(other.dropped)
        return sample


def _check_kinds(samples: Sequence[Sample]) -> None:
    """Raises ValueError unless all samples have boxes of one kind."""
    kinds = {one.instances.kind: one.record.path for one in samples}
    if len(kinds) > 1:
        found = " and ".join(f"{kind} boxes in {path}" for kind, path in sorted(kinds.items()))
        raise ValueError(
            f"images that are mixed need boxes of one kind, got {found}: load one box_type in all datasets"
        )


def _fit(sample: Sample, width: int, height: int) -> None:
    """Resizes a sample to the largest size that fits into a width and height and keeps the aspect ratio."""
    factor = min(height / sample.size[0], width / sample.size[1])
    _resize(sample, sample.size[1] * factor, sample.size[0] * factor)


def _resize(sample: Sample, width: float, height: float) -> None:
    """Resizes a sample to a width and height, rounded down."""
    w, h = max(int(width + 1e-6), 1), max(int(height + 1e-6), 1)
    if (h, w) != sample.size:
        move(sample, Warp(scale_matrix(w / sample.size[1], h / sample.size[0]), (h, w)))


def _whole_pair(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    width, height = positive_pair(name, value)
    return int(width), int(height)
