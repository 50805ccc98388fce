"""Transforms: objects move exactly as their pixels do, what is left out is counted, and MMRotate's goldens hold."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from conftest import GOLDENS, PHOTO
from rotx.compat import build
from rotx.datasets.sample import Sample
from rotx.geometry import box_iou_aligned, points_in_boxes, quad_to_rbox
from rotx.images.files import UnreadableImage, read_image
from rotx.records import ImageRecord, Instances
from rotx.registry import TABLE, resolve

RNG = np.random.default_rng
QUADS = np.array(
    [
        [150.3, 60.2, 190.3, 75.2, 160.3, 130.2, 120.3, 115.2],
        [60.3, 120.2, 100.3, 110.2, 110.3, 150.2, 70.3, 160.2],
        [120.3, 20.2, 150.3, 20.2, 150.3, 60.2, 120.3, 60.2],
    ],
    np.float64,
)


def record(
    path: Path = Path("none.png"), quads: np.ndarray = QUADS, labels: tuple[int, ...] = (0, 1, 2)
) -> ImageRecord:
    n = len(quads)
    ignored = np.array([False, True, False])[:n]
    objects = Instances(quads, "quad", np.array(labels[:n], np.int64), ignored=ignored, difficult=np.zeros(n, np.uint8))
    return ImageRecord("image", path, objects)


def drawn(quad: np.ndarray, size: tuple[int, int], center: float) -> np.ndarray:
    """How much of every pixel a quad covers, if pixels' centres have ``center`` as fraction. (H, W) uint8, 0..255."""
    x1, y1 = np.clip(np.floor(quad.reshape(4, 2).min(axis=0)).astype(int) - 1, 0, None)
    x2, y2 = np.clip(np.ceil(quad.reshape(4, 2).max(axis=0)).astype(int) + 2, 0, size[::-1])
    image = np.zeros(size, np.uint8)
    if x2 > x1 and y2 > y1:
        y, x = np.mgrid[y1 * 4 : y2 * 4, x1 * 4 : x2 * 4] / 4 + center - 0.375
        inside = points_in_boxes(np.stack([x.ravel(), y.ravel()], 1), quad[None])
        covered = inside.reshape(y2 - y1, 4, x2 - x1, 4).mean(axis=(1, 3))
        image[y1:y2, x1:x2] = np.rint(covered * 255).astype(np.uint8)
    return image


@cache
def scene(size: tuple[int, int], center: float) -> np.ndarray:
    return np.stack([drawn(quad, size, center) for quad in QUADS], axis=-1)


def sample_of(size: tuple[int, int] = (180, 240), center: float = 0.0) -> Sample:
    """An image in which object i is a filled quad in channel i."""
    rec = record()
    return Sample(rec, scene(size, center).copy(), replace(rec.instances, boxes=QUADS.copy()))


def make(name: str, **keywords: Any) -> Callable[..., Sample]:
    transform: Callable[..., Sample] = build({"type": name, **keywords})
    return transform


MOVES: list[tuple[str, dict[str, Any]]] = [
    ("Resize", {"scale": (480, 480), "keep_ratio": True}),
    ("Resize", {"scale": (300, 170)}),
    ("Resize", {"scale_factor": 0.75}),
    ("RandomResize", {"scale": (240, 180), "ratio_range": (0.7, 1.6), "resize_type": "mmdet.Resize"}),
    ("RandomResize", {"scale": [(200, 150), (400, 300)], "keep_ratio": True}),
    ("RandomChoiceResize", {"scales": [(200, 150), (400, 300)]}),
    ("RandomFlip", {"prob": 1.0, "direction": "horizontal"}),
    ("RandomFlip", {"prob": 1.0, "direction": "vertical"}),
    ("RandomFlip", {"prob": 1.0, "direction": "diagonal"}),
    ("Rotate", {"rotate_angle": 17}),
    ("Rotate", {"rotate_angle": 90}),
    ("Rotate", {"rotate_angle": 180}),
    ("RandomRotate", {"prob": 1.0}),
    ("RandomChoiceRotate", {"prob": 1.0, "angles": [30, 60, -120]}),
    ("RandomCrop", {"crop_size": (160, 150)}),
    ("RandomCrop", {"crop_size": (0.5, 0.9), "crop_type": "relative_range"}),
    ("Pad", {"size": (300, 300)}),
    ("Pad", {"size_divisor": 32}),
]


