"""Mask R-CNN from a COCO file to COCO's numbers: it trains, finds boxes and masks, and both score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="detectors need torch")

from rotx.engine import train  # noqa: E402
from rotx.evaluation.coco import evaluate_coco  # noqa: E402
import tiny  # noqa: F401  # registers TinyBackbone
from small import small_config  # noqa: E402

CLASSES = ("box", "disc")
SIZE = (96, 128)
STEPS = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
    {"type": "RandomFlip", "prob": 0.5},
    {"type": "PackDetInputs"},
]


def write_coco(folder: Path, count: int, seed: int) -> None:
    """Images with bright turned rectangles and ellipses, and ``all.json`` with their polygons."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    images: list[dict[str, Any]] = []
    things: list[dict[str, Any]] = []
    for i in range(count):
        image = rng.integers(0, 60, (*SIZE, 3), dtype=np.uint8)
        images.append({"id": 3 * i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]})
        for x in (32, 96)[: int(rng.integers(1, 3))]:
            label, turn = int(rng.integers(2)), rng.uniform(0, np.pi)
            corners = np.linspace(0, 2 * np.pi, 4 if label == 0 else 24, endpoint=False) + np.pi / 4
            shape = np.stack([np.cos(corners), np.sin(corners)], axis=1) * rng.uniform(15, 25, 2)
            rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            polygon = (shape @ rotation.T + (x, rng.uniform(30, 66))).round()
            cv2.fillPoly(image, [polygon.astype(np.int32)], (255, 255, 255 * label))
            low, high = polygon.min(axis=0), polygon.max(axis=0)
            things.append(
                {
                    "id": len(things),
                    "image_id": 3 * i,
                    "category_id": label + 1,
                    "segmentation": [polygon.flatten().tolist()],
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "area": float(cv2.contourArea(polygon.astype(np.float32))),
                    "iscrowd": 0,
                }
            )
        cv2.imwrite(str(folder / f"{i}.png"), image)
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    (folder / "all.json").write_text(json.dumps({"images": images, "annotations": things, "categories": categories}))


def loader(folder: Path, training: bool) -> dict[str, Any]:
    pipeline = (
        STEPS if training else [STEPS[0], {"type": "Resize", "scale": (192, 144), "keep_ratio": True}, *STEPS[1::2]]
    )
    return {
        "batch_size": 2,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": training},
        "dataset": {
            "type": "CocoDataset",
            "data_root": str(folder),
            "ann_file": "all.json",
            "data_prefix": {"img": ""},
            "metainfo": {"classes": CLASSES},
            "test_mode": not training,
            "pipeline": pipeline,
        },
    }


def settings(folder: Path, epochs: int) -> dict[str, Any]:
    model = small_config("mask_rcnn/mask-rcnn_r50_fpn_1x_coco", num_classes=len(CLASSES))
    model["backbone"] = {"type": "TinyBackbone", "drop": 0.0}
    model["neck"] |= {"in_channels": [16] * 4, "out_channels": 32}
    for part in (model["rpn_head"], *(model["roi_head"][name] for name in ("bbox_head", "mask_head"))):
        part |= {key: 32 for key in ("in_channels", "feat_channels") if key in part}
    model["roi_head"]["mask_head"]["num_convs"] = 2
    model["rpn_head"]["anchor_generator"]["scales"] = [4]
    return {
        "model": model,
        "train_dataloader": loader(folder / "train", training=True),
        "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": epochs},
        "optim_wrapper": {
            "type": "OptimWrapper",
            "optimizer": {"type": "AdamW", "lr": 1e-3},
            "clip_grad": {"max_norm": 35, "norm_type": 2},
        },
        "default_hooks": {"logger": {"interval": 5}, "checkpoint": {"interval": epochs}},
    }
