"""COCO-style json: the shapes of objects, what is left out, and what damaged files are answered with."""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rotx.compat import build
from rotx.datasets.coco import RotatedCocoDataset
from rotx.datasets.dataset import Dataset
from rotx.geometry import box_iou_aligned, min_area_rect, quad_to_rbox, rbox_to_quad
from rotx.registry import resolve

RBOX = [50.0, 40.0, 30.0, 10.0, 0.5]
TRIANGLE = [10, 10, 40, 10, 40, 30]
Json = dict[str, Any]


def content(*objects: Json, images: int = 1) -> Json:
    """A file of these objects, on image 7 and of the category ship unless they say another."""
    return {
        "images": [{"id": 7 + i, "file_name": f"{i}.png", "height": 60, "width": 100} for i in range(images)],
        "categories": [{"id": 3, "name": "ship"}, {"id": 1, "name": "plane"}],
        "annotations": [{"id": i, "image_id": 7, "category_id": 3, **thing} for i, thing in enumerate(objects)],
    }


def coco(folder: Path, data: Any, files: list[str] | None = None, **settings: Any) -> Dataset:
    """A dataset of this json, with empty files for the images."""
    text = data if isinstance(data, str | bytes) else json.dumps(data)
    (folder / "all.json").write_bytes(text.encode() if isinstance(text, str) else text)
    for name in [image["file_name"] for image in data["images"]] if files is None else files:
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).touch()
    config = {"type": "RotatedCocoDataset", "data_root": str(folder), "ann_file": "all.json"}
    dataset = build({**config, "data_prefix": {"img": "images/"}, **settings})
    assert isinstance(dataset, Dataset)
    return dataset


def quad_of(folder: Path, thing: Json) -> np.ndarray[Any, Any]:
    """The corners of one object."""
    return coco(folder, content(thing)).record(0).instances.quads[0]


def problem(folder: Path, data: Any, **settings: Any) -> str:
    """The one line that a file which cannot be used is answered with."""
    with pytest.raises(ValueError) as caught:
        coco(folder, data, ["0.png"], **settings)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400 and str(folder) in message
    return message.replace(str(folder), "DATA")


def test_both_names_are_one() -> None:
    assert resolve("RotatedCocoDataset") is resolve("mmdet.CocoDataset") is RotatedCocoDataset


def test_rotated_boxes(tmp_path: Path) -> None:
    np.testing.assert_array_equal(quad_of(tmp_path, {"bbox": RBOX}), rbox_to_quad([RBOX])[0])
    whole = coco(tmp_path, content({"bbox": RBOX, "segmentation": [TRIANGLE]}, {"bbox": RBOX, "difficult": True}))
    assert whole.record(0).size == (60, 100) and whole.record(0).instances.difficult.tolist() == [0, 1]
    np.testing.assert_array_equal(whole.record(0).instances.quads, rbox_to_quad([RBOX, RBOX]))


def test_polygons(tmp_path: Path) -> None:
    four = [10, 10, 40, 12, 38, 30, 9, 29]
    assert quad_of(tmp_path, {"segmentation": [four], "bbox": [0, 0, 1, 1]}).tolist() == four
    assert quad_of(tmp_path, {"segmentation": [four + four[:2]]}).tolist() == four
    right = rbox_to_quad([[25, 20, 30, 20, 0]])
    several = [[10, 10, 20, 10, 20, 30, 10, 30], [30, 15, 40, 10, 40, 30]]
    for polygons in ([TRIANGLE], [[*TRIANGLE, 10, 30, 20, 20]], several):
        found = quad_of(tmp_path, {"segmentation": polygons})
        assert box_iou_aligned(found[None], right)[0] > 1 - 1e-9
    turned = rbox_to_quad([RBOX])[0].reshape(4, 2)
    middles = np.stack([turned, (turned + np.roll(turned, -1, 0)) / 2], 1).reshape(-1)
    np.testing.assert_allclose(
        quad_to_rbox(quad_of(tmp_path, {"segmentation": [middles.tolist()]})[None])[0], RBOX, atol=1e-9
    )


def packed(pixels: np.ndarray[Any, Any]) -> Json:
    """A mask as pycocotools packs it."""
    masks = pytest.importorskip("pycocotools.mask")
    rle: Json = masks.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {**rle, "counts": rle["counts"].decode()}


