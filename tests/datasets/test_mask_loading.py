"""Masks of COCO-style json on their way to a detector: polygons and run lengths become pixels of the moved image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the loader needs torch")

from rotx.compat import build  # noqa: E402
from rotx.datasets.dataset import Dataset  # noqa: E402
from rotx.datasets.loader import LoadedImage, LoadedImages, build_loader, check_shared_memory  # noqa: E402
from rotx.datasets.samplers import Draw  # noqa: E402
from rotx.records import Bitmaps, Masks  # noqa: E402

SIZE = (30, 40)
STEPS = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
    {"type": "Resize", "scale": (80, 60), "keep_ratio": True},
    {"type": "RandomFlip", "prob": 1.0},
    {"type": "PackDetInputs"},
]


def rectangle(x1: int, y1: int, x2: int, y2: int) -> dict[str, Any]:
    polygon = [x1, y1, x2, y1, x2, y2, x1, y2]
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "segmentation": [polygon]}


def hole() -> dict[str, Any]:
    """A rectangle with a hole, as run lengths."""
    pixels = np.zeros(SIZE, np.uint8)
    pixels[4:24, 20:36] = 1
    pixels[10:14, 24:30] = 0
    (runs,) = Masks.of_bitmaps(pixels[None]).items
    return {**rectangle(20, 4, 36, 24), "segmentation": {**runs, "counts": runs["counts"].decode()}, "iscrowd": 0}


def coco(folder: Path, *objects: dict[str, Any], pipeline: Any = None, test_mode: bool = False) -> Dataset:
    cv2.imwrite(str(folder / "0.png"), np.zeros((*SIZE, 3), np.uint8))
    about = {"id": 7, "file_name": "0.png", "height": SIZE[0], "width": SIZE[1]}
    things = [{"id": i, "image_id": 7, "category_id": 1, "iscrowd": 0, **thing} for i, thing in enumerate(objects)]
    text = {"images": [about], "categories": [{"id": 1, "name": "box"}], "annotations": things}
    (folder / "all.json").write_text(json.dumps(text))
    settings = {"data_root": str(folder), "ann_file": "all.json", "data_prefix": {"img": ""}}
    dataset = build({"type": "CocoDataset", "pipeline": pipeline or STEPS, "test_mode": test_mode, **settings})
    assert isinstance(dataset, Dataset)
    return dataset


def masks_of(loaded: LoadedImage) -> np.ndarray[Any, Any]:
    assert isinstance(loaded.instances.masks, Bitmaps)
    pixels: np.ndarray[Any, Any] = loaded.instances.masks.pixels.numpy()
    assert pixels.dtype == np.uint8 and pixels.shape[1:] == loaded.image.shape[1:]
    return pixels


@pytest.mark.parametrize("workers", [0, 1])
def test_masks_are_pixels_of_the_moved_image(tmp_path: Path, workers: int) -> None:
    dataset = coco(tmp_path, rectangle(2, 3, 12, 23), hole())
    ((loaded,),) = build_loader(dataset, [[Draw(0, 0)]], num_workers=workers, box_kind="hbox")
    rect, pierced = masks_of(loaded)
    # Twice as large, and mirrored.
    assert loaded.instances.boxes.tolist() == [[56, 6, 76, 46], [8, 8, 40, 48]]
    wanted = np.zeros((60, 80), np.uint8)
    wanted[6:46, 56:76] = 1
    np.testing.assert_array_equal(rect, wanted)
    wanted = np.zeros((60, 80), np.uint8)
    wanted[8:48, 8:40] = 1
    wanted[20:28, 20:32] = 0
    np.testing.assert_array_equal(pierced, wanted)


def test_objects_take_their_masks_along(tmp_path: Path) -> None:
    thin = {**rectangle(5, 5, 15, 6), "bbox": [5, 5, 10, 0.02]}
    cut = {"type": "RandomCrop", "crop_size": (24, 24), "crop_type": "absolute", "allow_negative_crop": True}
    steps = [*STEPS[:2], cut, *STEPS[4:]]
    dataset = coco(tmp_path, thin, rectangle(2, 3, 12, 23), rectangle(38, 28, 40, 30), hole(), pipeline=steps)
    kept = set()
    for seed in range(20):
        loaded = LoadedImages(dataset, box_kind="hbox", seed=seed)[Draw(0, 0)]
        masks = masks_of(loaded)
        assert len(masks) == len(loaded.instances.boxes) == len(loaded.instances.labels)
        for mask, (x1, y1, x2, y2) in zip(masks, loaded.instances.boxes.tolist(), strict=True):
            rows, columns = mask.nonzero()
            inside = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
            assert inside == (max(y1, 0), max(x1, 0), min(y2, 24), min(x2, 24))
        kept.add(len(masks))
    assert len(kept) > 1 and max(kept) <= 3


def test_without_objects_or_for_a_test(tmp_path: Path) -> None:
    assert masks_of(LoadedImages(coco(tmp_path), box_kind="hbox")[Draw(0, 0)]).shape == (0, 60, 80)
    steps = [step for step in STEPS if step["type"] != "RandomFlip"]
    tested = coco(tmp_path, hole(), pipeline=steps, test_mode=True)
    assert LoadedImages(tested, box_kind="hbox")[Draw(0, 0)].instances.masks is None
    boxes_only = [STEPS[0], {"type": "LoadAnnotations", "with_bbox": True}, STEPS[4]]
    assert LoadedImages(coco(tmp_path, hole(), pipeline=boxes_only))[Draw(0, 0)].instances.masks is None


def test_shared_memory_is_judged_with_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = coco(tmp_path, rectangle(2, 3, 12, 23), hole())
    monkeypatch.setattr("rotx.datasets.loader._SHARED_MEMORY", tmp_path)
    size = (3 + 2) * 60 * 80
    for free in (size * 3, size * 3 - 1):
        monkeypatch.setattr("shutil.disk_usage", lambda path, free=free: type("Usage", (), {"free": free}))
        if free == size * 3:
            check_shared_memory(dataset, 1, 1)
        else:
            with pytest.raises(ValueError, match="1 workers with batches of 1 need"):
                check_shared_memory(dataset, 1, 1)
