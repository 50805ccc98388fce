"""Transforms that mix samples: objects stay on their pixels, MMDetection's geometry holds, the generator decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rotx.compat import build
from rotx.datasets.dataset import Dataset
from rotx.datasets.sample import Sample
from rotx.datasets.transforms.mixing import MixUp, Mosaic
from rotx.records import ImageRecord, Instances, Masks

RNG = np.random.default_rng
LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255]])
SQUARE = np.array([30.0, 20, 60, 20, 60, 50, 30, 50])


class Squares(Dataset):
    """Grey images of different sizes, each with one square in a colour of its own."""

    classes = ("square",)
    test_mode = False

    def __init__(self, folder: Path, pipeline: list[dict[str, Any]], count: int = 5, empty: int = 0) -> None:
        self.transforms = build([*LOAD, *pipeline])
        self.notices, self.dropped, self.records = [], {}, []
        for i in range(count):
            path = folder / f"{i}.png"
            image = np.full((80 + 10 * i, 120 - 10 * i, 3), 50, np.uint8)
            objects = Instances(np.zeros((0, 8)), "quad", np.zeros(0, np.int64), ignored=np.zeros(0, np.bool_))
            if i >= empty:
                image[20:50, 30:60] = COLORS[i]
                objects = Instances(SQUARE[None], "quad", np.array([i]), ignored=np.array([i % 2 == 1]))
            cv2.imwrite(str(path), image)
            self.records.append(ImageRecord(str(i), path, objects))


def check_squares(sample: Sample, share: float = 1.0) -> None:
    """Every object inside the image lies on the pixels of its colour."""
    found = sample.instances
    assert len(found.ignored) == len(found)
    for label, quad in zip(found.labels.tolist(), found.quads, strict=True):
        x1, y1, x2, y2 = quad[0], quad[1], quad[4], quad[5]
        x1, x2 = np.clip(sorted((x1, x2)), 0, sample.size[1])
        y1, y2 = np.clip(sorted((y1, y2)), 0, sample.size[0])
        inner = (
            sample.image[int(y1) + 3 : max(int(y2) - 2, 0), int(x1) + 3 : max(int(x2) - 2, 0)]
            .reshape(-1, 3)
            .astype(int)
        )
        strong = inner[:, COLORS[label] == 255].min(axis=1, initial=999) if len(inner) else np.zeros(0)
        weak = inner[:, COLORS[label] == 0].max(axis=1, initial=0) if len(inner) else np.zeros(0)
        assert (strong >= 255 * share * 0.97).all() and (strong - weak > 90 * share).all()
    assert found.ignored.tolist() == [label % 2 == 1 for label in found.labels.tolist()]


@pytest.mark.parametrize("seed", range(6))
def test_a_mosaic_holds_four_images(tmp_path: Path, seed: int) -> None:
    dataset = Squares(tmp_path, [{"type": "Mosaic", "img_scale": (100, 90), "pad_val": (1, 2, 3)}])
    sample = dataset.sample(seed % 5, RNG(seed))
    assert sample.size == (180, 200) and sample.image.dtype == np.uint8 and sample.record.name == str(seed % 5)
    assert len(sample.instances) + sample.dropped["outside the mosaic"] == 4
    check_squares(sample)
    np.testing.assert_array_equal(dataset.sample(seed % 5, RNG(seed)).image, sample.image)
    if sample.instances.labels[0] == seed % 5:  # the sample itself comes first, where its matrix says
        corners = np.column_stack([SQUARE.reshape(4, 2), np.ones(4)]) @ sample.matrix.T
        np.testing.assert_allclose(corners[:, :2].ravel(), sample.instances.quads[0])


def test_the_geometry_of_mosaics_is_that_of_mmdetection() -> None:
    """Four images around (cx, cy), each scaled by the least of 90 / h and 100 / w; what is outside is cut."""
    samples = []
    for i, size in enumerate([(90, 100), (45, 50), (180, 100), (90, 300)]):
        objects = Instances(np.array([[0.0, 0, size[1], 0, size[1], size[0], 0, size[0]]]), "quad", np.array([i]))
        samples.append(Sample(ImageRecord("x", Path("x"), objects), np.full((*size, 3), i + 1, np.uint8), objects))
    mosaic = Mosaic(img_scale=(100, 90), center_ratio_range=(0.8, 0.8), bbox_clip_border=True, pad_val=9)
    mixed = mosaic.mix(samples[0], samples[1:], RNG(0))
    hboxes = mixed.instances.hboxes.tolist()
    # The third is halved, 50 x 90; the fourth scaled by a third, 100 x 30.
    assert hboxes == [[-20, -18, 80, 72], [80, -18, 180, 72], [30, 72, 80, 162], [80, 72, 180, 102]]
    assert mixed.image[71, 0, 0] == 1 and mixed.image[0, 180, 0] == 9 and mixed.image[0, 179, 0] == 2
    assert mixed.image[161, 30, 0] == 3 and mixed.image[161, 29, 0] == 9 and mixed.image[162, 30, 0] == 9
    assert mixed.image[101, 179, 0] == 4 and mixed.image[102, 179, 0] == 9 and mixed.image.shape == (180, 200, 3)


def test_horizontal_boxes_are_clipped_to_a_mosaic() -> None:
    def sample(hbox: list[float]) -> Sample:
        objects = Instances(np.array([hbox, [500.0, 500, 510, 510]]), "hbox", np.zeros(2, np.int64))
        return Sample(ImageRecord("x", Path("x"), objects), np.zeros((90, 100, 3), np.uint8), objects)

    mosaic = Mosaic(img_scale=(100, 90), center_ratio_range=(0.8, 0.8))
    mixed = mosaic.mix(sample([0, 0, 100, 90]), [sample([1, 2, 3, 4]) for _ in range(3)], RNG(0))
    assert mixed.instances.boxes.tolist()[0] == [0, 0, 80, 72] and len(mixed.instances) == 2
    assert mixed.dropped == {"outside the mosaic": 6}


@pytest.mark.parametrize("seed", range(6))
def test_mixup_adds_halves(tmp_path: Path, seed: int) -> None:
    dataset = Squares(tmp_path, [{"type": "MixUp", "img_scale": (100, 90), "pad_val": 0}])
    sample = dataset.sample(2, RNG(seed))
    assert sample.size == (100, 100) and sample.image.dtype == np.uint8
    assert len(sample.instances) + sample.dropped["outside the mix"] == 2
    if len(sample.instances) == 2 and sample.instances.labels[1] != 2:
        other = sample.instances.quads[1]
        x, y = (other[0::2].mean(), other[1::2].mean())
        if 0 < x < 100 and 0 < y < 100 and not (30 < x < 60 and 20 < y < 50):
            seen = sample.image[int(y), int(x)].astype(int)
            strong = COLORS[sample.instances.labels[1]] == 255
            assert (seen[strong] >= 125).all() and (seen[~strong] <= 40).all()


def test_the_geometry_of_mixup_is_that_of_mmdetection() -> None:
    objects = Instances(np.array([[10.0, 10, 20, 30]]), "hbox", np.zeros(1, np.int64))
    sample = Sample(ImageRecord("x", Path("x"), objects), np.full((60, 80, 3), 100, np.uint8), objects)
    other = Sample(ImageRecord("y", Path("y"), objects), np.full((50, 40, 3), 200, np.uint8), objects)
    mixup = MixUp(img_scale=(100, 50), ratio_range=(0.5, 0.5), flip_ratio=1.0, pad_val=20)
    # 40 x 50 padded to 100 x 50, halved to 50 x 25, mirrored: x → 50 − x / 2, y → y / 2.
    mixed = mixup.mix(sample, [other], RNG(0))
    assert mixed.instances.boxes.tolist() == [[10, 10, 20, 30], [40, 5, 45, 15]]
    assert mixed.image[0, 49, 0] == 150 and mixed.image[0, 10, 0] == 60 and mixed.image[40, 60, 0] == 60


def test_mixup_looks_for_an_image_with_objects(tmp_path: Path) -> None:
    mix = {"type": "MixUp", "img_scale": (100, 90), "max_iters": 50}
    some = Squares(tmp_path, [mix], empty=4)
    assert {some.transforms[-1].draw(some.records, RNG(seed))[0] for seed in range(20)} == {4}
    none = Squares(tmp_path, [mix], empty=5)
    assert none.transforms[-1].draw(none.records, RNG(0)) == []
    np.testing.assert_array_equal(none.sample(0, RNG(0)).image, np.full((80, 120, 3), 50))


def test_further_images_pass_what_stands_before(tmp_path: Path) -> None:
    small = {"type": "Resize", "scale": (40, 40)}
    dataset = Squares(tmp_path, [small, {"type": "Mosaic", "img_scale": (40, 40), "center_ratio_range": (1, 1)}])
    sample = dataset.sample(0, RNG(0))
    assert sample.size == (80, 80) and not (sample.image == 114).all(2).any()  # no padding
    check_squares(sample)
    never = Squares(tmp_path, [{"type": "Mosaic", "prob": 0.0}])
    assert never.sample(1, RNG(0)).size == (90, 110)


def test_multi_image_mix_dataset(tmp_path: Path) -> None:
    pipeline = [
        {"type": "Mosaic", "img_scale": (100, 90), "pad_val": 114.0},
        {"type": "RandomAffine", "scaling_ratio_range": (0.8, 1.2), "border": (-50, -45)},
        {"type": "MixUp", "img_scale": (100, 90), "ratio_range": (0.8, 1.6), "pad_val": 114.0},
        {"type": "RandomFlip", "prob": 0.5},
    ]
    config = {"type": "mmdet.MultiImageMixDataset", "dataset": Squares(tmp_path, []), "pipeline": pipeline}
    dataset = build(config)
    sizes = {dataset.sample(i % 5, RNG(i)).size for i in range(10)}
    assert sizes == {(90, 100)} and len(dataset) == 5 and dataset.classes == ("square",)
    a, b = dataset.sample(3, RNG(7)), dataset.sample(3, RNG(7))
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.instances.boxes, b.instances.boxes)
    plain = build({**config, "skip_type_keys": ["Mosaic", "MixUp", "RandomAffine", "RandomFlip"]})
    assert plain.sample(1, RNG(0)).size == (90, 110)
    with pytest.raises(ValueError, match="skip_type_keys: need names of transforms, got 'Mosaic'"):
        build({**config, "skip_type_keys": "Mosaic"})


def test_affine_moves_keep_objects_on_their_pixels(tmp_path: Path) -> None:
    affine = {"type": "RandomAffine", "max_rotate_degree": 0, "max_shear_degree": 0, "max_translate_ratio": 0.2}
    dataset = Squares(tmp_path, [affine])
    for seed in range(20):
        sample = dataset.sample(seed % 5, RNG(seed))
        assert len(sample.instances) + sample.dropped["outside the moved image"] == 1
        check_squares(sample)
    turned = Squares(tmp_path, [{"type": "RandomAffine", "max_rotate_degree": 30}]).sample(0, RNG(1))
    corners = np.column_stack([SQUARE.reshape(4, 2), np.ones(4)]) @ turned.matrix.T
    np.testing.assert_allclose(turned.instances.quads[0], corners[:, :2].ravel())


def test_masks_follow() -> None:
    pytest.importorskip("pycocotools")
    pixels = np.zeros((90, 100), np.uint8)
    pixels[20:50, 30:60] = 1
    masks = Masks([[SQUARE], Masks.of_bitmaps(pixels[None]).items[0]])
    objects = Instances(np.stack([SQUARE] * 2), "quad", np.zeros(2, np.int64), masks=masks)

    def sample() -> Sample:
        return Sample(ImageRecord("x", Path("x"), objects), np.zeros((90, 100, 3), np.uint8), objects)

    mixed = Mosaic(img_scale=(100, 90)).mix(sample(), [sample() for _ in range(3)], RNG(3))
    bitmaps = mixed.instances.masks.bitmaps(180, 200)
    assert len(bitmaps) == len(mixed.instances) >= 2
    for hbox, bitmap in zip(mixed.instances.hboxes, bitmaps, strict=True):
        y, x = np.nonzero(bitmap)
        limits = np.clip(hbox, 0, [200, 180, 200, 180])
        np.testing.assert_allclose([x.min(), y.min(), x.max() + 1, y.max() + 1], limits, atol=1)


def test_mixing_is_for_training(tmp_path: Path) -> None:
    mosaic = build({"type": "Mosaic"})
    with pytest.raises(TypeError, match="Mosaic: needs further samples"):
        mosaic(Sample(ImageRecord("x", Path("x"), Instances.empty("quad"))), RNG(0))
    config = {"type": "DOTADataset", "ann_file": "labels", "data_root": str(tmp_path), "test_mode": True}
    with pytest.raises(ValueError, match="Mosaic is for training, not for test_mode"):
        build({**config, "pipeline": [LOAD[0], {"type": "Mosaic"}]})
    with pytest.raises(ValueError, match="LoadAnnotations must come before Mosaic"):
        build({**config, "test_mode": False, "pipeline": [LOAD[0], {"type": "Mosaic"}, LOAD[1]]})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "Mosaic", "img_scale": 0}, "img_scale: need a positive number or two"),
        ({"type": "Mosaic", "prob": 2}, "prob: need a number in"),
        ({"type": "MixUp", "max_iters": 0}, "max_iters: need an integer of at least 1"),
        ({"type": "MixUp", "flip_ratio": -1}, "prob: need a number in"),
        ({"type": "RandomAffine", "max_translate_ratio": 2}, "max_translate_ratio: need a number in"),
        ({"type": "RandomAffine", "border": 5}, "border: need two numbers of pixels"),
        (
            {"type": "RandomCrop", "crop_size": 5, "recompute_bbox": True},
            "recompute_bbox: boxes are not recomputed from masks",
        ),
    ],
)
def test_bad_settings(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(config)