def unpacked(pixels: np.ndarray[Any, Any]) -> Json:
    """A mask as a list of runs, off and on in turn."""
    flat = np.concatenate([[0], pixels.T.reshape(-1).astype(int), [2]])
    runs = np.diff(np.flatnonzero(np.diff(flat, prepend=-1))).tolist()
    runs[0] -= 1  # the zero before the first pixel
    return {"size": list(pixels.shape), "counts": runs}


@pytest.mark.parametrize("pack", [packed, unpacked])
def test_masks(tmp_path: Path, pack: Callable[[np.ndarray[Any, Any]], Json]) -> None:
    pixels = np.zeros((60, 100), np.bool_)
    pixels[10:20, 30:50] = True
    pixels[12:14, 35:40] = False  # a hole
    found = quad_of(tmp_path, {"segmentation": pack(pixels)})
    # Pixels are squares around their centres: 20 of them are 20 wide.
    assert box_iou_aligned(found[None], rbox_to_quad([[39.5, 14.5, 20, 10, 0]]))[0] > 1 - 1e-9
    whole = quad_of(tmp_path, {"segmentation": pack(np.ones((60, 100), np.bool_))})
    assert box_iou_aligned(whole[None], rbox_to_quad([[49.5, 29.5, 100, 60, 0]]))[0] > 1 - 1e-9


def test_packed_masks_are_as_pycocotools_unpacks_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for density in (0.001, 0.1, 0.5, 0.95, 0.999, 1.0):
        pixels = np.zeros((60, 100), np.bool_)
        pixels[:, rng.integers(50) : rng.integers(55, 100)] = rng.random() < 0.5  # whole columns
        pixels |= rng.random((60, 100)) < density
        pixels[rng.integers(60), rng.integers(100)] = True
        one, other = packed(pixels), unpacked(pixels)
        ys, xs = np.nonzero(pixels)
        squares = [(x + dx, y + dy) for x, y in zip(xs, ys, strict=True) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)]
        least = rbox_to_quad(min_area_rect(squares)[None])
        assert box_iou_aligned(quad_of(tmp_path, {"segmentation": one})[None], least)[0] > 1 - 1e-9
        np.testing.assert_array_equal(
            quad_of(tmp_path, {"segmentation": one}), quad_of(tmp_path, {"segmentation": other})
        )


def test_a_turned_mask(tmp_path: Path) -> None:
    ys, xs = np.mgrid[:60, :100]
    along = (xs - 50) * math.cos(0.5) + (ys - 30) * math.sin(0.5)
    across = (ys - 30) * math.cos(0.5) - (xs - 50) * math.sin(0.5)
    found = quad_of(tmp_path, {"segmentation": unpacked((np.abs(along) <= 25) & (np.abs(across) <= 8))})
    assert box_iou_aligned(found[None], rbox_to_quad([[50, 30, 50, 16, 0.5]]))[0] > 0.9
    cx, cy, _, _, angle = quad_to_rbox(found[None])[0]
    assert abs(cx - 50) < 0.5 and abs(cy - 30) < 0.5 and abs(angle - 0.5) < 0.05


def test_horizontal_boxes_are_said(tmp_path: Path) -> None:
    dataset = coco(tmp_path, content({"bbox": [10, 20, 30, 5]}, {"bbox": [1, 2, 3, 4], "segmentation": []}))
    assert dataset.record(0).instances.quads[0].tolist() == [10, 20, 40, 20, 40, 25, 10, 25]
    assert any("2 objects have horizontal boxes only" in notice for notice in dataset.notices)


def test_ignored_objects(tmp_path: Path) -> None:
    data = content({"bbox": RBOX}, {"bbox": RBOX, "iscrowd": 1}, {"bbox": RBOX, "ignore": True})
    data["annotations"].append({"id": 9, "image_id": 7, "category_id": 1, "bbox": RBOX, "difficult": 1})
    dataset = coco(tmp_path, data)
    assert dataset.record(0).instances.ignored.tolist() == [False, True, True, False]
    assert dataset.annotations().difficult.tolist() == [0, 1, 1, 1]
    assert coco(tmp_path, data, diff_thr=0).record(0).instances.ignored.tolist() == [False, True, True, True]


