"""`rotx check CONFIG`: the faults of its sets, and what its datasets and pipeline leave out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from conftest import SHARED
from rotx.cli.check import check
from rotx.config import dumps

LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True, "box_type": "qbox"}]
NORMALIZE = {"type": "Normalize", "mean": [1.0, 1.0, 1.0], "std": [1.0, 1.0, 1.0]}
QUAD = "{0} {1} {2} {1} {2} {3} {0} {3} {4} 0\n"


def square(x: float, y: float, side: float = 20, name: str = "ship") -> str:
    return QUAD.format(x, y, x + side, y + side, name)


def split(folder: Path, labels: dict[str, str], seed: int) -> dict[str, Any]:
    """Writes a set of images of 100 × 100 with these label files; its dataset."""
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i, (name, text) in enumerate(labels.items()):
        (folder / "labelTxt" / f"{name}.txt").write_text(text)
        pixels = np.random.default_rng((seed, i)).integers(0, 256, (100, 100, 3), np.uint8)
        cv2.imwrite(str(folder / "images" / f"{name}.png"), pixels)
    return {
        "type": "DOTADataset",
        "data_root": str(folder),
        "ann_file": "labelTxt/",
        "data_prefix": {"img_path": "images/"},
        "metainfo": {"classes": ("ship", "plane"), "left_out": ("buoy",)},
    }


TRAIN = {"A": square(10, 10) + square(60, 60, 20, "plane"), "B": square(30, 30), "C": square(70, 70)}
VAL = {"D": square(40, 10)}


def run(root: Path, train: dict[str, Any], val: dict[str, Any], **more: Any) -> tuple[int, str, dict[str, Any]]:
    """Exit code, what is printed, and the JSON."""
    config = {
        "train_dataloader": {"batch_size": 1, "dataset": {"pipeline": LOAD, **train}},
        "val_dataloader": {"batch_size": 1, "dataset": {"test_mode": True, "pipeline": LOAD, **val}},
        "test_dataloader": {"batch_size": 1, "dataset": {"test_mode": True, "pipeline": LOAD, **val}},
    }
    (root / "config.py").write_text(dumps(config | more))
    result = CliRunner().invoke(check, [str(root / "config.py"), "--json", str(root / "out.json")])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    written = json.loads((root / "out.json").read_text()) if (root / "out.json").exists() else {}
    return result.exit_code, result.output, written


def test_clean_sets_lose_nothing(tmp_path: Path) -> None:
    code, out, written = run(tmp_path, split(tmp_path / "train", TRAIN, 0), split(tmp_path / "val", VAL, 1))
    assert code == 0 and "no faults" in out
    assert [one["name"].split()[0] for one in written["sets"]] == ["train_dataloader", "val_dataloader"], "not test"
    train, val = written["training"]
    assert (train["images"], train["objects"], train["drawn"], train["seen"], train["lost"]) == (3, 4, 3, 4, {})
    assert (val["images"], val["objects"], val["drawn"]) == (1, 1, 0)
    assert "train_dataloader: 3 images with 4 objects are used; left out:\n  nothing\n" in out


def test_each_step_says_what_it_leaves_out(tmp_path: Path) -> None:
    labels = dict(TRAIN, B=square(30, 30, 20, "buoy"), C="10 10 30 10 20 10 15 10 ship 0\n", F="")
    train = split(tmp_path / "train", labels, 0)
    (tmp_path / "train/images/F.png").unlink()
    train["filter_cfg"] = {"filter_empty_gt": True}
    train["pipeline"] = [*LOAD, {"type": "Rotate", "rotate_angle": 45.0}]
    labels["A"] += square(1, 1, 3)  # its centre leaves the image
    (tmp_path / "train/labelTxt/A.txt").write_text(labels["A"])
    code, out, written = run(tmp_path, train, split(tmp_path / "val", VAL, 1))
    assert code == 1
    got = [(fault["kind"], Path(fault["file"]).name, fault["line"]) for fault in written["sets"][0]["faults"]]
    assert sorted(got) == [("missing image", "F.txt", 0), ("zero area", "C.txt", 1)]
    part = written["training"][0]
    assert (part["images"], part["objects"]) == (1, 3)
    assert (part["seen"], part["lost"]) == (3, {"outside the rotated image": 1})
    for says in (
        "1 of 4 annotated images are left out: not in",
        "objects of other classes left out: buoy 1",
        "1 objects dropped, zero area; first in C",
        "filter_cfg leaves out, of 3 images, 2 without an object",
        "by the pipeline, of 3 objects on 1 images drawn once: 1 outside the rotated image",
    ):
        assert says in out, out


def test_thin_objects_are_counted_as_the_loader_drops_them(tmp_path: Path) -> None:
    train = split(tmp_path / "train", {"A": "10 10 30 10 30 13 10 13 ship 0\n" + square(50, 50)}, 0)
    train["pipeline"] = [*LOAD, {"type": "Resize", "scale": (3, 3), "keep_ratio": True}]
    _, _, written = run(tmp_path, train, split(tmp_path / "val", VAL, 1))
    assert written["training"][0]["lost"] == {"thinner than 0.1 px": 1}


def test_windows(tmp_path: Path) -> None:
    whole = split(tmp_path / "train", dict(TRAIN, B=square(40, 40)), 0)
    tiled = {"type": "TiledDataset", "dataset": whole, "sizes": (50,), "gaps": (0,), "pipeline": LOAD}
    code, out, written = run(tmp_path, tiled, split(tmp_path / "val", VAL, 1))
    assert code == 0 and "3 images make 12 windows; 1 of 4 objects are in no window" in out
    assert written["training"][0]["images"] == 12 and written["training"][0]["objects"] == 3


def test_a_class_that_the_config_lacks(tmp_path: Path) -> None:
    train = split(tmp_path / "train", dict(TRAIN, B=square(30, 30, 20, "plan")), 0)
    code, out, written = run(tmp_path, train, split(tmp_path / "val", VAL, 1))
    assert code == 1
    fault = written["sets"][0]["faults"][0]
    assert (fault["kind"], fault["line"]) == ("unknown class", 1)
    assert fault["text"] == "unknown class 'plan'; did you mean 'plane'?"
    assert "train_dataloader: cannot be used: " in out, "the training says so, too"
    assert "left_out" in written["training"][0]["error"]


def test_an_image_of_training_in_validation(tmp_path: Path) -> None:
    train, val = split(tmp_path / "train", TRAIN, 0), split(tmp_path / "val", {"D": square(40, 10)}, 0)
    code, _, written = run(tmp_path, train, val)
    found = written["sets"][1]["faults"]
    assert code == 1 and [fault["kind"] for fault in found] == ["same image"]
    assert found[0]["file"].endswith("D.png") and f"A.png of train_dataloader ({train['data_root']}" in found[0]["text"]


def test_validation_on_what_is_trained_is_said(tmp_path: Path) -> None:
    train, val = split(tmp_path / "train", TRAIN, 0), split(tmp_path / "val", VAL, 1)
    both = {"type": "ConcatDataset", "datasets": [{**val, "pipeline": LOAD}, {**train, "pipeline": LOAD}]}
    config = {"test_dataloader": {"batch_size": 1, "dataset": both}}
    code, out, _ = run(tmp_path, train, val, **config)
    folder = f"{train['data_root']}/labelTxt"
    said = f"note: train_dataloader ({folder}): test_dataloader reads it too, so training data are evaluated\n"
    assert code == 0 and out.count("reads it too") == 1 and said in out


def test_unreadable_lines_stop_the_training_and_are_all_named(tmp_path: Path) -> None:
    train = split(tmp_path / "train", dict(TRAIN, B="bad\n" + square(30, 30) + "worse\n"), 0)
    code, out, written = run(tmp_path, train, split(tmp_path / "val", VAL, 1))
    assert code == 1 and [fault["line"] for fault in written["sets"][0]["faults"]] == [1, 3]
    assert out.endswith("\n2 faults, and 1 of 2 datasets cannot be used\n")
    assert "B.txt:1: 1 column" in written["training"][0]["error"]


@pytest.mark.parametrize(
    ("kind", "annotations"), [("DIORDataset", "Ships"), ("HRSCDataset", "FullDataSet/Annotations")]
)
def test_lists_of_images(kind: str, annotations: str, tmp_path: Path) -> None:
    images = tmp_path / ("FullDataSet/AllImages" if kind == "HRSCDataset" else "JPEGImages")
    for folder in (tmp_path / annotations, images):
        folder.mkdir(parents=True)
    box = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>60</xmax><ymax>{}</ymax></bndbox>"
    for i, bottom in enumerate((40, 20, 40)):
        text = f"<annotation>\n<object><name>Ship</name>{box.format(bottom)}</object></annotation>"
        if kind == "HRSCDataset":
            rbox = "".join(
                f"<mbox_{k}>{v}</mbox_{k}>"
                for k, v in zip(("cx", "cy", "w", "h", "ang"), (50, 50, 30, bottom - 20, 1), strict=True)
            )
            text = f"<HRSC_Image>\n<HRSC_Object>{rbox}</HRSC_Object></HRSC_Image>"
        (tmp_path / annotations / f"{i}.xml").write_text(text)
        cv2.imwrite(str(images / f"{i}.png"), np.full((100, 100, 3), i, np.uint8))
    (tmp_path / "train.txt").write_text("0\n1\nx\n")
    (tmp_path / "val.txt").write_text("2\n")
    prefix = {"sub_data_root": "FullDataSet/"} if kind == "HRSCDataset" else {"img_path": "JPEGImages"}
    common = {"type": kind, "data_root": str(tmp_path), "data_prefix": prefix}
    if kind == "DIORDataset":
        common["ann_subdir"] = "Ships"
    code, _, written = run(tmp_path, {**common, "ann_file": "train.txt"}, {**common, "ann_file": "val.txt"})
    got = [(fault["kind"], Path(fault["file"]).name, fault["line"]) for fault in written["sets"][0]["faults"]]
    assert code == 1 and got == [("missing label", "train.txt", 3), ("zero area", "1.xml", 2)]
    assert not written["sets"][1]["faults"] and written["sets"][1]["images"] == 1


def test_users_mistakes_are_one_line(tmp_path: Path) -> None:
    train = split(tmp_path / "train", TRAIN, 0)
    val = split(tmp_path / "val", VAL, 1)
    for changed, says in [
        ({**train, "ann_file": "no/"}, "no: no such file or folder"),
        ({**train, "type": "DOTADatset"}, "unknown type 'DOTADatset': did you mean 'DOTADataset'?"),
        ({**train, "data_prefix": {"img_path": "no/"}}, "no: No such file or directory"),
    ]:
        code, out, _ = run(tmp_path, changed, val)
        assert code == 2 and out.count("\n") == 1 and says in out, out
    for key in ("data_prefix", "data_root", "ann_file", "metainfo"):
        code, out, _ = run(tmp_path, {**train, key: 5}, val)
        assert code == 2 and out.count("\n") == 1 and f"{key}: need" in out, out
    pipeline = [*LOAD, NORMALIZE, {"type": "PhotoMetricDistortion"}]
    code, out, _ = run(tmp_path, {**train, "pipeline": pipeline}, val)
    assert code == 1 and "train_dataloader: cannot be used: PhotoMetricDistortion: needs an image of 8 bits" in out
    code, out, _ = run(tmp_path, {}, {})
    assert code == 2 and "has no dataset with annotations in train_dataloader" in out


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs real data sets: set ROTX_SHARED")
def test_hit_uav() -> None:
    config = Path(__file__).parents[2] / "configs/hit_uav/rotated-fcos-le90_lite0_fpn_15e_hit-uav.py"
    root = f"{SHARED}/data/hit_uav/rotate_json/"
    options = [f"{loader}_dataloader.dataset.data_root={root}" for loader in ("train", "val", "test")]
    result = CliRunner().invoke(check, [str(config), *(word for text in options for word in ("--cfg-options", text))])
    assert result.exit_code == 1 and "missing image" in result.output, "most images of training are not in the folder"
    assert "train_dataloader: 401 images with 3,532 objects are used" in result.output
    assert "val_dataloader: 290 images with 2,441 objects are used" in result.output
    assert "objects of other classes left out: OtherVehicle 22, DontCare 24" in result.output