@pytest.mark.parametrize(("name", "keywords"), MOVES, ids=lambda x: str(x))
@pytest.mark.parametrize("seed", range(4))
def test_objects_move_with_their_pixels(name: str, keywords: dict[str, Any], seed: int) -> None:
    # Rotations are exact where pixels' centres are whole numbers, the others where their corners are.
    center = 0.0 if "Rotate" in name else 0.5
    before = sample_of((180, 240) if seed % 2 else (200, 200), center)
    after = make(name, **keywords)(before, RNG(seed))
    assert after.image.dtype == np.uint8 and after.image.flags.c_contiguous
    assert len(after.instances.boxes) == len(after.instances.labels) == len(after.instances.ignored)
    assert after.instances.ignored.tolist() == [label == 1 for label in after.instances.labels]
    for label, quad in zip(after.instances.labels, after.instances.boxes, strict=True):
        seen, expected = after.image[:, :, label] / 255, drawn(quad, after.size, center) / 255
        points, last = quad.reshape(4, 2), np.array(after.size[::-1]) - 2
        if (points > 1).all() and (points < last).all():  # those cut by the border have no centre to compare
            assert np.abs(center_of(seen) - center_of(expected)).max() < 0.2
            assert np.abs(seen - expected).sum() < 0.12 * expected.sum()


def center_of(mask: np.ndarray) -> np.ndarray:
    """Centre of mass, y and x."""
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    return np.array([(mask * y).sum(), (mask * x).sum()]) / mask.sum()


def test_rotations_turn_about_the_same_point_exactly() -> None:
    """Right angles are exact copies; a turn and the turn back give the objects again."""
    square = sample_of((200, 200))
    image = square.image.copy()
    quarter = make("Rotate", rotate_angle=90)(square, RNG(0))
    np.testing.assert_array_equal(quarter.image, np.rot90(image, -1))
    for angle in (90, 180):
        quarter = make("Rotate", rotate_angle=angle)(quarter, RNG(0))
    np.testing.assert_array_equal(quarter.image, image)
    np.testing.assert_allclose(quarter.instances.boxes, QUADS, atol=1e-9)
    half = make("Rotate", rotate_angle=-180)(sample_of(), RNG(0))
    np.testing.assert_array_equal(half.image, sample_of().image[::-1, ::-1])
    turned = make("Rotate", rotate_angle=30)(sample_of((200, 200)), RNG(0))
    back = make("Rotate", rotate_angle=330)(turned, RNG(0))
    np.testing.assert_allclose(back.instances.boxes, QUADS[back.instances.labels], atol=1e-9)


def test_right_angles_are_the_limit_of_others() -> None:
    """The exact copy for 90 degrees and the interpolation beside it show the same."""
    exact = make("Rotate", rotate_angle=90)(sample_of((200, 200)), RNG(0))
    near = make("Rotate", rotate_angle=90.001)(sample_of((200, 200)), RNG(0))
    assert np.abs(exact.image.astype(int) - near.image).max() <= 12
    np.testing.assert_allclose(exact.instances.boxes, near.instances.boxes, atol=0.01)


def test_border_of_rotations_and_of_padding() -> None:
    sample = make("Rotate", rotate_angle=45, img_border_value=(1, 2, 3))(sample_of(), RNG(0))
    assert sample.image[0, 0].tolist() == [1, 2, 3]
    sample = make("Pad", size=(300, 200), pad_val={"img": [104, 116, 124]})(sample_of(), RNG(0))
    assert sample.size == (200, 300) and sample.image[-1, -1].tolist() == [104, 116, 124]
    assert make("Pad", size=(100, 100))(sample_of(), RNG(0)).size == (180, 240)


