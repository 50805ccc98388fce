"""Masks from COCO's json to the loader, and the horizontal boxes that MMDetection's CocoDataset takes."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rotx.compat import build
from rotx.datasets.dataset import Dataset

pytest.importorskip("pycocotools")

LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}]
BOXES: list[dict[str, Any]] = [LOAD[0], {"type": "LoadAnnotations", "with_bbox": True}]
TRIANGLE = [10.0, 10, 40, 10, 40, 30]
SIZE = (60, 100)


def pixels() -> np.ndarray[Any, Any]:
    drawn = np.zeros(SIZE, np.uint8)
    drawn[30:50, 50:80] = 1
    return drawn


def packed(drawn: np.ndarray[Any, Any]) -> dict[str, Any]:
    from pycocotools import mask

    rle = mask.encode(np.asfortranarray(drawn))
    return {**rle, "counts": rle["counts"].decode()}


def runs(drawn: np.ndarray[Any, Any]) -> dict[str, Any]:
    flat = np.concatenate([[0], drawn.T.reshape(-1).astype(int), [2]])
    counts = np.diff(np.flatnonzero(np.diff(flat, prepend=-1))).tolist()
    counts[0] -= 1
    return {"size": list(SIZE), "counts": counts}


OBJECTS = [
    {"bbox": [10, 10, 30, 20], "area": 300, "segmentation": [TRIANGLE]},
    {"bbox": [50, 30, 30, 20], "area": 600, "segmentation": packed(pixels()), "iscrowd": 1},
    {"bbox": [50, 30, 30, 20], "area": 600, "segmentation": runs(pixels())},
    {"bbox": [5, 40, 20, 10], "area": 200, "segmentation": [[5, 40, 15, 40, 15, 50, 5, 50], [16, 40, 25, 40, 25, 50]]},
    {"bbox": [70, 5, 10, 10], "area": 100},
]


def coco(folder: Path, objects: list[dict[str, Any]], pipeline: Any = LOAD, **settings: Any) -> Dataset:
    (folder / "images").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "images/0.png"), np.dstack([pixels() * 255] * 3))
    data = {
        "images": [{"id": 7, "file_name": "0.png", "height": SIZE[0], "width": SIZE[1]}],
        "categories": [{"id": 3, "name": "ship"}],
        "annotations": [{"id": i, "image_id": 7, "category_id": 3, **thing} for i, thing in enumerate(objects)],
    }
    (folder / "all.json").write_text(json.dumps(data))
    config = {"type": "CocoDataset", "data_root": str(folder), "ann_file": "all.json"}
    dataset = build({**config, "data_prefix": {"img": "images/"}, "pipeline": pipeline, **settings})
    assert isinstance(dataset, Dataset)
    return dataset


def test_masks_are_read(tmp_path: Path) -> None:
    dataset = coco(tmp_path, OBJECTS)
    known = dataset.record(0).instances
    assert known.kind == "hbox" and known.ignored.tolist() == [False, True, False, False, False]
    bitmaps = known.masks.bitmaps(*SIZE)
    np.testing.assert_array_equal(bitmaps[1], pixels())
    np.testing.assert_array_equal(bitmaps[2], pixels())
    assert bitmaps[0].sum() == pytest.approx(300, rel=0.1) and bitmaps[4].sum() == 0
    assert bitmaps[3, 45, 10] == bitmaps[3, 43, 23] == 1 and bitmaps[3, 48, 18] == 0
    sample = dataset.sample(0, np.random.default_rng(0))
    # Without a mask nothing can be learnt of it, as in MMDetection.
    assert sample.instances.ignored.tolist() == [False, True, False, False, True]
    assert len(sample.instances.masks) == 5
    assert sample.instances.boxes[0].tolist() == [10, 10, 40, 30]


@pytest.mark.parametrize(
    "step",
    [
        {"type": "RandomFlip", "prob": 1.0, "direction": "diagonal"},
        {"type": "Resize", "scale": (150, 120)},
        {"type": "Rotate", "rotate_angle": 90},
        {"type": "Rotate", "rotate_angle": 25},
        {"type": "RandomCrop", "crop_size": (70, 55)},
        {"type": "Pad", "size": (128, 128)},
    ],
)
def test_masks_move_with_the_image(tmp_path: Path, step: dict[str, Any]) -> None:
    """The masks of the white rectangle, run lengths and a polygon, are where it is seen."""
    corners = [50.0, 30, 80, 30, 80, 50, 50, 50]
    objects = [{**OBJECTS[2], "segmentation": one} for one in (packed(pixels()), runs(pixels()), [corners])]
    for seed in range(4):
        sample = coco(tmp_path, objects, [*LOAD, step]).sample(0, np.random.default_rng(seed))
        white = sample.image[:, :, 0] > 127
        bitmaps = sample.instances.masks.bitmaps(*sample.size)
        assert len(bitmaps) == 3
        for bitmap in bitmaps:
            union = (white | (bitmap > 0)).sum()
            # Rotations move the centres of pixels, polygons their corners: half a pixel around.
            assert (white & (bitmap > 0)).sum() / union > 0.88
        for exact in bitmaps[:2]:
            assert (white != exact).sum() <= (0 if "flip" in step["type"].lower() else 0.06 * union)


def test_without_masks_none_travel(tmp_path: Path) -> None:
    assert coco(tmp_path, OBJECTS, BOXES).record(0).instances.masks is None
    shapes = [*LOAD, {"type": "ConvertMask2BoxType", "box_type": "rbox"}]
    known = coco(tmp_path, OBJECTS, shapes).record(0).instances
    assert known.masks is None and known.kind == "quad"
    assert coco(tmp_path, OBJECTS, ()).record(0).instances.kind == "quad"
    rotated = [LOAD[0], {"type": "LoadAnnotations", "box_type": "qbox", "with_mask": True}]
    known = coco(tmp_path, OBJECTS, rotated).record(0).instances
    assert known.kind == "quad" and len(known.masks) == 5


def test_what_mmdetection_leaves_out(tmp_path: Path) -> None:
    objects: list[dict[str, Any]] = [
        {"bbox": [10, 10, 30, 20], "area": 0},
        {"bbox": [10, 10, 0.5, 20], "area": 10},
        {"bbox": [200, 10, 30, 20], "area": 600},
        {"bbox": [-40, 10, 30, 20], "area": 600},
        {"bbox": [-20, 10, 30, 20], "area": 600},
        {"bbox": [10, 10, 30, 20]},
    ]
    dataset = coco(tmp_path, objects, BOXES)
    assert dataset.record(0).instances.boxes.tolist() == [[-20, 10, 10, 30], [10, 10, 40, 30]]
    assert dataset.dropped == {"below one pixel, or outside the image": 4}
    assert any("4 objects dropped, below one pixel or outside" in notice for notice in dataset.notices)
    testing = coco(tmp_path, objects, BOXES, test_mode=True)
    assert len(testing.annotations()) == 6 and not testing.dropped


def test_rotated_boxes_stay_rotated(tmp_path: Path) -> None:
    dataset = coco(tmp_path, [{"bbox": [50.0, 40.0, 30.0, 10.0, 0.5]}], BOXES)
    known = dataset.record(0).instances
    assert known.kind == "rbox" and known.boxes.tolist() == [[50, 40, 30, 10, 0.5]]
    assert dataset.sample(0, np.random.default_rng(0)).instances.kind == "quad"
    upright = coco(tmp_path, [OBJECTS[0]], BOXES)
    assert any(
        "(bbox); to use segmentation, set LoadAnnotations box_type='qbox'" in notice for notice in upright.notices
    )
    assert not any("horizontal" in notice for notice in coco(tmp_path, [OBJECTS[4]], BOXES).notices)


def test_the_loader_gives_hboxes_with_masks(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from rotx.datasets.loader import build_loader
    from rotx.datasets.samplers import Draw

    dataset = coco(tmp_path, OBJECTS, [*LOAD, {"type": "Resize", "scale": (200, 120)}])
    for workers in (0, 1):
        ((loaded,),) = build_loader(dataset, [[Draw(0, 0)]], num_workers=workers, box_kind="hbox")
        found = loaded.instances
        assert found.kind == "hbox" and found.boxes.dtype == torch.float32
        torch.testing.assert_close(found.boxes[0], torch.tensor([20.0, 20, 80, 60]))
        bitmaps = found.masks.pixels.numpy()
        assert bitmaps.shape[1:] == (120, 200)
        np.testing.assert_array_equal(bitmaps[1], cv2.resize(pixels(), (200, 120), interpolation=cv2.INTER_NEAREST))
        assert loaded.matrix.tolist() == [[2, 0, 0], [0, 2, 0], [0, 0, 1]]
    # Pixels travel in shared memory, as the image does.
    assert len(pickle.dumps(replace(loaded.instances.numpy(), masks=None))) < 4000