def test_classes(tmp_path: Path) -> None:
    data = content({"bbox": RBOX}, {"bbox": RBOX, "category_id": 1})
    for metainfo in (None, {"classes": "auto"}):
        assert coco(tmp_path, data, metainfo=metainfo).classes == ("plane", "ship")
    part = coco(tmp_path, data, metainfo={"classes": "ship"})
    assert part.record(0).instances.labels.tolist() == [0]
    assert any("objects of other classes left out: plane 1" in notice for notice in part.notices)
    said = problem(tmp_path, data, metainfo={"classes": ("Ship", "plane")})
    assert "has no class 'Ship'; did you mean 'ship'?; its classes are ship, plane" in said


def test_objects_that_cannot_be_learnt(tmp_path: Path) -> None:
    text = json.dumps(content({"bbox": RBOX}, {"bbox": [5, 5, 0, 3, 0]}, {"bbox": [8, 8, 4, 4, 0]}, images=2))
    data = text.replace("[8, 8,", "[NaN, 1e400,")
    training = coco(tmp_path, data, ["0.png", "1.png"], filter_cfg={"filter_empty_gt": True})
    assert training.dropped == {"zero area": 1, "not finite": 1} and len(training.annotations().quads) == 1
    testing = coco(tmp_path, data, ["0.png", "1.png"], filter_cfg={"filter_empty_gt": True}, test_mode=True)
    assert len(testing.annotations().quads) == 3 and len(testing) == 2


def test_images_are_named_as_shortly_as_tells_them_apart(tmp_path: Path) -> None:
    data = content(images=3)
    for files, names in (
        (["a/1.png", "a/2.png", "b/3.jpg"], ["1", "2", "3"]),
        (["a/1.png", "b/1.png", "c.d/x"], ["a/1", "b/1", "c.d/x"]),
        (["1.png", "1.jpg", "2.png"], ["1.jpg", "1.png", "2.png"]),
    ):
        for image, file in zip(data["images"], files, strict=True):
            image["file_name"] = file
        dataset = coco(tmp_path, data)
        assert [record.name for record in dataset.records] == names
        assert all(record.path.is_file() for record in dataset.records)


def test_absent_images(tmp_path: Path) -> None:
    data = content({"bbox": RBOX}, {"bbox": RBOX, "image_id": 8}, images=2)
    data["images"][1]["filename"] = data["images"][1].pop("file_name")
    dataset = coco(tmp_path, data, ["1.png"])
    assert [record.name for record in dataset.records] == ["1"] and len(dataset.annotations().quads) == 1
    assert any("1 of 2 annotated images are left out" in notice for notice in dataset.notices)
    (tmp_path / "images/1.png").rename(tmp_path / "images/2.png")
    with pytest.raises(
        ValueError, match=r"none of its 2 images, such as 0, is in .*images, which holds 1 files, such as 2"
    ):
        coco(tmp_path, data, [])


def test_a_file_for_testing_has_no_annotations(tmp_path: Path) -> None:
    data = content(images=2)
    del data["annotations"]
    dataset = coco(tmp_path, data, test_mode=True)
    assert len(dataset) == 2 and dataset.annotations().quads.shape == (0, 8) and dataset.classes == ("plane", "ship")


def change(*path: Any, to: Any = None, drop: bool = False) -> Callable[[Json], Any]:
    """Changes one place of the json."""

    def apply(data: Json) -> Json:
        data = copy.deepcopy(data)
        inner: Any = data
        for key in path[:-1]:
            inner = inner[key]
        if drop:
            del inner[path[-1]]
        else:
            inner[path[-1]] = to
        return data

    return apply