def test_objects_that_leave_are_dropped_and_counted() -> None:
    sample = make("Rotate", rotate_angle=90)(sample_of((180, 400)), RNG(0))
    assert sample.instances.labels.tolist() == [0, 2] and sample.dropped == {"outside the rotated image": 1}
    crop = make("RandomCrop", crop_size=(20, 20), allow_negative_crop=True)
    results = [crop(sample_of(), RNG(seed)) for seed in range(40)]
    assert all(len(x.instances.labels) + x.dropped["outside the crop"] == 3 for x in results)
    assert any(len(x.instances.labels) == 0 for x in results)


def test_crops_hold_an_object_unless_told_otherwise() -> None:
    crop = make("RandomCrop", crop_size=(20, 20))
    for seed in range(40):
        assert len(crop(sample_of(), RNG(seed)).instances.labels) > 0
    empty = sample_of()
    empty.keep(np.zeros(3, bool), "test")
    assert crop(empty, RNG(0)).size == (20, 20)


@pytest.mark.parametrize(
    ("crop_type", "crop_size", "widths"),
    [
        ("absolute", (100, 50), {100}),
        ("absolute", (1000, 50), {240}),
        ("relative", (0.5, 1.0), {120}),
        ("absolute_range", (60, 62), {60, 61, 62}),
        ("relative_range", (0.98, 1.0), {235, 236, 237, 238, 239, 240}),
    ],
)
def test_sizes_of_crops(crop_type: str, crop_size: Any, widths: set[int]) -> None:
    crop = make("RandomCrop", crop_size=crop_size, crop_type=crop_type)
    assert {crop(sample_of(), RNG(seed)).size[1] for seed in range(60)} == widths


def test_flips_have_their_shares() -> None:
    flip = make("RandomFlip", prob=0.75, direction=["horizontal", "vertical", "diagonal"])
    rng, seen = RNG(0), {}
    for _ in range(400):
        key = tuple(flip(sample_of((8, 8)), rng).instances.quads[0, :2])
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 4 and all(70 <= count <= 130 for count in seen.values())
    own = make("RandomFlip", prob=[0.0, 1.0], direction=["horizontal", "vertical"])(sample_of(), rng)
    np.testing.assert_array_equal(own.instances.boxes[:, 1::2], 180 - QUADS[:, 1::2])
    never = make("RandomFlip", prob=0.0)(sample_of(), rng)
    np.testing.assert_array_equal(never.instances.boxes, QUADS)


@pytest.mark.parametrize("keywords", [{"type": "RandomRotate"}, {"type": "RandomChoiceRotate", "angles": [33, 44]}])
def test_some_labels_turn_by_right_angles_only(keywords: dict[str, Any]) -> None:
    rotate = build({**keywords, "prob": 1.0, "rect_obj_labels": [2]})
    for seed in range(20):
        with_it, without = sample_of((200, 200)), sample_of((200, 200))
        without.keep(np.array([True, True, False]), "test")
        right, free = rotate(with_it, RNG(seed)), rotate(without, RNG(seed))
        sides = right.instances.boxes[2, 2:4] - right.instances.boxes[2, :2]
        assert np.abs(sides).min() < 1e-9 < np.abs(sides).max()
        edge = (
            (free.instances.boxes[0, 2:4] - free.instances.boxes[0, :2])
            if len(free.instances.boxes)
            else np.array([1.0, 2.0])
        )
        turn = np.rad2deg(np.arctan2(edge[1], edge[0]) - np.arctan2(15, 40)) % 90
        assert 1e-3 < turn < 90 - 1e-3


def test_angles_have_their_shares() -> None:
    rotate, rng, turns = make("RandomChoiceRotate", angles=[90, 180, -90], prob=[0.5, 0.0, 0.25]), RNG(0), []
    for _ in range(400):
        edge = rotate(sample_of((200, 200)), rng).instances.quads[0, :4]
        turns.append(round(np.rad2deg(np.arctan2(edge[3] - edge[1], edge[2] - edge[0]) - np.arctan2(15, 40))))
    counts = {angle: turns.count(angle) for angle in (90, -90, 0)}
    assert sum(counts.values()) == 400 and 160 < counts[90] < 240 and 70 < counts[-90] < 130


