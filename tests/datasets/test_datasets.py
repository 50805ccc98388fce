"""Datasets in DOTA's files and in xml: what is read, what is left out, and what a mistake is answered with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rotx.annotations.classes import CLASSES_OF, HRSC_CLASSES
from rotx.annotations.formats import read_annotations
from rotx.compat import build
from rotx.compat import load_config as load
from rotx.datasets.dataset import Dataset
from rotx.datasets.sample import Sample
from rotx.geometry import area, box_iou_aligned
from rotx.images.files import image_size
from rotx.registry import check_keywords, resolve

SHIP = "10 10 50 10 50 40 10 40 ship 0\n"
PLANE = "60 10 90 20 80 50 50 40 plane 1\n"
FLAT = "5 5 9 9 13 13 7 7 ship 0\n"  # four corners on a line

LOAD: dict[str, Any] = {"type": "mmdet.LoadImageFromFile", "file_client_args": {"backend": "disk"}}
OBJECTS: dict[str, Any] = {"type": "mmdet.LoadAnnotations", "with_bbox": True, "box_type": "qbox"}
RESIZE: dict[str, Any] = {"type": "mmdet.Resize", "scale": (80, 80), "keep_ratio": True}
FLIP: dict[str, Any] = {"type": "mmdet.RandomFlip", "prob": 0.75, "direction": ["horizontal", "vertical", "diagonal"]}


def dota(folder: Path, labels: dict[str, str], images: list[str] | None = None, **settings: Any) -> Dataset:
    """A dataset of these label files; its images are files without content unless named."""
    for name in ("labelTxt", "images"):
        (folder / name).mkdir(exist_ok=True)
    for name, text in labels.items():
        (folder / "labelTxt" / f"{name}.txt").write_text(text)
    for image in [f"{name}.png" for name in labels] if images is None else images:
        (folder / "images" / image).touch()
    config = {
        "type": "DOTADataset",
        "data_root": str(folder),
        "ann_file": "labelTxt/",
        "data_prefix": {"img_path": "images/"},
    }
    dataset = build({**config, "metainfo": {"classes": ("plane", "ship")}, **settings})
    assert isinstance(dataset, Dataset)
    return dataset


def problem(folder: Path, *arguments: Any, **settings: Any) -> str:
    """The one line that a dataset which cannot be made is answered with."""
    with pytest.raises(ValueError) as caught:
        dota(folder, *(arguments or ({"P1": SHIP},)), **settings)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    return message.replace(str(folder), "DATA")


def test_records_are_what_the_files_say(tmp_path: Path) -> None:
    dataset = dota(tmp_path, {"P2": SHIP + PLANE, "P1": "", "P10": PLANE})
    assert dataset.classes == ("plane", "ship") and len(dataset) == 3
    assert [record.name for record in dataset.records] == ["P1", "P10", "P2"]
    empty, other, both = dataset.records
    assert empty.instances.quads.shape == (0, 8) and len(empty.instances.labels) == 0
    assert both.path == tmp_path / "images" / "P2.png" and both.size is None
    assert both.instances.quads.tolist() == [[10, 10, 50, 10, 50, 40, 10, 40], [60, 10, 90, 20, 80, 50, 50, 40]]
    assert (both.instances.labels.tolist(), both.instances.difficult.tolist(), both.instances.ignored.tolist()) == (
        [1, 0],
        [0, 1],
        [False, False],
    )
    assert (
        both.instances.labels.dtype == np.int64
        and both.instances.quads.dtype == np.float64
        and other.instances.labels.tolist() == [0]
    )


def test_annotations_are_those_of_the_records(tmp_path: Path) -> None:
    dataset = dota(tmp_path, {"P2": SHIP + PLANE, "P1": "", "P0": PLANE}, diff_thr=0, test_mode=True)
    again = dataset.annotations()
    assert again.images == ["P0", "P1", "P2"] and again.classes == ["plane", "ship"]
    assert (again.image.tolist(), again.label.tolist(), again.difficult.tolist()) == ([0, 2, 2], [0, 1, 0], [1, 0, 1])
    np.testing.assert_array_equal(again.quads, np.concatenate([record.instances.quads for record in dataset.records]))
    assert [record.instances.ignored.tolist() for record in dataset.records] == [[True], [], [False, True]]


def test_unusable_objects_are_dropped_in_training_only(tmp_path: Path) -> None:
    labels = {"P1": SHIP + FLAT, "P2": FLAT}
    training = dota(tmp_path, labels, filter_cfg={"filter_empty_gt": True})
    assert [len(record.instances.labels) for record in training.records] == [1] and training.dropped == {"zero area": 2}
    assert any("2 objects dropped, zero area; first in P1" in notice for notice in training.notices)
    assert any("of 2 images, 1 without an object" in notice for notice in training.notices)
    testing = dota(tmp_path, labels, filter_cfg={"filter_empty_gt": True}, test_mode=True)
    assert len(testing.annotations().quads) == 3 and len(testing) == 2 and not testing.dropped


def test_a_quad_that_crosses_itself_stays(tmp_path: Path) -> None:
    dataset = dota(tmp_path, {"P1": "0 0 10 10 10 0 0 10 ship 0\n"})
    assert len(dataset.records[0].instances.quads) == 1 and not dataset.dropped


@pytest.mark.parametrize(
    ("given", "classes", "labels"),
    [
        (("ship", "plane"), ("ship", "plane"), [0, 1]),
        (["plane", "ship", "tank"], ("plane", "ship", "tank"), [1, 0]),
        ("auto", ("plane", "ship"), [1, 0]),
        ("names.txt", ("ship", "plane"), [0, 1]),
    ],
)
def test_classes(tmp_path: Path, given: Any, classes: tuple[str, ...], labels: list[int]) -> None:
    (tmp_path / "names.txt").write_text("\ufeffship\r\n\r\n plane \n", encoding="utf-8")
    dataset = dota(tmp_path, {"P1": SHIP + PLANE}, metainfo={"classes": given, "palette": [(0, 0, 0)]})
    assert dataset.classes == classes and dataset.records[0].instances.labels.tolist() == labels
    assert ("no object of tank" in " ".join(dataset.notices)) == ("tank" in classes)


def test_a_string_is_one_name(tmp_path: Path) -> None:
    dataset = dota(tmp_path, {"P1": SHIP}, metainfo={"classes": ("ship")})
    assert dataset.classes == ("ship",)


def test_classes_beside_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/mine.txt").write_text("ship\n")
    monkeypatch.chdir(tmp_path / "here")
    assert dota(tmp_path, {"P1": SHIP}, metainfo={"classes": "mine.txt"}).classes == ("ship",)


def test_each_dataset_has_its_own_classes(tmp_path: Path) -> None:
    for kind, count in (("DOTADataset", 15), ("DOTAv15Dataset", 16), ("DOTAv2Dataset", 18)):
        dataset = dota(tmp_path, {"P1": SHIP}, type=kind, metainfo=None)
        assert dataset.classes == CLASSES_OF[kind] and len(dataset.classes) == count
    assert (len(CLASSES_OF["DIORDataset"]), len(HRSC_CLASSES), len(set(HRSC_CLASSES.values()))) == (20, 31, 31)


def test_classes_left_out_on_purpose(tmp_path: Path) -> None:
    dataset = dota(tmp_path, {"P1": SHIP + PLANE + PLANE}, metainfo={"classes": ("ship",), "left_out": ("plane", "x")})
    assert dataset.records[0].instances.labels.tolist() == [0]
    assert any("objects of other classes left out: plane 2" in notice for notice in dataset.notices)
    named = dota(tmp_path, {"P1": SHIP}, metainfo={"classes": "auto", "left_out": "plane"})
    assert named.classes == ("ship",)


@pytest.mark.parametrize(
    ("metainfo", "said"),
    [
        ({"classes": ("plane", "Ship")}, "objects of 'ship' (1), not among the classes of the dataset (plane, Ship)"),
        ({"classes": ("plane", "Ship")}, "did you mean 'Ship'?"),
        ({"classes": ("plane",)}, "metainfo=dict(left_out=('ship',))"),
        ({"classes": ("ship", "plane", "ship")}, "metainfo.classes: 'ship' occurs 2 times"),
        ({"classes": ()}, "metainfo.classes: need at least one name"),
        ({"classes": ("ship", 3)}, "metainfo.classes: need names, such as ('plane', 'ship'), got ('ship', 3)"),
        ({"classes": {"ship": 0}}, "metainfo.classes: need names"),
        ({"classes": "classes.txt"}, "metainfo.classes: no such file: DATA/classes.txt"),
        ({"classes": "bad.names"}, "metainfo.classes: DATA/bad.names: cannot be read"),
        ({"classes": "empty.txt"}, "metainfo.classes: need at least one name"),
        ({"classes": "auto", "left_out": ("ship",)}, "no classes"),
        ({"CLASSES": ("ship",)}, "metainfo takes no 'CLASSES'; did you mean 'classes'?"),
        ({"classes": ("ship",), "left_out": ("ship",)}, "'ship' is in both classes and left_out"),
        (("ship",), "metainfo: need dict(classes=...), got ('ship',)"),
    ],
)
def test_classes_that_are_wrong(tmp_path: Path, metainfo: Any, said: str) -> None:
    (tmp_path / "bad.names").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.txt").write_text("\n")
    assert said in problem(tmp_path, metainfo=metainfo)


def test_absent_images_are_left_out_and_counted(tmp_path: Path) -> None:
    dataset = dota(
        tmp_path, {"P1": SHIP, "P2": PLANE, "P3": SHIP}, ["P1.png", "P3.JPG", "P9.png", "._P2.png", "P2.xml"]
    )
    assert [record.path.name for record in dataset.records] == ["P1.png", "P3.JPG"]
    assert any("1 of 3 annotated images are left out: not in" in n and n.endswith("first P2") for n in dataset.notices)
    assert any("1 images have no annotations in" in notice for notice in dataset.notices)


def test_the_suffix_tells_files_apart(tmp_path: Path) -> None:
    labels, images = {"P1": SHIP}, ["P1.png", "P1.jpg"]
    assert "P1.jpg and P1.png: choose one with img_suffix" in problem(tmp_path, labels, images)
    assert dota(tmp_path, labels, images, img_suffix="jpg").records[0].path.name == "P1.jpg"
    assert dota(tmp_path, labels, images, img_suffix=".PNG").records[0].path.name == "P1.png"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ann_file": "labels"}, "DATA/labels: no such file or folder: data_root 'DATA' and ann_file 'labels'"),
        ({"data_prefix": {"img_path": "imgs"}}, "DATA/imgs: no such folder: data_root 'DATA' and data_prefix 'imgs'"),
        ({"data_prefix": {"img": "labelTxt/P1.txt"}}, "P1.txt: is not a folder"),
        ({"data_root": "nowhere"}, "nowhere/labelTxt: no such file or folder"),
        ({"data_root": "nowhere"}, "relative paths start at"),
        (
            {"img_suffix": "tif"},
            "none of its 1 images, such as P1, is in DATA/images (img_suffix='tif'), which holds 1",
        ),
        ({"data_prefix": {"sub_data_root": "images"}}, "data_prefix takes no 'sub_data_root'; need dict(img_path="),
        ({"data_prefix": {"img": "images", "img_path": "images"}}, "img and img_path mean the same; keep one"),
        ({"data_prefix": {"img": 3}}, "data_prefix.img: need the path of a folder, got 3"),
        ({"data_prefix": "images"}, "data_prefix: need dict(img_path='folder/'), got 'images'"),
        ({"ann_file": ""}, "ann_file: training needs annotations"),
        ({"ann_file": ["labelTxt"]}, "ann_file: need a path, got ['labelTxt']"),
        ({"annfile": "x"}, "DOTADataset takes no 'annfile': did you mean 'ann_file'?"),
        (
            {"filter_cfg": {"filter_empty": True}},
            "filter_cfg takes no 'filter_empty'; did you mean 'filter_empty_gt'?",
        ),
        ({"filter_cfg": {"min_size": "32"}}, "filter_cfg.min_size: need pixels, got '32'"),
        ({"filter_cfg": {"filter_empty_gt": 1}}, "filter_cfg.filter_empty_gt: need True or False, got 1"),
        ({"filter_cfg": True}, "filter_cfg: need dict(filter_empty_gt=True), got True"),
        ({"indices": 0}, "indices: need the number of images wanted, got 0"),
        ({"lazy_init": True}, "lazy_init: datasets are read when they are made"),
        ({"backend_args": {"backend": "s3"}}, "backend_args: only files of this machine are read"),
        ({"pipeline": [{"scale": 3}]}, "pipeline.0: need dict(type=...), got {'scale': 3}"),
        ({"pipeline": None}, "pipeline: need a list of dict(type=...), got None"),
        ({"data_root": 5}, "data_root: need a path, got 5"),
        ({"img_suffix": 3}, "img_suffix: need a suffix, got 3"),
        ({"test_mode": "yes"}, "need test_mode True or False"),
        ({"diff_thr": "a"}, "diff_thr a number, got False and 'a'"),
        ({"pipeline": [LOAD, FLIP]}, "pipeline: needs LoadAnnotations"),
        ({"pipeline": [OBJECTS, FLIP]}, "pipeline: needs LoadImageFromFile"),
        ({"pipeline": [LOAD, RESIZE, OBJECTS]}, "pipeline.2: LoadAnnotations must come before Resize"),
        ({"pipeline": [OBJECTS, FLIP, LOAD]}, "pipeline.2: LoadImageFromFile must come before RandomFlip"),
        ({"pipeline": [LOAD, OBJECTS, FLIP], "test_mode": True}, "pipeline.2: RandomFlip is for training"),
        ({"backend_args": "s3"}, "backend_args: only files of this machine are read"),
        ({"file_client_args": {"backend": "petrel"}}, "file_client_args: only files of this machine are read"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    assert said in problem(tmp_path, **settings)


def test_settings_of_mmengine_that_change_nothing(tmp_path: Path) -> None:
    same = {"serialize_data": False, "lazy_init": False, "max_refetch": 5, "backend_args": {"backend": "local"}}
    assert len(dota(tmp_path, {"P1": SHIP}, **same)) == 1
    assert len(dota(tmp_path, {"P1": SHIP}, file_client_args={"backend": "disk"})) == 1


def test_pipelines_as_mmrotate_writes_them(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/P1.png"), np.zeros((100, 160, 3), np.uint8))
    convert = {"type": "ConvertBoxType", "box_type_mapping": {"gt_bboxes": "rbox"}}
    rotate = {"type": "RandomRotate", "prob": 0.5, "angle_range": 180, "rect_obj_labels": [9, 11]}
    pad = {"type": "mmdet.Pad", "size": (80, 80), "pad_val": {"img": (114, 114, 114)}}
    pack = {"type": "mmdet.PackDetInputs", "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape")}
    training = dota(tmp_path, {"P1": SHIP}, pipeline=[LOAD, OBJECTS, convert, RESIZE, FLIP, rotate, pad, pack])
    assert training.sample(0, np.random.default_rng(0)).size == (80, 80)
    testing = dota(tmp_path, {"P1": SHIP}, pipeline=[LOAD, RESIZE, pad, OBJECTS, convert, pack], test_mode=True)
    sample = testing.sample(0, np.random.default_rng(0))
    assert (
        sample.size == (80, 80)
        and sample.image[-1, 0].tolist() == [114] * 3
        and np.diag(sample.matrix).tolist() == [0.5, 0.5, 1]
    )
    assert sample.instances.boxes.tolist() == training.record(0).instances.quads.tolist()


def test_nothing_left(tmp_path: Path) -> None:
    said = problem(tmp_path, {"P1": "", "P2": FLAT}, filter_cfg={"filter_empty_gt": True})
    assert "filter_cfg leaves none of its 2 images: 2 without an object" in said
    assert "no .txt or .xml file in it" in problem(tmp_path / "images", {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 0.8 0.5 0.8 0.5 0.8 0.5 0.8 0.5\n", "P1.txt:1: class missing"),
        (SHIP + "10 10 50 10 50 40 10 forty ship 0\n", "P1.txt:2"),
        (SHIP + "10 10 50 10 50 40 10 nan ship 0\n", "P1.txt:2"),
    ],
)
def test_files_that_are_damaged(tmp_path: Path, text: str, said: str) -> None:
    assert said in problem(tmp_path, {"P1": text})


def test_no_image_at_all(tmp_path: Path) -> None:
    assert "which holds no file" in problem(tmp_path, {"P1": SHIP}, [])
    for label in (tmp_path / "labelTxt").iterdir():
        label.unlink()
    assert "no image in it" in problem(tmp_path, {}, [], ann_file="", test_mode=True)


def test_images_without_annotations(tmp_path: Path) -> None:
    dataset = dota(tmp_path, {}, ["b.png", "a.jpeg", "note.txt"], ann_file="", test_mode=True)
    assert [record.name for record in dataset.records] == ["a", "b"] and dataset.classes == ("plane", "ship")
    found = dataset.annotations()
    assert found.images == ["a", "b"] and found.quads.shape == (0, 8) and found.classes == ["plane", "ship"]


def test_small_images_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name, shape in (("P1", (40, 20)), ("P2", (40, 32)), ("P3", (8, 90))):
        cv2.imwrite(str(tmp_path / f"images/{name}.png"), np.zeros((*shape, 3), np.uint8))
    assert image_size(tmp_path / "images/P1.png") == (40, 20)
    dataset = dota(tmp_path, {"P1": SHIP, "P2": SHIP, "P3": "", "P4": ""}, filter_cfg={"min_size": 32})
    # Of P4, which is no image, nobody knows the size; reading it will say what is wrong.
    assert [record.name for record in dataset.records] == ["P2", "P4"]
    assert "2 more with a side below 32" in " ".join(dataset.notices)
    assert image_size(tmp_path / "images/P4.png") is None


def test_the_size_is_that_of_the_image_as_loaded(tmp_path: Path) -> None:
    from PIL import Image

    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=turned)
    loaded = cv2.imread(str(tmp_path / "turned.jpg"))
    assert loaded is not None and image_size(tmp_path / "turned.jpg") == loaded.shape[:2] == (30, 20)


def test_the_first_images(tmp_path: Path) -> None:
    dataset = dota(tmp_path, {"P2": SHIP, "P1": SHIP, "P3": SHIP}, indices=2)
    assert [record.name for record in dataset.records] == ["P1", "P2"]


def test_a_sample_goes_through_the_pipeline(tmp_path: Path) -> None:
    def load(sample: Sample, rng: np.random.Generator) -> Sample:
        sample.instances.boxes = sample.record.instances.quads + rng.uniform()
        return sample

    def double(sample: Sample, rng: np.random.Generator) -> Sample:
        sample.instances.boxes *= 2
        return sample

    dataset = dota(tmp_path, {"P1": SHIP}, pipeline=[load, double])
    sample = dataset.sample(0, np.random.default_rng(3))
    shift = np.random.default_rng(3).uniform()
    np.testing.assert_allclose(sample.instances.boxes, 2 * (dataset.record(0).instances.quads + shift))
    assert dataset.record(0).instances.quads[0, 0] == 10 and sample.record is dataset.records[0]


HRSC_OBJECT = (
    "<HRSC_Object><Class_ID>{kind}</Class_ID><difficult>0</difficult><mbox_cx>50</mbox_cx><mbox_cy>40</mbox_cy>"
    "<mbox_w>30</mbox_w><mbox_h>{height}</mbox_h><mbox_ang>0.5</mbox_ang></HRSC_Object>"
)


HRSC_FOLDERS = {"data_prefix": {"sub_data_root": "FullDataSet/"}}
DIAMOND = ((20, 10), (30, 20), (20, 30), (10, 20))


def hrsc(folder: Path, objects: dict[str, list[str]], **settings: Any) -> Dataset:
    """HRSC2016 with the kinds of ships of each image; the n-th object of an image is n + 1 high."""
    for inner in ("FullDataSet/Annotations", "FullDataSet/AllImages", "ImageSets"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
    for name, kinds in objects.items():
        things = "".join(HRSC_OBJECT.format(kind=kind, height=i + 1) for i, kind in enumerate(kinds))
        text = f"<HRSC_Image><HRSC_Objects>{things}</HRSC_Objects></HRSC_Image>"
        (folder / f"FullDataSet/Annotations/{name}.xml").write_text(text)
        (folder / f"FullDataSet/AllImages/{name}.bmp").touch()
    (folder / "ImageSets/train.txt").write_text("".join(f"{name}\n" for name in reversed(objects)))
    config = dict(type="HRSCDataset", data_root=str(folder), ann_file="ImageSets/train.txt", **HRSC_FOLDERS)
    dataset = build({**config, **settings})
    assert isinstance(dataset, Dataset)
    return dataset


def test_hrsc(tmp_path: Path) -> None:
    objects = {"2": ["100000013", "100000001"], "1": [], "3": ["100000020"]}
    dataset = hrsc(tmp_path, objects, filter_cfg={"filter_empty_gt": True})
    assert dataset.classes == ("ship",) and [len(record.instances.labels) for record in dataset.records] == [2, 1]
    assert dataset.records[0].path == tmp_path / "FullDataSet/AllImages/2.bmp"
    classwise = hrsc(tmp_path, objects, classwise=True)
    kinds = [[classwise.classes[label] for label in record.instances.labels] for record in classwise.records]
    assert kinds == [[], ["Kuznetsov", "ship"], ["Car carrier([]==[])"]] and len(classwise.classes) == 31
    assert area(classwise.records[1].instances.quads).round(6).tolist() == [30, 60]


def test_hrsc_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"objects of '100000099' \(1\), not among the classes of the dataset .*left_out=\('100000099',\)",
    ):
        hrsc(tmp_path, {"1": ["100000099"]}, classwise=True)
    with pytest.raises(ValueError, match="classwise: need one Class_ID in each HRSC_Object"):
        hrsc(tmp_path, {"1": [""]}, classwise=True)
    with pytest.raises(ValueError, match=r"FullDataSet/Boxes: no such folder: .* and ann_subdir"):
        hrsc(tmp_path, {"1": []}, ann_subdir="Boxes")
    with pytest.raises(ValueError, match=r"FullDataSet/Pictures: no such folder: .* and img_subdir"):
        hrsc(tmp_path, {"1": []}, img_subdir="Pictures")
    with pytest.raises(ValueError, match=r"data_prefix takes no 'img_path'; need dict\(sub_data_root="):
        hrsc(tmp_path, {"1": []}, data_prefix={"img_path": "x"})
    (tmp_path / "ImageSets/other.txt").write_text("7\n1\n")
    with pytest.raises(ValueError, match=r"other.txt:1: image '7' has no annotation"):
        hrsc(tmp_path, {"1": []}, ann_file="ImageSets/other.txt")
    (tmp_path / "FullDataSet/Annotations/1.xml").write_text("<HRSC_Image><HRSC_Objects>")
    with pytest.raises(ValueError, match="is not well-formed xml"):
        build(dict(type="HRSCDataset", data_root=str(tmp_path), ann_file="ImageSets/train.txt", **HRSC_FOLDERS))


def dior(folder: Path, names: list[str], **settings: Any) -> Dataset:
    """DIOR-R with one image of these objects, each a diamond."""
    inner = folder / "Annotations/Oriented Bounding Boxes"
    for path in (inner, folder / "JPEGImages", folder / "ImageSets"):
        path.mkdir(parents=True, exist_ok=True)
    corners = dict(zip(("left_top", "right_top", "right_bottom", "left_bottom"), DIAMOND, strict=True))
    box = "".join(f"<x_{key}>{x}</x_{key}><y_{key}>{y}</y_{key}>" for key, (x, y) in corners.items())
    objects = "".join(f"<object><name>{name}</name><robndbox>{box}</robndbox></object>" for name in names)
    (inner / "00001.xml").write_text(f"<annotation>{objects}</annotation>")
    (folder / "JPEGImages/00001.jpg").touch()
    (folder / "ImageSets/train.txt").write_text("00001\n")
    prefix = {"img_path": "JPEGImages"}
    config = {"type": "DIORDataset", "data_root": str(folder), "ann_file": "ImageSets/train.txt", "data_prefix": prefix}
    dataset = build({**config, **settings})
    assert isinstance(dataset, Dataset)
    return dataset


def test_dior(tmp_path: Path) -> None:
    names = ["Expressway-Service-area", "ship", "expressway-service-area", "windmill"]
    dataset = dior(tmp_path, names)
    assert dataset.classes == CLASSES_OF["DIORDataset"] and dataset.records[0].instances.labels.tolist() == [
        6,
        13,
        6,
        19,
    ]
    assert dataset.records[0].instances.quads[0].tolist() == [20, 10, 30, 20, 20, 30, 10, 20]
    horizontal = dior(tmp_path, names, ann_type="hbb")
    assert horizontal.records[0].instances.quads[0].tolist() == [10, 10, 30, 10, 30, 30, 10, 30]
    assert dior(tmp_path, names, metainfo={"classes": "auto"}).classes == (
        "expressway-service-area",
        "ship",
        "windmill",
    )
    with pytest.raises(ValueError, match=r"objects of 'boat' \(1\), not among the classes of the dataset"):
        dior(tmp_path, ["boat"])
    with pytest.raises(ValueError, match="ann_type: need 'obb' or 'hbb', got 'rbb'"):
        dior(tmp_path, names, ann_type="rbb")
    with pytest.raises(ValueError, match=r"Boxes: no such folder: data_root .* and ann_subdir 'Boxes'"):
        dior(tmp_path, names, ann_subdir="Boxes")


def test_real_dior_and_hrsc(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/formats/mmrotate_tests"
    (tmp_path / "one.txt").write_text("00001\n")
    settings = {"data_root": str(folder / "dior"), "ann_file": str(tmp_path / "one.txt")}
    record = build(dict(type="DIORDataset", data_prefix={"img_path": "JPEGImages"}, **settings)).record(0)
    assert record.path.is_file() and record.instances.labels.tolist() == [CLASSES_OF["DIORDataset"].index("golffield")]
    assert record.instances.quads.tolist() == [[133, 237, 684, 237, 684, 672, 133, 672]]

    (tmp_path / "two.txt").write_text("100000006\n")
    settings = {"data_root": str(folder / "hrsc"), "ann_file": str(tmp_path / "two.txt")}
    with pytest.raises(ValueError, match="AllImages: no such folder"):
        build(dict(type="HRSCDataset", **HRSC_FOLDERS, **settings))
    (tmp_path / "100000006.bmp").touch()
    settings |= {"img_subdir": str(tmp_path), "classwise": True}
    dataset = build(dict(type="HRSCDataset", **HRSC_FOLDERS, **settings))
    assert [dataset.classes[label] for label in dataset.record(0).instances.labels] == ["Kuznetsov"]


@pytest.mark.parametrize(
    ("name", "records", "objects"),
    [("lin_sinorodin/val", 2, 162), ("devkit_example", 2, 600), ("s2anet_example", 1, None)],
)
def test_real_dota(shared: Path, name: str, records: int, objects: int | None) -> None:
    folder = shared / "data/dota_whole" / name
    config = {
        "type": "DOTADataset",
        "data_root": str(folder),
        "ann_file": "labelTxt",
        "data_prefix": {"img_path": "images"},
    }
    dataset = build(dict(**config, test_mode=True))
    assert len(dataset) == records and "annotated images are left out" in " ".join(dataset.notices)
    whole, kept = read_annotations(folder / "labelTxt"), dataset.annotations()
    assert objects in (None, len(kept.quads))
    for i, image in enumerate(kept.images):
        there = whole.image == whole.images.index(image)
        np.testing.assert_array_equal(kept.quads[kept.image == i], whole.quads[there])
        names = [whole.classes[label] for label in whole.label[there]]
        assert [kept.classes[label] for label in kept.label[kept.image == i]] == names
    for record in dataset.records:
        height, width = image_size(record.path) or (0, 0)
        inside = (record.instances.quads.reshape(-1, 2) <= (width, height)).all(axis=1)
        assert inside.mean() > 0.99


def test_real_patches(shared: Path) -> None:
    folder = shared / "data/dota_patches"
    config = {"type": "DOTADataset", "data_root": str(folder / "mmrotate"), "data_prefix": {"img_path": "images"}}
    dataset = build(dict(**config, ann_file="labelTxt"))
    assert [record.name for record in dataset.records] == ["P0004__1__0___0", "P2805__1024__0___0"]
    yolo = dict(config, data_root=str(folder / "dota8"), data_prefix={"img_path": "images/train"})
    with pytest.raises(ValueError, match=r"P0861__1024__0___1648.txt:1: class missing"):
        build(dict(**yolo, ann_file="labels/train"))
    alone = build(dict(**yolo, ann_file="", test_mode=True))
    assert len(alone) == 4 and alone.classes == CLASSES_OF["DOTADataset"]


def test_every_format_of_annotations(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("P1 10 10 50 10 50 40 10 40 ship 0\nP2 60 10 90 20 80 50 50 40 plane 0\n")
    dataset = dota(tmp_path, {"P1": SHIP, "P2": PLANE}, ann_file="all.txt")
    assert [record.instances.labels.tolist() for record in dataset.records] == [[1], [0]]
    overlap = box_iou_aligned(
        dataset.records[0].instances.quads, dota(tmp_path, {"P1": SHIP}).records[0].instances.quads
    )
    assert overlap.tolist() == [1.0]


CONFIGS = sorted((Path(__file__).parents[2] / "configs/_base_/datasets").glob("*.py"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_config_says_what_its_datasets_take(file: Path) -> None:
    checked = 0

    def check(config: Any, where: str) -> None:
        nonlocal checked
        if isinstance(config, list | tuple):
            for i, inner in enumerate(config):
                check(inner, f"{where}.{i}")
        elif isinstance(config, dict):
            if str(config.get("type")).endswith("Dataset"):
                keywords = {key: value for key, value in config.items() if key != "type"}
                check_keywords(resolve(config["type"]), keywords, where)
                checked += 1
            for key, inner in config.items():
                check(inner, f"{where}.{key}")

    check(load(file), file.stem)
    assert checked >= 3
