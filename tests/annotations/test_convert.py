"""Conversion of annotations: round trips on random and real files, and what the report says is lost."""

from __future__ import annotations

import json
import os
import re
import struct
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from rotx.annotations.convert import ConversionReport, convert, read
from rotx.annotations.convert.rectangles import rectangles
from rotx.annotations.convert.yaml_names import read_names
from rotx.annotations.files import FormatError
from rotx.annotations.formats import read_annotations
from rotx.geometry import area, rbox_to_quad
from rotx.records import InstanceTable

SHARED = Path(os.environ.get("ROTX_SHARED", Path(__file__).parents[3] / "shared")) / "data"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="needs real annotations: set ROTX_SHARED")

ANY_QUAD = ("coco", "yolo", "voc", "labelme")
ALL = (*ANY_QUAD, "rolabelimg", "hrsc")
CLASSES = ("plane", "small-vehicle", "é<&>\"'", "12", "[a,b]", "#x", "a:b", "it's")


def write_labels(folder: Path, rng: np.random.Generator, kind: str) -> Path:
    """DOTA files of random objects; some images have none. ``kind``: any quads, boxes, or boxes of ships."""
    folder.mkdir(parents=True)
    classes = ["ship"] if kind == "ships" else CLASSES
    for i in range(6):
        count = 0 if i == 3 else int(rng.integers(1, 12))
        boxes = rng.uniform((-50, -50, 1, 1, -7), (20_000, 15_000, 3000, 3000, 7), (count, 5))
        quads = rng.uniform(-500, 20_500, (count, 8)) if kind == "any" else rbox_to_quad(boxes)
        if kind == "any" and count > 1:
            quads[0], quads[1] = np.round(quads[0]), 7.0  # whole numbers; no area
        rows = [" ".join(f"{v:.4f}" for v in quad) for quad in quads]
        lines = [f"{row} {rng.choice(classes)} {rng.integers(0, 3)}\n" for row in rows]
        (folder / f"P{i} é.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def write_images(folder: Path, names: list[str], rng: np.random.Generator) -> Path:
    """An image of a size of its own for each name, up to 20,000 pixels wide: files with holes, quick to write."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        width, height = rng.integers((8_000, 8_000), (20_001, 15_001)).tolist()
        row = (width + 31) // 32 * 4
        head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 62) + struct.pack(
            "<IiiHHIIiiII", 40, width, height, 1, 1, *[0] * 6
        )
        with (folder / f"{name}.bmp").open("wb") as file:
            file.write(head + bytes(4) + b"\xff" * 4)
            file.truncate(62 + row * height)
    return folder


def there_and_back(
    labels: Path, to: str, folder: Path, rng: np.random.Generator
) -> tuple[ConversionReport, InstanceTable]:
    """DOTA to a format and back to DOTA."""
    names = [path.stem for path in labels.glob("*.txt")]
    middle = folder / ("a.json" if to == "coco" else "a")
    images = write_images(folder / "images", names, rng)
    report = convert(labels, middle, to, images=images)
    convert(middle, folder / "back", "dota", images=images if to == "yolo" else None)
    return report, read_annotations(folder / "back")


def assert_same(found: InstanceTable, want: InstanceTable, difficult: bool = True) -> None:
    """The same images and objects in the same order, corners within a hundredth of a pixel."""
    assert found.images == want.images
    np.testing.assert_array_equal(found.image, want.image)
    assert [found.classes[i] for i in found.label] == [want.classes[i] for i in want.label]
    np.testing.assert_array_equal(found.difficult, want.difficult if difficult else 0 * want.difficult)
    np.testing.assert_allclose(found.quads, want.quads, rtol=0, atol=0.01)


def count_in(lines: list[str], pattern: str) -> int:
    """The number at the start of the one line that says so."""
    (line,) = [line for line in lines if re.search(pattern, line)]
    return int(line.split()[0].replace(",", ""))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("to", ANY_QUAD)
def test_any_quads_there_and_back(to: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    want = read_annotations(write_labels(tmp_path / "labelTxt", rng, "any"))
    report, found = there_and_back(tmp_path / "labelTxt", to, tmp_path, rng)
    assert_same(found, want, difficult=to != "yolo")
    assert (report.images, report.empty, report.objects) == (6, 1, len(want.quads))
    names = Counter(want.classes[i] for i in want.label)
    assert report.classes == names
    if to == "yolo":
        assert count_in(report.lost, "difficult flags: lost") == np.count_nonzero(want.difficult)
    else:
        assert report.lost == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("to", ["rolabelimg", "hrsc"])
def test_rectangles_there_and_back(to: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    kind = "ships" if to == "hrsc" else "boxes"
    want = read_annotations(write_labels(tmp_path / "labelTxt", rng, kind))
    report, found = there_and_back(tmp_path / "labelTxt", to, tmp_path, rng)
    assert report.lost == []
    if to == "hrsc":  # long side first, angles within half a turn: another corner is the first
        starts = np.stack([np.roll(found.quads, -2 * k, axis=1) for k in range(4)])
        best = np.abs(starts - want.quads).max(axis=2).argmin(axis=0)
        found.quads[:] = starts[best, np.arange(len(best))]
    assert_same(found, want)


@pytest.mark.parametrize("to", ["rolabelimg", "hrsc"])
def test_quads_that_are_no_rectangles_are_counted_and_become_least_rectangles(to: str, tmp_path: Path) -> None:
    shapely = pytest.importorskip("shapely")
    rng = np.random.default_rng(1)
    labels = tmp_path / "labelTxt"
    labels.mkdir()
    quads = rng.uniform(0, 1000, (50, 8)).round(3)
    quads[:10] = rbox_to_quad(rng.uniform((0, 0, 9, 9, -7), (900, 900, 200, 200, 7), (10, 5)))
    quads[10:20] = quads[:10].reshape(-1, 4, 2)[:, ::-1].reshape(-1, 8)  # the same, turning the other way
    lines = [" ".join(map(repr, quad)) + " ship 0\n" for quad in quads.tolist()]
    (labels / "P1.txt").write_text("".join(lines))
    report, found = there_and_back(labels, to, tmp_path, rng)
    assert count_in(report.lost, "are not rectangles") == 30
    for quad, rectangle in zip(quads, found.quads, strict=True):
        points = shapely.MultiPoint(quad.reshape(4, 2))
        least = shapely.minimum_rotated_rectangle(points)
        assert shapely.Polygon(rectangle.reshape(4, 2)).buffer(1e-3).covers(points)
        assert area(rectangle[None])[0] == pytest.approx(least.area, rel=1e-4, abs=1e-2)
    said = float(re.search(r"up to ([\d,.]+) px", report.lost[0])[1].replace(",", ""))
    # Whatever corner is the first, none of the four can be nearer than the nearest of the rectangle's.
    apart = np.linalg.norm(quads.reshape(-1, 4, 1, 2) - found.quads.reshape(-1, 1, 4, 2), axis=3).min(axis=2).max()
    assert said >= apart - 0.01 and said < 1500


def test_rectangles_keep_their_first_corner() -> None:
    rng = np.random.default_rng(0)
    boxes = rng.uniform((0, 0, 0, 0, -7), (900, 900, 200, 200, 7), (200, 5))
    boxes[:20, 2], boxes[20:40, 3], boxes[40:50, 2:4] = 0, 0, 0
    quads = rbox_to_quad(boxes)
    found, moved = rectangles(quads)
    np.testing.assert_allclose(found, quads, atol=1e-9)
    assert moved.max() < 1e-9
    found, moved = rectangles(np.zeros((0, 8)))
    assert found.shape == (0, 8) and moved.shape == (0,)


REAL = {
    "whole": "dota_whole/devkit_example/labelTxt",
    "train": "dota_whole/lin_sinorodin/train/labelTxt",
    "split": "dota_whole/lin_sinorodin/split/labelTxt",
    "example": "dota_whole/s2anet_example/labelTxt",
    "patches": "dota_patches/mmrotate/labelTxt",
}


@needs_data
@pytest.mark.parametrize("to", ANY_QUAD)
@pytest.mark.parametrize("name", REAL)
def test_real_dota_there_and_back(name: str, to: str, tmp_path: Path) -> None:
    labels = SHARED / REAL[name]
    want = read_annotations(labels)
    report, found = there_and_back(labels, to, tmp_path, np.random.default_rng(0))
    assert_same(found, want, difficult=to != "yolo")
    headers = sum(b"gsd:" in path.read_bytes().lower() for path in labels.glob("*.txt"))
    said = [line for line in report.lost if "headers" in line]
    assert bool(said) == bool(headers) and (not said or count_in(said, "headers") == headers)
    difficult = [line for line in report.lost if "difficult" in line]
    assert bool(difficult) == (to == "yolo" and want.difficult.any())


@needs_data
def test_real_dota_as_rolabelimg_says_what_moved(tmp_path: Path) -> None:
    labels = SHARED / REAL["whole"]
    want = read_annotations(labels)
    report, found = there_and_back(labels, "rolabelimg", tmp_path, np.random.default_rng(0))
    moved = np.hypot(*np.moveaxis((found.quads - want.quads).reshape(-1, 4, 2), 2, 0)).max(axis=1)
    backwards = area(want.quads) != 0
    assert count_in(report.lost, "are not rectangles") >= (moved[backwards] > 0.02).sum() * 0.9
    assert len(found.quads) == len(want.quads)


@needs_data
def test_dior_r_is_what_is_known_of_it(tmp_path: Path) -> None:
    report = convert(
        SHARED / "dior_r_annotations/dior_r_xml_full.tar.xz/annotations/oriented", tmp_path / "dior.json", "coco"
    )
    assert (report.images, report.objects, len(report.classes), report.lost) == (23_463, 192_518, 20, [])
    assert (report.classes["ship"], report.classes["vehicle"]) == (62_537, 40_365)
    coco = json.loads((tmp_path / "dior.json").read_bytes())
    names = {image["id"]: image["file_name"].removesuffix(".jpg") for image in coco["images"]}
    assert len(names) == 23_463 and min(min(i["width"], i["height"]) for i in coco["images"]) > 700
    classes = {category["id"]: category["name"] for category in coco["categories"]}
    things = coco["annotations"]
    assert [thing["id"] for thing in things] == list(range(1, 192_519))
    found = Counter((names[t["image_id"]], classes[t["category_id"]], *t["segmentation"][0]) for t in things)
    # The same objects in files that somebody else has made of the xml, one line each.
    want: Counter[tuple[object, ...]] = Counter()
    for part in ("train", "val", "test"):
        flat = read_annotations(SHARED / f"dior_r_annotations/dior_r_{part}.txt.gz")
        images, labels = [flat.images[i] for i in flat.image], [flat.classes[i] for i in flat.label]
        want.update((a, b, *quad) for a, b, quad in zip(images, labels, flat.quads.tolist(), strict=True))
    assert found == want


@needs_data
def test_hit_uav_from_json_and_from_xml(tmp_path: Path) -> None:
    folder = SHARED / "hit_uav"
    total: Counter[str] = Counter()
    for part in ("train", "val", "test"):
        report = convert(folder / f"rotate_json/annotations/{part}.json", tmp_path / part, "dota")
        total.update(report.classes)
        assert any("sizes of images" in line for line in report.lost)
    known = {"Person": 12_312, "Car": 7_311, "Bicycle": 4_980, "OtherVehicle": 148, "DontCare": 148}
    assert total == known
    archive = folder / "rotate_xml/Annotations_2898.tar.xz"
    report = convert(archive, tmp_path / "xml.json", "coco")
    assert report.images == 2_898 and report.objects == 24_899
    from_xml, from_json = read(tmp_path / "xml.json"), read_annotations(tmp_path / "val")
    rows = [from_xml.images.index(name) for name in from_json.images]
    for row, i in zip(rows, range(len(from_json.images)), strict=True):
        a, b = from_xml.quads[from_xml.image == row], from_json.quads[from_json.image == i]
        assert len(a) == len(b)


@needs_data
def test_dota8_with_its_own_names_and_images(tmp_path: Path) -> None:
    source = SHARED / "dota_patches/dota8"
    report = convert(source, tmp_path / "out", "dota")
    assert (report.images, report.objects) == (8, 133)
    assert "2 folders (train, val): merged" in report.lost[0]
    assert any("'storage tank' is now 'storage-tank'" in line for line in report.lost)
    found = read_annotations(tmp_path / "out")
    name = "P1053__1024__0___90"
    line = (source / f"labels/train/{name}.txt").read_text().splitlines()[0].split()
    first = found.quads[found.image == found.images.index(name)][0]
    np.testing.assert_allclose(first, [1024 * float(v) for v in line[1:]], atol=1e-6)
    assert convert(source / "labels/val", tmp_path / "val", "voc").images == 4


def test_other_programs_can_read_what_is_written(tmp_path: Path) -> None:
    mask = pytest.importorskip("pycocotools.coco")
    rng = np.random.default_rng(0)
    labels = write_labels(tmp_path / "labelTxt", rng, "boxes")
    data = read_annotations(labels)
    images = write_images(tmp_path / "images", data.images, rng)
    for to in ("coco", "voc", "rolabelimg"):
        convert(labels, tmp_path / ("coco.json" if to == "coco" else to), to, images=images)
    coco = mask.COCO(tmp_path / "coco.json")
    things = coco.loadAnns(coco.getAnnIds())
    np.testing.assert_allclose([thing["area"] for thing in things], area(data.quads), rtol=1e-5)
    x, y = data.quads[:, ::2], data.quads[:, 1::2]
    boxes = np.column_stack([x.min(1), y.min(1), np.ptp(x, axis=1), np.ptp(y, axis=1)])
    np.testing.assert_allclose([thing["bbox"] for thing in things], boxes, atol=1e-5)
    assert coco.loadImgs([1])[0]["file_name"] == f"{data.images[0]}.bmp"
    for to, tags in (("voc", 8), ("rolabelimg", 5)):
        root = ET.parse(tmp_path / to / f"{data.images[0]}.xml").getroot()
        shapes = root.findall("object/robndbox")
        assert [len(shape) for shape in shapes] == [tags] * (data.image == 0).sum()
        assert root.findtext("filename") == f"{data.images[0]}.bmp"
        names = [data.classes[i] for i in data.label[data.image == 0]]
        assert [thing.findtext("name") for thing in root.iter("object")] == names


def test_what_coco_says_beyond_objects_is_counted(tmp_path: Path) -> None:
    square = [0, 0, 10, 0, 10, 10, 0, 10]
    things = [
        {"segmentation": [square], "iscrowd": 1, "score": 0.5},
        {"segmentation": [[*square, 5, 20]], "attributes": {"a": 1}},
        {"bbox": [0, 0, 10, 20], "difficult": 2},
        {"bbox": [50, 50, 10, 20, 0.5], "ignore": 1, "difficult": True},
    ]
    for i, thing in enumerate(things):
        thing.update(id=i, image_id=7, category_id=3)
    images = [{"id": 7, "file_name": "a.png", "width": 100, "height": 50}, {"id": 8, "file_name": "b.png"}]
    record = {"images": images, "annotations": things, "categories": [{"id": 3, "name": "ship"}]}
    source = tmp_path / "in.json"
    source.write_text(json.dumps(record))
    report = convert(source, tmp_path / "dota", "dota")
    assert count_in(report.lost, "polygons or masks: kept as minimum-area rectangles") == 1
    assert count_in(report.lost, "scores: not kept") == 1
    assert count_in(report.lost, "entries of objects: not kept: 'attributes.a' 1") == 1
    assert count_in(report.lost, "iscrowd or ignore flags: written as difficult") == 2
    assert report.empty == 1
    assert read_annotations(tmp_path / "dota").difficult.tolist() == [1, 0, 2, 1]
    # COCO itself keeps the flags apart.
    images[1].update(width=10, height=10)
    source.write_text(json.dumps(record))
    convert(source, tmp_path / "out.json", "coco")
    written = json.loads((tmp_path / "out.json").read_bytes())["annotations"]
    assert [(t["iscrowd"], t["difficult"]) for t in written] == [(1, 0), (0, 0), (0, 2), (1, 1)]


def test_shapes_of_labelme_and_what_is_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    square = [[0, 0], [10, 0], [10, 10], [0, 10]]
    shapes = [
        {"label": "a", "points": square, "shape_type": "rotation", "direction": 0.5, "difficult": True},
        {"label": "b", "points": [[1, 2], [3, 4]], "shape_type": "rectangle"},
        {"label": "a", "points": [*square, [5, 20]], "flags": {"truncated": True, "wet": True}, "group_id": 7},
    ]
    record = {"shapes": shapes, "imagePath": "..\\x\\1.jpg", "imageWidth": 30, "imageHeight": 20}
    (folder / "1.json").write_text(json.dumps(record))
    report = convert(folder, tmp_path / "out", "voc")
    assert count_in(report.lost, "polygons without four corners") == 1
    assert count_in(report.lost, "entries or flags of objects: not kept: 'group_id' 1, 'wet' 1") == 2
    found = read_annotations(tmp_path / "out")
    assert found.difficult.tolist() == [1, 0, 2] and found.quads[1].tolist() == [1, 2, 3, 2, 3, 4, 1, 4]
    assert ET.parse(tmp_path / "out/1.xml").findtext("filename") == "1.jpg"


@pytest.mark.parametrize(
    "text",
    [
        "names: [a, 'b c', \"d, e\"]",
        "names: [a,\n  b c,   # a comment\n  'it''s']\nnc: 3",
        "nc: 2\nnames:\n  0: a\n  1: 'b # c'   # no",
        'names:\n- a\n- "b: c"\nother: 1',
        "names:\n  - a\n\n  - b",
        "names: {0: a, 1: 'b, c'}\ntrain: x",
        "names: {1: b, 0: a}",
        "names: {'0': a, \"1\": b}",
        "names:\n  '0': a",
        '"names": [a]',
        "names :\n  0: a",
        "names: []",
        "names: {}",
        "'names':  {}",
        "train: images",
        '{"names": ["a", "b"], "nc": 2}',
        "all: &all [a, b]\nnames: *all",
        "a: &a x y\nnames:\n  0: *a\n  1: |-\n    z",
    ],
)
def test_names_in_yaml_are_those_that_a_library_reads(text: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(text)
    want = yaml.safe_load(text).get("names")
    if isinstance(want, dict):
        want = [name for _, name in sorted((int(number), name) for number, name in want.items())]
    assert read_names(tmp_path / "data.yaml") == want


def test_names_in_yaml_are_taken_as_written(tmp_path: Path) -> None:
    """``no``, ``1`` and dates are names; nothing beside the names is evaluated, nor a second document."""
    file = tmp_path / "data.yaml"
    file.write_text("when: !!python/object/apply:os.abort []\nnames: [no, 1, 2001-01-01, ~, 1e3]\n---\nnames: [x]\n")
    assert read_names(file) == ["no", "1", "2001-01-01", "~", "1e3"]
    file.write_text("names: { broken\n".replace("names", "hostnames"))  # of another program
    assert read_names(file) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("names: file.txt", ":1: names: need a list of names, or names by numbers that count from 0"),
        ("nc: 1\nnames:\n", ":2: names: need a list"),
        ("names:\n  1: a\n  2: b\n", ":2: names: need a list"),
        ("names:\n  ship: 0\n", ":2: names: need a list"),
        ("names:\n  - a\n  - [b, c]\n", ":3: names: need a list"),
        ("names: ['a', '']", ":1: names: need a list"),
        ("names: {[a]: b}", ":1: names: need a list"),
        ("nc: 1\nnames: ['a", ":2: is not valid YAML: found unexpected end of stream"),
        ("names: [a, b}", ":1: is not valid YAML: expected ',' or ']', but got '}'"),
        ("nc: 1\nnames: *a", ":2: is not valid YAML: found undefined alias 'a'"),
        ('names: ["\\UFFFFFFFF"]', ": is not valid YAML: "),
        ("names: [a\0]", ": is not valid YAML: special characters are not allowed"),
        ("names:\n" + "- " * 1000, ": is nested too deeply"),
        # Aliases of aliases: ten to the ninth names, if they were copied.
        (
            "a0: &a0 [x]\n"
            + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
            + "names: *a9",
            ":9: names: need a list",
        ),
        ("names: [" + "'" * 90 + "a", ": is not valid YAML: "),
        ("names:\n" + "- a\n" * (1 << 16), ": holds names in more than 262,144 bytes"),
    ],
)
def test_yaml_that_holds_no_names_is_one_clear_error(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "data.yaml"
    file.write_text(text)
    with pytest.raises(FormatError) as failure:
        read_names(file)
    message = str(failure.value)
    assert message.startswith(str(file)) and reason in message and len(message.splitlines()) == 1


def test_written_yaml_gives_the_names_back(tmp_path: Path) -> None:
    classes = [
        "ship",
        "no",
        "1",
        "a: b",
        "it's",
        '"q"',
        "# c",
        "小型车",
        "🚢",
        "x" * 300,
        "- d",
        "{e}",
        "null",
    ]
    folder = tmp_path / "in"
    folder.mkdir()
    shapes = [{"label": name, "points": [[0, 0], [10, 0], [10, 10], [0, 10]]} for name in classes]
    record = {"shapes": shapes, "imagePath": "1.jpg", "imageWidth": 30, "imageHeight": 20}
    (folder / "1.json").write_text(json.dumps(record))
    convert(folder, tmp_path / "out", "yolo")
    record = yaml.safe_load((tmp_path / "out/data.yaml").read_text(encoding="utf-8"))
    assert sorted(record["names"].values()) == sorted(classes)
    assert read_names(tmp_path / "out/data.yaml") == [name for _, name in sorted(record["names"].items())]


@needs_data
def test_one_file_for_many_images_and_scene_text(tmp_path: Path) -> None:
    report = convert(SHARED / "hrsc_ssdd_gghl/ssdd.txt", tmp_path / "ssdd", "dota")
    assert (report.images, report.objects, report.lost) == (1_160, 2_549, [])
    assert_same(read_annotations(tmp_path / "ssdd"), by_name(read_annotations(SHARED / "hrsc_ssdd_gghl/ssdd.txt")))
    report = convert(SHARED / "scene_text/icdar2015_gt.zip", tmp_path / "icdar", "dota")
    assert (report.images, report.objects) == (500, 5_230)
    assert report.lost == ["5,230 transcriptions: not kept, but '###' as difficult"]
    assert np.count_nonzero(read_annotations(tmp_path / "icdar").difficult) == 3_153


def by_name(found: InstanceTable) -> InstanceTable:
    """The same with the images, and the objects on them, in the order of their names."""
    order = sorted(range(len(found.images)), key=found.images.__getitem__)
    rank = np.argsort(order)[found.image]
    rows = np.argsort(rank, kind="stable")
    arrays = found.quads[rows], "quad", rank[rows], found.label[rows]
    return InstanceTable([found.images[i] for i in order], found.classes, *arrays, difficult=found.difficult[rows])


@needs_data
def test_samples_of_xml_keep_files_and_sizes(tmp_path: Path) -> None:
    samples = SHARED / "formats/mmrotate_tests"
    ship, dior = samples / "hrsc/FullDataSet/Annotations", samples / "dior/Annotations/Oriented Bounding Boxes"
    for source, file, size, count in ((ship, "100000006.bmp", (1172, 816), 1), (dior, "00001.jpg", (800, 800), None)):
        data = read(source)
        assert data.image_files == [file] and data.extents.tolist() == [list(size)]
        assert count is None or len(data.quads) == count
        for to in ANY_QUAD:
            out = tmp_path / f"{file}-{to}.json"
            convert(source, out, to)
            back = read(out, images=write_sized(tmp_path / "sized", file, size) if to == "yolo" else None)
            assert back.extents.tolist() == [list(size)]
            np.testing.assert_allclose(back.quads, data.quads, atol=1e-5)
    assert convert(ship, tmp_path / "hrsc", "hrsc").lost == []
    np.testing.assert_allclose(read_annotations(tmp_path / "hrsc").quads, read_annotations(ship).quads, atol=1e-4)


def write_sized(folder: Path, file: str, size: tuple[int, int]) -> Path:
    """An image of some size and name."""
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / f"{Path(file).stem}.png"), np.zeros((size[1], size[0]), np.uint8))
    return folder