def test_random_angles_stay_in_their_range() -> None:
    rotate, rng = make("RandomRotate", prob=0.5, angle_range=20), RNG(0)
    turns = []
    for _ in range(200):
        edge = rotate(sample_of((200, 200)), rng).instances.quads[0, :4]
        turns.append(np.rad2deg(np.arctan2(edge[3] - edge[1], edge[2] - edge[0]) - np.arctan2(15, 40)))
    still = np.abs(turns) < 1e-9
    assert 70 <= still.sum() <= 130
    assert 15 < np.max(turns) <= 20 and -20 <= np.min(turns) < -15


def test_resize_keeps_the_ratio_as_mmcv_does() -> None:
    for scale, size in [((1333, 800), (800, 1067)), ((800, 1333), (800, 1067)), ((100, 100), (75, 100))]:
        sample = make("Resize", scale=scale, keep_ratio=True)(sample_of(), RNG(0))
        assert sample.size == size
        assert sample.matrix.tolist() == [[size[1] / 240, 0, 0], [0, size[0] / 180, 0], [0, 0, 1]]
    twice = make("Resize", scale=(120, 120))(make("Resize", scale_factor=2.0)(sample_of(), RNG(0)), RNG(0))
    assert np.diag(twice.matrix) == pytest.approx((0.5, 120 / 180, 1))


def test_colours_change_and_nothing_else() -> None:
    image = RNG(0).integers(0, 256, (40, 50, 3), np.uint8)
    distort = make("PhotoMetricDistortion")
    results = []
    for seed in range(60):
        sample = Sample(record(), image.copy(), replace(record().instances, boxes=QUADS.copy()))
        result = distort(sample, RNG(seed))
        np.testing.assert_array_equal(result.instances.boxes, QUADS)
        assert result.image.shape == image.shape and result.image.dtype == np.uint8
        results.append(result.image)
    changes = [np.abs(result.astype(int) - image).mean() for result in results]
    assert min(changes) < 6 and max(changes) > 30
    still = make(
        "PhotoMetricDistortion", brightness_delta=0, contrast_range=(1, 1), saturation_range=(1, 1), hue_delta=0
    )
    seen = {tuple(still(Sample(record(), image.copy()), RNG(seed)).image[0, 0]) for seed in range(60)}
    assert seen <= {
        tuple(image[0, 0][list(p)]) for p in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
    }
    assert tuple(image[0, 0]) in seen and len(seen) > 3


def test_distortion_agrees_with_floats() -> None:
    """Against MMDetection's formulas in float32, without the channels' order."""
    image = RNG(1).integers(40, 200, (40, 50, 3), np.uint8)
    for seed in range(30):
        result = make("PhotoMetricDistortion")(Sample(record(), image.copy()), RNG(seed)).image
        rng = RNG(seed)
        brighter, contrasted, early, saturated, turned, swapped = rng.random(6) < 0.5
        shift = rng.uniform(-32, 32) if brighter else 0
        factor = rng.uniform(0.5, 1.5) if contrasted else 1
        expected = np.clip((image.astype(np.float32) + np.float32(shift)) * (factor if early else 1), 0, 255)
        hsv = cv2.cvtColor(expected.astype(np.float32) / 255, cv2.COLOR_BGR2HSV)
        hsv[..., 1] = np.clip(hsv[..., 1] * (rng.uniform(0.5, 1.5) if saturated else 1), 0, 1)
        hsv[..., 0] = (hsv[..., 0] + (rng.uniform(-18, 18) if turned else 0)) % 360
        expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255 * (1 if early else factor)
        if swapped:
            expected = expected[..., rng.permutation(3)]
        assert np.abs(result - np.clip(expected, 0, 255)).mean() < 2.5