FIRST = ("annotations", 0)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: json.dumps(data)[:-40], "is not json, or is cut off: line 1, column "),
        (lambda data: "", "is not json, or is cut off: line 1, column 1"),
        (lambda data: b"\xff\xfe\x00\x80", "DATA/all.json: is not"),
        (lambda data: "[" * 100_000, "is nested too deeply"),
        (lambda data: "[1, 2]", "need an object with images, annotations and categories, got [1, 2]"),
        (change("images", drop=True), "DATA/all.json: has no images"),
        (change("categories", drop=True), "has no categories"),
        (change("categories", to={}), "need a list of categories, got {}"),
        (change("annotations", to=None), "need a list of annotations, got nothing"),
        (change("annotations", 0, to=5), "annotations[0]: need an object {...}, got 5"),
        (change("images", to=[]), "annotations[0].image_id: there is no image 7"),
        (change("images", 0, "id", to=8), "annotations[0].image_id: there is no image 7"),
        (change("images", 0, "id", to=[1]), "images[0].id: need a number or a name, got [1]"),
        (change("images", 0, "file_name", to=3), "images[0]: need a file_name, got 3"),
        (change("images", 0, "file_name", drop=True), "images[0]: need a file_name, got nothing"),
        (change("categories", 1, "id", to=3), "categories[1].id: 3 is also the id of categories[0]"),
        (change("categories", 1, "name", to="ship"), "category 'ship' occurs 2 times"),
        (change("categories", 1, "name", to=None), "categories[1].name: need a name, got nothing"),
        (change(*FIRST, "category_id", to=9), "annotations[0].category_id: there is no category 9"),
        (change(*FIRST, "category_id", to={}), "annotations[0].category_id: there is no category {}"),
        (
            change(*FIRST, "bbox", drop=True),
            "annotations[0]: has no segmentation, and bbox must be cx, cy, w, h, angle",
        ),
        (change(*FIRST, "bbox", to=[1, 2, 3]), "or left, top, width, height; got [1, 2, 3]"),
        (change(*FIRST, "bbox", to=[1, 2, 3, 4, "5"]), 'annotations[0].bbox: need numbers, got [1, 2, 3, 4, "5"]'),
        (change(*FIRST, "bbox", to=[1, 2, 3, None]), "annotations[0].bbox: need numbers"),
        (change(*FIRST, "bbox", to=[1, 2, 3, 10**400]), "annotations[0].bbox: a number is too large"),
        (change(*FIRST, "bbox", to=[1, 2, -3, 4]), "width and height must not be negative, got -3.0 and 4.0"),
        (change(*FIRST, "bbox", to=[1, 2, 3, 4, 45]), "annotations[0].bbox: the angle must be in radians, clockwise"),
        (
            change(*FIRST, to={"image_id": 7, "category_id": 1, "segmentation": "x"}),
            "annotations[0].segmentation: need",
        ),
        (change(*FIRST, to={"image_id": 7, "category_id": 1, "segmentation": [1, 2, 3]}), "need polygons [[x1, y1,"),
        (
            change(*FIRST, to={"image_id": 7, "category_id": 1, "segmentation": [[1, 2, 3]]}),
            "segmentation[0]: a polygon",
        ),
    ],
)
def test_files_that_are_damaged(tmp_path: Path, damage: Callable[[Json], Any], said: str) -> None:
    assert said in problem(tmp_path, damage(content({"bbox": RBOX})))


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ({"counts": [6000]}, "segmentation.size: need height and width, got nothing"),
        ({"size": [60, -1], "counts": [0]}, "segmentation.size: need height and width, got [60, -1]"),
        ({"size": [90, 90], "counts": [8100]}, "segmentation.size: the mask is of height and width [90, 90], its"),
        ({"size": [60, 100], "counts": [5, 5]}, "segmentation.counts: the runs must add up to 6000 pixels"),
        ({"size": [60, 100], "counts": [6001, -1]}, "segmentation.counts: the runs must add up to 6000 pixels"),
        ({"size": [60, 100], "counts": 5}, "segmentation.counts: need a list of integers or a string, got 5"),
        ({"size": [60, 100], "counts": [6000.0]}, "segmentation.counts: need a list of integers or a string"),
        ({"size": [60, 100], "counts": "\x00zz"}, "segmentation.counts: the runs must add up to 6000 pixels"),
        ({"size": [60, 100], "counts": "o" * 1_000_000}, "segmentation.counts: the runs must add up to 6000 pixels"),
        ({"size": [60, 100], "counts": "1"}, "segmentation.counts: the runs must add up to 6000 pixels"),
        ({"size": [60, 100], "counts": [6000]}, "segmentation: the mask is empty"),
    ],
)
def test_masks_that_are_damaged(tmp_path: Path, mask: Json, said: str) -> None:
    assert f"annotations[0].{said}" in problem(tmp_path, content({"segmentation": mask}))


def test_no_image(tmp_path: Path) -> None:
    assert "no image in it" in problem(tmp_path, {**content(), "images": []})


def hit_uav(shared: Path, split: str, **settings: Any) -> Dataset:
    root = shared / "data/hit_uav/rotate_json"
    config = {"type": "RotatedCocoDataset", "data_root": str(root), "ann_file": f"annotations/{split}.json"}
    dataset = build({**config, "data_prefix": {"img": f"{split}/"}, **settings})
    assert isinstance(dataset, Dataset)
    return dataset


