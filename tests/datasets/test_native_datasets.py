"""Datasets by the names of the field, in the files that they are spread in."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from conftest import SHARED
from rotx.annotations.check import check_sets
from rotx.annotations.classes import CLASSES_OF
from rotx.annotations.formats import FormatError, read_annotations
from rotx.compat import build
from rotx.config import dumps
from rotx.datasets.check import config_sets
from rotx.datasets.dataset import Dataset
from rotx.geometry import quad_to_rbox

real = pytest.mark.skipif(not SHARED.is_dir(), reason="needs real data sets: set ROTX_SHARED")


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((60, 90, 3), 7, np.uint8))


def made(kind: str, root: Path, ann_file: str, prefix: str = "", **settings: Any) -> Dataset:
    prefixes = (
        {"img": prefix}
        if kind in ("SSDDDataset", "HRSIDDataset", "RSDDDataset", "HITUAVDataset")
        else {"img_path": prefix}
    )
    dataset = build({"type": kind, "data_root": str(root), "ann_file": ann_file, "data_prefix": prefixes, **settings})
    assert isinstance(dataset, Dataset)
    return dataset


UCAS = "1.0e+01\t1.0e+01\t3.0e+01\t1.0e+01\t3.0e+01\t2.0e+01\t1.0e+01\t2.0e+01\t0\t10\t10\t20\t10\t\r\n"


def ucas(root: Path) -> Path:
    """Two cars on one image, a plane on another of the same name, and one image of each without an object."""
    for folder, text in (("CAR", UCAS * 2), ("PLANE", UCAS.replace("3.0e", "4.0e"))):
        for number in (1, 2):
            image(root / folder / f"P{number:04d}.png")
            (root / folder / f"P{number:04d}.txt").write_text(text if number == 1 else "")
    (root / "ImageSets").mkdir()
    (root / "ImageSets/train.txt").write_text("P0511\nP0001\nP0512\n")
    return root


def test_ucas_aod(tmp_path: Path) -> None:
    dataset = made("UCASAODDataset", ucas(tmp_path), "ImageSets/train.txt")
    assert dataset.classes == ("car", "airplane")
    assert [
        (r.name, r.path.relative_to(tmp_path).as_posix(), r.instances.labels.tolist()) for r in dataset.records
    ] == [
        ("P0001", "CAR/P0001.png", [0, 0]),
        ("P0511", "PLANE/P0001.png", [1]),
        ("P0512", "PLANE/P0002.png", []),
    ]
    assert dataset.records[1].instances.quads.tolist() == [[10, 10, 40, 10, 40, 20, 10, 20]]
    (tmp_path / "ImageSets/train.txt").write_text("P0001\nP0003\n")
    with pytest.raises(ValueError, match=r"train\.txt: 1 of its 2 images have no labels in .*, such as P0003"):
        made("UCASAODDataset", tmp_path, "ImageSets/train.txt")
    (tmp_path / "PLANE").rename(tmp_path / "planes")
    with pytest.raises(ValueError, match="PLANE: no such folder"):
        made("UCASAODDataset", tmp_path, "ImageSets/train.txt")


def test_labels_of_ucas_aod_put_together(tmp_path: Path) -> None:
    (tmp_path / "P0001.txt").write_text("car  " + UCAS + "airplane\t" + UCAS)
    found = read_annotations(tmp_path)
    assert found.classes == ["car", "airplane"] and found.line.tolist() == [1, 2] and not found.notices
    (tmp_path / "P0001.txt").write_text("car " + UCAS + "car 1 2 3\n")
    with pytest.raises(FormatError, match=r"P0001\.txt:2: 4 columns, need 13, or 14 with the class in front"):
        read_annotations(tmp_path)


def test_msra_td500(tmp_path: Path) -> None:
    for name, text in (("IMG_1", "0 0 10 20 40 10 0.5\n1 1 50 20 20 20 -0.25"), ("IMG_2", "")):
        image(tmp_path / "train" / f"{name}.JPG")
        (tmp_path / "train" / f"{name}.gt").write_text(text)
    dataset = made("MSRATD500Dataset", tmp_path, "train", "train")
    assert dataset.classes == ("text",) and not dataset.notices
    first, second = dataset.records
    assert (first.name, first.instances.ignored.tolist(), len(second.instances.labels)) == ("IMG_1", [False, True], 0)
    c, s = math.cos(0.5), math.sin(0.5)
    corners = [(30 + c * x - s * y, 25 + s * x + c * y) for x, y in ((-20, -5), (20, -5), (20, 5), (-20, 5))]
    np.testing.assert_allclose(first.instances.quads[0].reshape(4, 2), corners, atol=1e-9)
    assert made("MSRATD500Dataset", tmp_path, "train", "train", diff_thr=1).records[0].instances.ignored.tolist() == [
        False,
        False,
    ]
    (tmp_path / "train/IMG_2.gt").write_text("0 0 1 2 3 4\n")
    with pytest.raises(FormatError, match=r"IMG_2\.gt:1: 6 columns, need 7: index difficulty x y width height angle"):
        read_annotations(tmp_path / "train")


def test_icdar_2015(tmp_path: Path) -> None:
    image(tmp_path / "images/img_1.jpg")
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt/gt_img_1.txt").write_text("1,2,30,4,35,26,7,28,one, two\n40,2,70,4,75,26,47,28,###\n")
    dataset = made("ICDAR2015Dataset", tmp_path, "gt", "images")
    record = dataset.records[0]
    assert (record.name, record.instances.labels.tolist(), record.instances.ignored.tolist()) == (
        "img_1",
        [0, 0],
        [False, True],
    )
    assert dataset.annotations().difficult.tolist() == [0, 1]


def test_srsdd(tmp_path: Path) -> None:
    image(tmp_path / "images/A.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/A.txt").write_text("imagesource:GF-3\ngsd:1\n10 10 40 10 40 20 10 20 ore-oil 0\n")
    dataset = made("SRSDDDataset", tmp_path, "labels", "images")
    assert len(dataset.classes) == 6 and dataset.classes[dataset.records[0].instances.labels[0]] == "ore-oil"


@pytest.mark.parametrize("kind", ["SSDDDataset", "HRSIDDataset", "RSDDDataset"])
def test_ships_in_sar_images(kind: str, tmp_path: Path) -> None:
    image(tmp_path / "images/1.jpg")
    shape = {"segmentation": [[10, 10, 40, 10, 40, 20, 10, 20]], "image_id": 0, "category_id": 0}
    data = {
        "images": [{"id": 0, "file_name": "1.jpg"}],
        "categories": [{"id": 0, "name": "ship"}],
        "annotations": [{"id": 1, **shape}],
    }
    (tmp_path / "train.json").write_text(json.dumps(data))
    dataset = made(kind, tmp_path, "train.json", "images")
    assert dataset.classes == ("ship",) and dataset.records[0].instances.labels.tolist() == [0]


def test_check_knows_where_each_dataset_has_its_files(tmp_path: Path) -> None:
    ucas(tmp_path)
    (tmp_path / "CAR/P0002.txt").write_text(UCAS + "bad\n")
    dataset = {"type": "UCASAODDataset", "data_root": str(tmp_path), "ann_file": "ImageSets/train.txt"}
    report = check_sets(config_sets({"train_dataloader": {"dataset": dataset}}))
    assert [len(one.quads) for one in report.sets] == [3, 1]
    faults = [(f.kind, Path(f.file).name, f.line) for f in report.faults if f.kind not in ("same image", "duplicate")]
    assert faults == [("unreadable", "P0002.txt", 2)]
    assert "UCASAODDataset" in dumps({"x": dataset})


@real
def test_real_ucas_aod(tmp_path: Path) -> None:
    source = SHARED / "data/ucas_aod"
    parts: dict[str, list[Path]] = {"CAR": [], "PLANE": []}
    for split in ("train", "test"):
        parts["CAR"].append(source / f"r_yolov4/data/{split}/0")
        parts["PLANE"].append(source / f"r_yolov4/data/{split}/1")
    for name, folders in parts.items():
        (tmp_path / name).mkdir()
        for file in (file for folder in folders for file in folder.iterdir()):
            (tmp_path / name / file.name).symlink_to(file)
    (tmp_path / "all.txt").write_text("P0001\nP0226\nP0511\nP0736\n")
    dataset = made("UCASAODDataset", tmp_path, "all.txt")
    assert [(r.name, len(r.instances.labels)) for r in dataset.records] == [
        ("P0001", 19),
        ("P0226", 9),
        ("P0511", 31),
        ("P0736", 10),
    ]
    for record in dataset.records:
        height, width = cv2.imread(str(record.path)).shape[:2]
        x, y = record.instances.quads[:, 0::2].mean(1), record.instances.quads[:, 1::2].mean(1)
        assert ((x > 0) & (x < width) & (y > 0) & (y < height)).all()
    usual = (source / "ImageSets/train.txt").read_text().split()
    assert all(name[0] == "P" and 1 <= int(name[1:]) <= 1510 for name in usual)


@real
def test_real_scene_text(tmp_path: Path) -> None:
    for archive, kind, images, objects, ignored in (
        ("icdar2015_gt.zip", "ICDAR2015Dataset", 500, 5230, 3153),
        ("msra_td500_gt.zip", "MSRATD500Dataset", 200, None, None),
    ):
        folder = tmp_path / kind
        with zipfile.ZipFile(SHARED / "data/scene_text" / archive) as packed:
            names = [name for name in packed.namelist() if name.endswith(".txt")]
            packed.extractall(folder / "gt")
        (folder / "images").mkdir()
        for name in names:
            (folder / "images" / f"{Path(name).stem.removeprefix('gt_')}.jpg").touch()
        dataset = made(kind, folder, "gt", "images")
        assert len(dataset) == images
        if objects:
            assert sum(len(r.instances.labels) for r in dataset.records) + dataset.dropped["zero area"] == objects
            assert sum(int(r.instances.ignored.sum()) for r in dataset.records) <= ignored
        else:
            assert sum(len(r.instances.labels) for r in dataset.records) > 300


@real
def test_real_hit_uav() -> None:
    root = SHARED / "data/hit_uav/rotate_json"
    dataset = made("HITUAVDataset", root, "annotations/val.json", "val", test_mode=True)
    assert dataset.classes == CLASSES_OF["HITUAVDataset"] and len(dataset) == 290
    counts = np.bincount(np.concatenate([record.instances.labels for record in dataset.records]), minlength=4)
    assert counts.sum() == 2460 - 7 and counts[3] == 12
    assert any("DontCare 7" in notice for notice in dataset.notices)


@real
def test_real_ships_of_ssdd_and_hrsc(tmp_path: Path) -> None:
    for name, images, objects in (("ssdd.txt", 1160, 2549), ("train_HRSC2016_v1.txt", 617, 1748)):
        file = SHARED / "data/hrsc_ssdd_gghl" / name
        (tmp_path / name).mkdir()
        for image_name in read_annotations(file).images:
            (tmp_path / name / f"{image_name}.jpg").touch()
        dataset = made("DOTADataset", tmp_path, str(file), name, metainfo={"classes": ("0",)})
        assert (len(dataset), sum(len(record.instances.labels) for record in dataset.records)) == (images, objects)


@real
def test_real_srsdd_like_labels(tmp_path: Path) -> None:
    found = read_annotations(SHARED / "data/formats/mmrotate_tests/sar", lenient=True)
    assert len(found.quads) == 4 and quad_to_rbox(found.quads)[:, 2:4].min() > 100