def test_normalize() -> None:
    image = RNG(0).integers(0, 256, (4, 5, 3), np.uint8)
    sample = make("Normalize", mean=[1, 2, 3], std=[4, 5, 6])(Sample(record(), image), RNG(0))
    assert sample.image.dtype == np.float32
    np.testing.assert_allclose(sample.image, (image[..., ::-1].astype(float) - [1, 2, 3]) / [4, 5, 6], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("RandomFlip", {"prob": 1.0}),
        ("Resize", {"scale_factor": 2.0}),
        ("Rotate", {"rotate_angle": 90}),
        ("Rotate", {"rotate_angle": 10}),
        ("Pad", {"size_divisor": 32}),
    ],
)
def test_a_normalized_image_moves_too(name: str, keywords: dict[str, Any]) -> None:
    """Of floats no transform makes bytes: what is normalized first and last is the same, up to rounding."""
    image = cv2.GaussianBlur(RNG(0).integers(0, 256, (60, 60, 3), np.uint8), (5, 5), 0)
    normalize = make("Normalize", mean=[0, 0, 0], std=[255, 255, 255])
    move = make(name, **keywords)
    first = move(normalize(Sample(record(), image.copy()), RNG(0)), RNG(0)).image
    last = normalize(move(Sample(record(), image.copy()), RNG(0)), RNG(0)).image
    assert first.dtype == np.float32
    np.testing.assert_allclose(first, last, atol=1.5 / 255)
    with pytest.raises(ValueError, match="it must come before Normalize"):
        make("PhotoMetricDistortion")(Sample(record(), first), RNG(0))


def test_loading(tmp_path: Path) -> None:
    deep = RNG(0).integers(0, 65536, (6, 7), np.uint16)
    cv2.imwrite(str(tmp_path / "grå.png"), deep)
    sample = make("LoadImageFromFile", backend_args={"backend": "local"})(Sample(record(tmp_path / "grå.png")), RNG(0))
    assert sample.image.shape == (6, 7, 3) and sample.image.dtype == np.uint8
    assert sample.record.size == (6, 7) == sample.size
    np.testing.assert_array_equal(sample.image, cv2.imread(str(tmp_path / "grå.png"), cv2.IMREAD_COLOR))
    make("LoadAnnotations", with_bbox=True, box_type="qbox")(sample, RNG(0))
    sample.instances.boxes += 1
    np.testing.assert_array_equal(sample.record.instances.quads, QUADS)  # a copy: the record stays