def test_real_hit_uav(shared: Path) -> None:
    three = {"metainfo": {"classes": ("Person", "Car", "Bicycle")}}
    data = json.loads((shared / "data/hit_uav/rotate_json/annotations/val.json").read_text())
    dataset = hit_uav(shared, "val", test_mode=True, **three)
    found = dataset.annotations()
    assert len(dataset) == 290 and np.bincount(found.label).tolist() == [1168, 719, 554] and not dataset.dropped
    assert any("left out: OtherVehicle 12, DontCare 7" in notice for notice in dataset.notices)
    names = {image["id"]: image["filename"].removesuffix(".jpg") for image in data["images"]}
    wanted = [thing for thing in data["annotations"] if thing["category_id"] < 3]
    assert Counter(names[thing["image_id"]] for thing in wanted) == Counter(found.images[i] for i in found.image)
    by_name = {record.name: record for record in dataset.records}
    for thing in wanted[::50]:
        quads = by_name[names[thing["image_id"]]].instances.quads
        assert np.abs(quads - rbox_to_quad([thing["bbox"]])).max(1).min() < 1e-9
    assert all(record.size == (512, 640) and record.path.is_file() for record in dataset.records)


def test_real_hit_uav_for_training(shared: Path) -> None:
    three = {"metainfo": {"classes": ("Person", "Car", "Bicycle")}}
    dataset = hit_uav(shared, "train", filter_cfg={"filter_empty_gt": True}, **three)
    assert len(dataset) == 401
    said = " ".join(dataset.notices)
    assert "1,623 of 2,029 annotated images are left out" in said and "of 406 images, 5 without an object" in said
    assert len(hit_uav(shared, "train", **three)) == 406
    assert hit_uav(shared, "val").classes == ("Bicycle", "Car", "DontCare", "OtherVehicle", "Person")
    with pytest.raises(ValueError, match=r"train.json: has no class 'person'; did you mean 'Person'\?"):
        hit_uav(shared, "train", metainfo={"classes": ("person",)})


@pytest.mark.parametrize("box_type", [None, "hbox"])
def test_windows_have_the_boxes_and_masks_of_whole_images(tmp_path: Path, box_type: str | None) -> None:
    pytest.importorskip("pycocotools")
    triangle = {"bbox": [20, 20, 60, 70], "segmentation": [[20, 20, 80, 40, 30, 90]], "area": 2000}
    runs = {"size": [100, 100], "counts": [0, 500, 9500]}  # the first five columns
    crowd = {"bbox": [0, 0, 5, 100], "segmentation": runs, "area": 500, "iscrowd": 1}
    things = [{"id": i, "image_id": 1, "category_id": 1, **one} for i, one in enumerate((triangle, crowd), start=1)]
    data = {
        "images": [{"id": 1, "file_name": "a.png", "height": 100, "width": 100}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": things,
    }
    (tmp_path / "a.json").write_text(json.dumps(data))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 100, 3), np.uint8))
    load = {"type": "LoadAnnotations", "with_mask": True, **({"box_type": box_type} if box_type else {})}
    pipeline = [{"type": "LoadImageFromFile"}, load]
    whole = {"type": "CocoDataset", "data_root": str(tmp_path), "ann_file": "a.json", "test_mode": True}
    plain = build({**whole, "pipeline": pipeline}).record(0).instances
    tiles = {"type": "TiledDataset", "sizes": (90,), "gaps": (80,), "iof_thr": 0.5, "pipeline": pipeline}
    for dataset in (whole, {"type": "ConcatDataset", "datasets": [whole]}):
        made = build({**tiles, "dataset": dataset})
        assert plain.kind == "hbox" and plain.boxes[0].tolist() == [20, 20, 80, 90]
        for record in made.records:
            x, y = record.window.area[:2]
            shown = record.instances
            assert shown.kind == "hbox" and shown.boxes[0].tolist() == [20 - x, 20 - y, 80 - x, 90 - y]
            pixels = shown.masks.bitmaps(90, 90)
            np.testing.assert_array_equal(pixels[0], plain.masks.bitmaps(100, 100)[0, y : y + 90, x : x + 90])
            if len(shown) > 1:
                assert pixels[1, :, : 5 - x].all() and not pixels[1, :, 5 - x :].any()