def test_unreadable_images(tmp_path: Path) -> None:
    image = RNG(0).integers(0, 256, (60, 70, 3), np.uint8)
    content = cv2.imencode(".png", image)[1].tobytes()
    photo, bitmap = cv2.imencode(".jpg", image)[1].tobytes(), cv2.imencode(".bmp", image)[1].tobytes()
    progressive = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    for name, data, reason in [
        ("empty.png", b"", "is empty"),
        ("text.png", b"no image", "holds no image"),
        ("cut.png", content[:100], ""),
        ("half.png", content[: len(content) // 2], ""),
        ("half.jpg", photo[: len(photo) // 2], ""),
        ("halves.jpg", progressive[: len(progressive) // 2], ""),
        ("half.bmp", bitmap[: len(bitmap) // 2], ""),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadableImage, match=f"{name}: {reason}"):
            read_image(tmp_path / name)
    for name, data in [("a.png", content), ("a.jpg", photo), ("b.jpg", progressive), ("c.jpg", photo + b"\0more")]:
        (tmp_path / name).write_bytes(data)
        assert read_image(tmp_path / name).shape == (60, 70, 3)
    with pytest.raises(UnreadableImage, match="No such file") as caught:
        read_image(tmp_path / "absent.png")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.path, again.reason) == (str(caught.value), tmp_path / "absent.png", caught.value.reason)
    with pytest.raises(UnreadableImage):
        read_image(tmp_path)


def test_box_types() -> None:
    enclosing = [[120.3, 60.2, 190.3, 60.2, 190.3, 130.2, 120.3, 130.2]]
    for name, keywords in [
        ("ConvertBoxType", {"box_type_mapping": {"gt_bboxes": "hbox"}}),
        ("ConvertMask2BoxType", {"box_type": "hbox"}),
        ("LoadAnnotations", {"box_type": "hbox"}),
    ]:
        np.testing.assert_array_equal(make(name, **keywords)(sample_of(), RNG(0)).instances.quads[:1], enclosing)
    for kind in ("rbox", "qbox"):
        same = make("ConvertBoxType", box_type_mapping={"gt_bboxes": kind})(sample_of(), RNG(0))
        np.testing.assert_array_equal(same.instances.boxes, QUADS)
    none = sample_of()
    none.keep(np.zeros(3, bool), "test")
    assert make("ConvertBoxType", box_type_mapping={"gt_bboxes": "hbox"})(none, RNG(0)).instances.quads.shape == (0, 8)


@pytest.mark.parametrize(("name", "keywords"), MOVES, ids=lambda x: str(x))
def test_images_without_objects(name: str, keywords: dict[str, Any]) -> None:
    sample = Sample(record(quads=np.zeros((0, 8))), np.zeros((60, 50, 3), np.uint8))
    result = make(name, **keywords)(sample, RNG(0))
    assert result.instances.boxes.shape == (0, 8) and not result.dropped


def test_the_generator_alone_decides() -> None:
    steps = [make(name, **keywords) for name, keywords in MOVES] + [make("PhotoMetricDistortion")]
    results = []
    for _ in range(2):
        sample, rng = sample_of(), RNG(3)
        for step in steps:
            sample = step(sample, rng)
        results.append(sample)
    np.testing.assert_array_equal(results[0].image, results[1].image)
    np.testing.assert_array_equal(results[0].instances.boxes, results[1].instances.boxes)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "Resize"}, "need one of scale and scale_factor"),
        ({"type": "Resize", "scale": (0, 5)}, "scale: need a positive number or two"),
        ({"type": "Resize", "scale": 5, "interpolation": "linear"}, "interpolation: need one of 'nearest'"),
        ({"type": "RandomFlip", "prob": 0.5, "direction": "left"}, "direction: need 'horizontal'"),
        ({"type": "RandomFlip", "prob": 1.5}, "prob: need a number in"),
        ({"type": "RandomFlip", "prob": [0.5, 0.6], "direction": ["horizontal", "vertical"]}, "prob: need"),
        ({"type": "RandomRotate", "angle_range": 200}, "angle_range: need degrees in"),
        ({"type": "RandomRotate", "rotate_type": "Shear"}, "rotate_type: only 'Rotate' is supported, got 'Shear'"),
        ({"type": "RandomChoiceRotate", "angles": []}, "angles: need at least one"),
        ({"type": "RandomChoiceResize", "scales": []}, "scales: need at least one"),
        ({"type": "RandomResize", "scale": (5, 5)}, "need one scale and a ratio_range, or two scales"),
        ({"type": "RandomCrop", "crop_size": 5, "crop_type": "square"}, "crop_type: need one of 'absolute'"),
        ({"type": "RandomCrop", "crop_size": 5, "crop_type": "relative"}, "crop_size: need parts of the image"),
        ({"type": "Pad"}, "need one of size and size_divisor"),
        ({"type": "Pad", "size_divisor": 32, "pad_val": (1, 2)}, "pad_val: need one number or three"),
        ({"type": "Normalize", "mean": [0, 0, 0], "std": [1, 0, 1]}, "mean and std"),
        ({"type": "LoadImageFromFile", "color_type": "grayscale"}, "color_type: only 'color' is supported"),
        (
            {"type": "LoadImageFromFile", "backend_args": {"backend": "petrel"}},
            "backend_args: only files of this machine",
        ),
        ({"type": "LoadAnnotations", "file_client_args": {"backend": "s3"}}, "file_client_args: only files of this"),
        ({"type": "RandomFlip", "prob": None}, "prob: need a number in"),
        ({"type": "RandomRotate", "rect_obj_labels": ["tank"]}, "rect_obj_labels: need labels, such as"),
        ({"type": "RandomRotate", "rect_obj_labels": 9}, "rect_obj_labels: need labels, such as"),
        ({"type": "RandomChoiceRotate", "angles": [1, 2], "prob": [1.0]}, "prob: need a number .* for each angle"),
        ({"type": "RandomResize", "scale": 5}, "need one scale and a ratio_range, or two scales"),
        ({"type": "RandomResize", "scale": (5, 5), "ratio_range": "1"}, "ratio_range: need a positive number or two"),
        ({"type": "RandomCrop", "crop_size": None}, "crop_size: need a positive number or two, got None"),
        ({"type": "RandomFlip", "prob": "0.5"}, "prob: need a number in"),
        ({"type": "RandomRotate", "prob": [0.5]}, "prob: need a number in"),
        ({"type": "Rotate", "rotate_angle": "a"}, "rotate_angle: need degrees, got 'a'"),
        ({"type": "Normalize", "mean": 3, "std": 4}, "mean and std: need three numbers each"),
        ({"type": "PhotoMetricDistortion", "contrast_range": 3}, "contrast_range: need the least and the greatest"),
        ({"type": "ConvertBoxType", "box_type_mapping": "rbox"}, "box_type_mapping: need dict"),
        ({"type": "LoadAnnotations", "box_type": "obb"}, "box_type: need 'hbox'"),
        ({"type": "ConvertBoxType", "box_type_mapping": {"boxes": "rbox"}}, "box_type_mapping: need dict"),
        ({"type": "mmdet.Resize", "scal": 5}, "takes no 'scal': did you mean 'scale'"),
    ],
)
def test_wrong_configs(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(config)


def test_the_table_names_what_is_there() -> None:
    for name in TABLE:
        if TABLE[name].startswith("rotx.datasets.transforms."):
            assert resolve(name).__name__ == name


def golden_cases() -> list[str]:
    return [
        *("load_qbox", "load_rbox", "load_hbox_rbox", "resize512", "resize_800x512"),
        *(f"flip_{way}{kind}" for way in ("horizontal", "vertical", "diagonal") for kind in ("", "_qbox")),
        *(f"rotate_{angle}" for angle in ("30", "90", "-45", "180", "137.5", "30_qbox")),
    ]


@pytest.mark.skipif(not PHOTO.is_file(), reason="needs the photograph of the goldens: set ROTX_SHARED")
@pytest.mark.parametrize("case", golden_cases())
def test_goldens(case: str) -> None:
    """MMRotate's results for the four objects of P2805, on an image of 170 by 170 pixels."""
    arrays = np.load(GOLDENS / "ops/pipeline.npz")
    expected = json.loads((GOLDENS / "ops/pipeline.json").read_text())[f"transform/{case}"]
    image = read_image(PHOTO)
    quads = arrays["dataset/dota/0/bbox"]
    sample = Sample(record(), image, Instances(quads.copy(), "quad", np.zeros(4, np.int64)))
    square = np.array([[60, 50, 90, 50, 90, 70, 60, 70.0]])
    inner = Sample(record(), image, Instances(square, "quad", np.zeros(1, np.int64)))
    for step in expected["steps"]:
        transform = build(step)
        sample, inner = transform(sample, RNG(0)), transform(inner, RNG(0))
    assert [*sample.image.shape] == expected["img_shape"]
    assert np.linalg.norm(sample.matrix[:2, :2], axis=0) == pytest.approx(tuple(expected["scale_factor"]))
    small = cv2.resize(sample.image.astype(np.float32), (8, 8), interpolation=cv2.INTER_AREA)
    assert np.abs(small - arrays[f"transform/{case}/img_8x8"]).max() < 0.02
    if expected["homography"] is not None:
        points = np.array([[60, 50, 1], [90, 50, 1], [90, 70, 1], [60, 70, 1]]) @ np.array(expected["homography"]).T
        np.testing.assert_allclose(inner.instances.boxes.reshape(4, 2), points[:, :2], atol=1e-3)
    boxes = arrays[f"transform/{case}/boxes"].astype(np.float64)
    assert len(boxes) == len(sample.instances.boxes)
    if case == "resize_800x512":
        # MMRotate scales rectangles, and wrongly where the factors differ; of quads the corners are certain.
        np.testing.assert_allclose(sample.instances.boxes, quads * np.tile((800 / 170, 512 / 170), 4))
    elif boxes.shape[1] == 8:
        np.testing.assert_allclose(sample.instances.boxes, boxes, atol=1e-3)
    elif len(boxes):
        assert box_iou_aligned(quad_to_rbox(sample.instances.boxes), boxes).min() > 0.9999
