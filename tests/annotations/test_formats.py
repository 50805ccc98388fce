"""Annotations and results: every tolerated variation, real data sets, and numbers equal to Python's own."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from conftest import SHARED
from damaged import GGHL, ICDAR, ICDAR_RESULTS, LABELS, RESULTS, TASK2, data_set, write
from rotx.annotations import archives
from rotx.annotations.formats import FormatError, read_annotations, read_detections, read_names
from rotx.records import InstanceTable

DATA = SHARED / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason="needs real data sets: set ROTX_SHARED")


def rows(found: InstanceTable) -> list[tuple[str, str, tuple[float, ...], int]]:
    """Image, class, quad and difficulty of each object."""
    return [
        (found.images[i], found.classes[c], tuple(q), int(d))
        for i, c, q, d in zip(found.image, found.label, found.quads.tolist(), found.difficult, strict=True)
    ]


def test_labels_of_every_tolerated_kind(tmp_path: Path) -> None:
    quad, numbers = tuple(map(float, range(1, 9))), "1 2 3 4 5 6 7 8"
    folder = write(
        tmp_path,
        {
            "a.txt": b"\xef\xbb\xbfimagesource:GoogleEarth\r\ngsd:0.1\r\n\r\n1 2 3 4 5 6 7 8 plane 1\r\n",
            "b.txt": "imagesource:\ngsd:\n 1\t2  3 4 5 6 7 8\tship  2.0 \t\n\n",
            "c.txt": "",
            "d.txt": "1.0 +2 3. 4e0 5 6 7 8 plane\n" + numbers + " harbor 0",
        },
    )
    found = read_annotations(folder)
    assert found.images == ["a", "b", "c", "d"]
    assert found.classes == ["plane", "ship", "harbor"], "in order of appearance"
    assert rows(found) == [
        ("a", "plane", quad, 1),
        ("b", "ship", quad, 2),
        ("d", "plane", quad, 0),
        ("d", "harbor", quad, 0),
    ]
    assert (found.quads.dtype, found.image.dtype, found.label.dtype) == (np.float64, np.int32, np.int32)
    assert found.difficult.dtype == np.uint8
    assert not found.skipped and not found.notices


def test_a_folder_without_any_object(tmp_path: Path) -> None:
    found = read_annotations(write(tmp_path, {"a.txt": "", "b.txt": "gsd:\n"}))
    assert (found.images, found.classes) == (["a", "b"], [])
    assert found.quads.shape == (0, 8) and found.image.shape == (0,)


def test_lines_and_files_of_objects(tmp_path: Path) -> None:
    text = "gsd:1\n\n1 2 3 4 5 6 7 8 plane 0\nbad\n1 2 3 4 5 6 7 8 ship 0\n"
    folder = write(tmp_path / "dota", {"a.txt": text, "b.txt": "1 2 3 4 5 6 7 8 ship 0\n"})
    found = read_annotations(folder, lenient=True)
    assert found.line.tolist() == [3, 5, 1] and found.line.dtype == np.uint32
    assert found.files == [str(folder / "a.txt"), str(folder / "b.txt")]
    assert [problem[:3] for problem in found.problems] == [(str(folder / "a.txt"), 4, "wrong number of columns")]
    assert read_annotations(folder, classes=["ship"], lenient=True).line.tolist() == [5, 1]

    (tmp_path / "flat.txt").write_text("a 1 2 3 4 5 6 7 8 ship 0\n\n" * 90_000)  # more than one piece
    for jobs in (1, 3):
        found = read_annotations(tmp_path / "flat.txt", jobs=jobs)
        np.testing.assert_array_equal(found.line, np.arange(1, 180_000, 2))
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
    xml = f"<annotation>\n<object><name>a</name>\n{box}</object>\n\n<object>\n<name>b</name>{box}</object></annotation>"
    assert read_annotations(write(tmp_path / "xml", {"a.xml": xml})).line.tolist() == [2, 5]
    assert read_annotations(write(tmp_path / "icdar", dict(ICDAR))).line.tolist() == [1, 2, 1]
    (tmp_path / "gghl.txt").write_text(GGHL)
    found = read_annotations(tmp_path / "gghl.txt")
    assert found.line.tolist() == [1, 2] and found.files == [str(tmp_path / "gghl.txt")] * 2


def test_as_many_problems_are_kept_as_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.txt": "bad\n" * 50, "b.txt": "1 2 3 4 5 6 7 8 ship 0\nbad\n"})
    for kept, want in ((0, []), (3, [1, 2, 3]), (60, [*range(1, 51), 2])):
        found = read_annotations(folder, lenient=True, kept=kept)
        assert [problem.line for problem in found.problems] == want
        assert found.skipped == {"wrong number of columns": 51}


def test_angles_in_degrees_are_found(tmp_path: Path) -> None:
    box = "<robndbox><cx>5</cx><cy>6</cy><w>4</w><h>2</h><angle>45</angle></robndbox>"
    folder = write(tmp_path, {"a.xml": f"<annotation>\n<object><name>a</name>{box}</object></annotation>"})
    with pytest.raises(FormatError, match=r"a\.xml:2: the angle must be in radians, clockwise; 45 is more"):
        read_annotations(folder)


def test_classes_wanted(tmp_path: Path) -> None:
    labels, _ = data_set(tmp_path)
    found = read_annotations(labels, classes=["harbor", "ship"])
    assert found.classes == ["harbor", "ship"]
    assert [row[:2] for row in rows(found)] == [("P0001", "ship"), ("P0002", "ship")]
    assert found.other_classes == {"plane": 1}
    assert any("plane 1" in notice for notice in found.notices)
    with pytest.raises(FormatError, match="'ship' is named 2 times"):
        read_annotations(labels, classes=["ship", "ship"])


def test_images_wanted(tmp_path: Path) -> None:
    labels, results = data_set(tmp_path)
    images = tmp_path / "val.txt"
    images.write_text("x/P0002.png\nP0002\n")
    found = read_annotations(labels, images=images)
    assert (found.images, found.other_images) == (["P0002"], ["P0001"])
    assert (found.classes, found.other_classes) == (["ship"], {"plane": 0})
    assert [row[:2] for row in rows(found)] == [("P0002", "ship")]
    assert any("1 repeated names dropped" in notice for notice in found.notices)
    got = read_detections(
        results,
        images=found.images,
        other_images=found.other_images,
        classes=found.classes,
        other_classes=found.other_classes,
    )
    assert (got.images, got.classes, got.scores.tolist()) == (["P0002"], ["ship"], [0.7])
    assert any("1 detections on images outside the list" in notice for notice in got.notices)

    images.write_text("P0002\nP0001\n")
    both = read_annotations(labels, images=images)
    assert both.images == ["P0002", "P0001"], "in the order of the list"
    assert sorted(rows(both)) == sorted(rows(read_annotations(labels)))


def test_results(tmp_path: Path) -> None:
    labels, results = data_set(tmp_path)
    gt = read_annotations(labels)
    found = read_detections(results, images=gt.images, classes=gt.classes)
    assert found.classes == gt.classes == ["plane", "ship"]
    assert found.scores.tolist() == [0.9, 0.3, 0.8, 0.7], "in file order"
    assert found.label.tolist() == [0, 0, 1, 1]
    assert found.image.tolist() == [0, 1, 0, 1]
    anything = read_detections(results)
    assert (anything.images, anything.classes) == (["P0001", "P0002"], ["plane", "ship"])
    np.testing.assert_array_equal(anything.quads, found.quads)


def test_where_results_may_be(tmp_path: Path) -> None:
    want = read_detections(write(tmp_path / "a", dict(RESULTS))).quads
    write(tmp_path / "b" / "Task1", dict(RESULTS))
    write(tmp_path / "b", {"images.txt": "P0001\n", "log.json": "{}"})
    write(tmp_path / "c" / "results", dict(RESULTS))
    write(tmp_path / "d", {name.removeprefix("Task1_"): text for name, text in RESULTS.items()})
    write(tmp_path / "e", {**RESULTS, "plane.txt": "not read"})
    with (
        zipfile.ZipFile(tmp_path / "f.zip", "w") as archive,
        tarfile.open(tmp_path / "g.tar.xz", "w:xz") as tar,
    ):
        archive.write(tmp_path / "b" / "images.txt", "b/images.txt")
        for name in RESULTS:
            archive.write(tmp_path / "a" / name, f"b/Task1/{name}")
            tar.add(tmp_path / "a" / name, f"./one/{name}")
            tar.add(tmp_path / "c" / "results" / name, f"./two/{name}")
    for path in ("a", "b", "c", "d", "e", "f.zip", "f.zip/b/Task1", "g.tar.xz/two"):
        found = read_detections(tmp_path / path)
        assert found.classes == ["plane", "ship"], path
        np.testing.assert_array_equal(found.quads, want)
    with pytest.raises(FormatError, match="more than one folder"):
        read_detections(tmp_path / "g.tar.xz")
    assert any("plane.txt" in notice for notice in read_detections(tmp_path / "e").notices)
    partial = read_detections(tmp_path / "a", classes=["ship", "plane", "harbor"])
    assert any("no result file for harbor" in notice for notice in partial.notices)
    assert partial.label.tolist() == [1, 1, 0, 0]


def test_task2_boxes_become_quads(tmp_path: Path) -> None:
    found = read_detections(write(tmp_path, dict(TASK2)), task=2)
    assert found.quads.tolist() == [[10, 10, 50, 10, 50, 40, 10, 40]] * 2
    assert found.scores.tolist() == [0.9, 0.7]


def test_icdar(tmp_path: Path) -> None:
    gt = read_annotations(write(tmp_path / "gt", dict(ICDAR)))
    assert (gt.images, gt.classes) == (["img_1", "img_2"], ["text"])
    assert gt.difficult.tolist() == [0, 1, 0]
    assert gt.quads[0].tolist() == [1, 2, 30, 4, 35, 26, 7, 28]
    with_score = {**ICDAR_RESULTS, "res_img_1.txt": "1,2,30,4,35,26,7,28,0.75\r\n"}
    found = read_detections(write(tmp_path / "res", with_score), images=gt.images, classes=gt.classes)
    assert found.scores.tolist() == [1, 1] and found.image.tolist() == [0, 1]
    with pytest.raises(FormatError, match="ICDAR results, of class 'text'; the classes are plane"):
        read_detections(tmp_path / "res", classes=["plane"])


def test_xml_boxes_of_every_kind(tmp_path: Path) -> None:
    def xml(box: str, rest: str = "") -> str:
        return f"<annotation><object><name> a b </name>{rest}{box}</object></annotation>"

    places = ["left_top", "right_top", "right_bottom", "left_bottom"]
    dior = [f"{axis}_{place}" for place in places for axis in "xy"]
    corners = "".join(f"<{tag}>{i}</{tag}>" for i, tag in enumerate(dior))
    numbered = "".join(f"<{tag}{i // 2}>{i}</{tag}{i // 2}>" for i, tag in enumerate("xy" * 4))
    rbox = "<robndbox><cx>5</cx><cy>6</cy><w>4</w><h>2</h><angle>1.5707963267948966</angle></robndbox>"
    hbox = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
    mbox = "<mbox_cx>5</mbox_cx><mbox_cy>6</mbox_cy><mbox_w>4</mbox_w><mbox_h>2</mbox_h><mbox_ang>0</mbox_ang>"
    folder = write(
        tmp_path,
        {
            "a.xml": xml(f"<type>robndbox</type><robndbox>{corners}</robndbox><angle>0</angle>"),
            "b.xml": xml(rbox + hbox, "<difficult>1</difficult>"),
            "c.xml": xml(hbox),
            "d.xml": xml(f"<bndbox>{numbered}</bndbox>"),
            "e.xml": f"<HRSC_Image><HRSC_Object>{mbox}</HRSC_Object></HRSC_Image>",
            "f.xml": "<annotation></annotation>",
        },
    )
    found = read_annotations(folder)
    assert found.images == list("abcdef") and found.classes == ["a b", "ship"]
    assert found.difficult.tolist() == [0, 1, 0, 0, 0]
    want = [
        list(range(8)),
        [6, 4, 6, 8, 4, 8, 4, 4],  # turned by 90 degrees, clockwise
        [1, 2, 3, 2, 3, 4, 1, 4],
        list(range(8)),
        [3, 5, 7, 5, 7, 7, 3, 7],
    ]
    np.testing.assert_allclose(found.quads, want, atol=1e-12)


def test_one_file_for_many_images(tmp_path: Path) -> None:
    flat = tmp_path / "flat.txt.gz"
    flat.write_bytes(gzip.compress(b"7 1 2 3 4 5 6 7 8 a 1\n9 1 2 3 4 5 6 7 8 b\n7 1 2 3 4 5 6 7 8 b 0\n"))
    found = read_annotations(flat)
    assert (found.images, found.classes) == (["7", "9"], ["a", "b"])
    assert found.image.tolist() == [0, 1, 0] and found.difficult.tolist() == [1, 0, 0]
    (tmp_path / "list.txt").write_text("9\n8\n")
    part = read_annotations(flat, images=tmp_path / "list.txt")
    assert (part.images, part.other_images, part.classes) == (["9", "8"], ["7"], ["b"])

    gghl = tmp_path / "gghl.txt"
    gghl.write_text("F:/x/1.png 1,2,3,4,0,1,2,3,4,5,6,7,8,0.5,-9 1,2,3,4,ship,8,7,6,5,4,3,2,1\n/y/2.bmp\n")
    found = read_annotations(gghl)
    assert (found.images, found.classes) == (["1", "2"], ["0", "ship"])
    assert found.quads.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1]]


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfP1.png\r\n\r\n /a/b/P2.TIFF \nC:\\x\\P3.jpeg\nP1\nv1.5\nlast one")
    assert read_names(path) == ["P1", "P2", "P3", "v1.5", "last one"]


def test_numbers_are_those_of_python(tmp_path: Path) -> None:
    rng = random.Random(0)

    def number() -> str:
        digits = "".join(rng.choices("0123456789", k=rng.randint(1, 18)))
        at = rng.randint(0, min(9, len(digits)))
        text = rng.choice(["", "-", "+"]) + digits[:at] + rng.choice([".", "."]) + digits[at:]
        return text + rng.choice(["", "", "e-3", "E+0", "e-300"])

    lines = [[f"P{rng.randint(0, 9)}", *(number() for _ in range(9))] for _ in range(20_000)]
    ends = [rng.choice(["\n", "\r\n", " \n", "\n\n"]) for _ in lines]
    text = "".join(rng.choice([" ", "\t", "  "]).join(line) + end for line, end in zip(lines, ends, strict=True))
    folder = write(tmp_path, {"Task1_a.txt": text, "Task1_b.txt": "\n" + text.rstrip()})
    for jobs in (1, 4):
        found = read_detections(folder, jobs=jobs)
        want = np.array([[float(word) for word in line[1:]] for line in lines])
        got = np.column_stack([found.scores, found.quads])
        assert got.tobytes() == np.concatenate([want, want]).tobytes(), "equal to the bit"
        assert [found.images[i] for i in found.image] == [line[0] for line in lines] * 2
        assert found.label.tolist() == [0] * len(lines) + [1] * len(lines)


def test_threads_do_not_change_anything(tmp_path: Path) -> None:
    rng = random.Random(1)
    labels = {
        f"P{i}.txt": "".join(f"1 2 3 4 5 6 7 8 class{rng.randint(0, 40)} 0\n" for _ in range(rng.randint(0, 50)))
        for i in range(100)
    }
    one, four = (read_annotations(write(tmp_path, dict(labels)), jobs=jobs) for jobs in (1, 4))
    assert (one.images, one.classes) == (four.images, four.classes)
    assert rows(one) == rows(four)
    first: dict[str, None] = {}
    for name in sorted(labels):
        first.update(dict.fromkeys(line.split()[8] for line in labels[name].splitlines()))
    assert one.classes == list(first)


def test_bounds_of_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all.txt.gz").write_bytes(gzip.compress(bytes(20 << 20)))
    with pytest.raises(FormatError, match="zip bomb"):
        read_annotations(tmp_path / "all.txt.gz")
    with zipfile.ZipFile(tmp_path / "r.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in RESULTS.items():
            archive.writestr(name, text)
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 70)
    with pytest.raises(FormatError, match=r"Task1_ship\.txt: unpacks to more than"):
        read_detections(tmp_path / "r.zip")
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 1 << 30)
    monkeypatch.setattr(archives, "TOTAL_LIMIT", 100)
    with pytest.raises(FormatError, match=r"r\.zip: unpacks to more than"):
        read_detections(tmp_path / "r.zip")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_damaged_archives_give_one_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    write(tmp_path / "src", dict(LABELS))
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in LABELS:
                archive.write(tmp_path / "src" / name, name)
    else:
        with tarfile.open(path, f"w:{kind.partition('.')[2]}") as archive:
            for name in LABELS:
                archive.add(tmp_path / "src" / name, name)
    good, rng, errors = path.read_bytes(), random.Random(2), 0
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        path.write_bytes(bad[: rng.randint(0, len(bad))] if rng.random() < 0.2 else bad)
        try:
            read_annotations(path)
        except FormatError as error:
            errors += 1
            assert str(path) in str(error)
    assert errors > 50


def test_importing_formats_loads_neither_torch_nor_opencv() -> None:
    code = "import sys, rotx.annotations.formats; print({'torch', 'cv2', 'tarfile'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@real
def test_dota() -> None:
    whole = DATA / "dota_whole"
    counts = {
        "devkit_example": (7, 984),
        "s2anet_example": (3, 1122),
        "lin_sinorodin/train": (3, 422),
        "lin_sinorodin/val": (3, 318),
        "lin_sinorodin/split": (4, 355),
    }
    for folder, (images, objects) in counts.items():
        found = read_annotations(whole / folder)
        text = "".join(p.read_text() for p in sorted((whole / folder / "labelTxt").iterdir()))
        naive = [line.split() for line in text.splitlines() if ":" not in line]
        assert (len(found.images), len(found.quads)) == (images, objects) == (images, len(naive)), folder
        assert found.quads.tolist() == [[float(word) for word in line[:8]] for line in naive]
        assert [found.classes[i] for i in found.label] == [line[8] for line in naive]
        assert found.difficult.tolist() == [int(line[9]) for line in naive]
    assert len(read_names(whole / "dota_val_set_names.txt")) == 458


@real
def test_dior() -> None:
    folder = DATA / "dior_r_annotations"
    for split, images, objects in [("train", 5862, 32634), ("val", 5863, 35439), ("test", 11738, 124445)]:
        found = read_annotations(folder / f"dior_r_{split}.txt.gz")
        assert (len(found.images), len(found.quads), len(found.classes)) == (images, objects, 20)
    xml = read_annotations(folder / "dior_r_xml_full.tar.xz/annotations/oriented")
    assert (len(xml.images), len(xml.quads), len(xml.classes)) == (23463, 192518, 20)
    in_test = set(found.images)
    assert sorted(row for row in rows(xml) if row[0] in in_test) == sorted(rows(found))


@real
def test_hrsc_ssdd_hit_uav() -> None:
    folder = DATA / "hrsc_ssdd_gghl"
    for name, images, objects in [("train_HRSC2016_v1.txt", 617, 1748), ("ssdd.txt", 1160, 2549)]:
        found = read_annotations(folder / name)
        assert (len(found.images), len(found.quads), found.classes) == (images, objects, ["0"])
    with pytest.raises(FormatError, match=r"train_HRSC2016\.txt:618: image '100000001' comes twice, first on line 1"):
        read_annotations(folder / "train_HRSC2016.txt")
    hit_uav = read_annotations(DATA / "hit_uav/rotate_xml/Annotations_2898.tar.xz")
    assert (len(hit_uav.images), len(hit_uav.quads)) == (2898, 24899)
    counts = dict(zip(hit_uav.classes, np.bincount(hit_uav.label).tolist(), strict=True))
    assert counts == {"Person": 12312, "Car": 7311, "Bicycle": 4980, "OtherVehicle": 148, "DontCare": 148}


@real
def test_icdar2015_and_east() -> None:
    gt = read_annotations(DATA / "scene_text/icdar2015_gt.zip")
    assert (len(gt.images), len(gt.quads), int(gt.difficult.sum())) == (500, 5230, 3153)
    east = DATA / "scene_text/east_icdar2015_result.tar.gz"
    found = read_detections(east, images=gt.images, classes=gt.classes)
    assert (len(found.images), len(found.quads)) == (500, 2579)
    assert set(found.scores) == {1.0}


@real
def test_gghl_results() -> None:
    archive = DATA / "gghl_dota_test_results/gghl_voc_merge.tar.xz"
    found = read_detections(archive / "merge")
    counts = dict(zip(found.classes, np.bincount(found.label).tolist(), strict=True))
    assert counts["helicopter"] == 2719 and counts["tennis-court"] == 10567 and len(counts) == 8
    patches = read_detections(archive / "voc")
    assert np.bincount(patches.label)[patches.classes.index("swimming-pool")] == 62093
    with pytest.raises(FormatError, match="merge the patches"):
        read_detections(archive / "voc", images=found.images)


def test_boxes_keep_their_kind_and_their_numbers(tmp_path: Path) -> None:
    """Rotated boxes of roLabelImg, HRSC2016 and MSRA-TD500 and upright ones of VOC, unless a set has several kinds."""
    rotated = "<cx>10.1</cx><cy>20.2</cy><w>3.3</w><h>7.7</h><angle>2.9</angle>"
    upright = "<xmin>1</xmin><ymin>2</ymin><xmax>30.5</xmax><ymax>40</ymax>"
    hrsc = "".join(f"<mbox_{k}>{v}</mbox_{k}>" for k, v in zip(("cx", "cy", "w", "h", "ang"), RBOX, strict=True))
    voc = "<annotation><object><name>a</name>{}</object></annotation>"
    files = {
        "rolabelimg": ("P.xml", voc.format(f"<robndbox>{rotated}</robndbox>"), "rbox", RBOX),
        "hrsc": ("P.xml", f"<HRSC_Image><HRSC_Object>{hrsc}</HRSC_Object></HRSC_Image>", "rbox", RBOX),
        "td500": ("P.gt", "0 0 8 16 4 8 0.3\n", "rbox", [10, 20, 4, 8, 0.3]),
        "voc": ("P.xml", voc.format(f"<bndbox>{upright}</bndbox>"), "hbox", [1, 2, 30.5, 40]),
    }
    for name, (file, text, kind, box) in files.items():
        found = read_annotations(write(tmp_path / name, {file: text}))
        assert (found.kind, found.boxes.tolist()) == (kind, [box]), name
    both = {"P.xml": files["rolabelimg"][1], "Q.xml": files["voc"][1]}
    found = read_annotations(write(tmp_path / "both", both))
    assert found.kind == "quad" and found.quads[1].tolist() == [1, 2, 30.5, 2, 30.5, 40, 1, 40]
    listed = tmp_path / "list.txt"
    listed.write_text("P\n")
    two = {"P.xml": files["rolabelimg"][1], "Q.xml": files["rolabelimg"][1].replace("10.1", "11")}
    found = read_annotations(write(tmp_path / "two", two), images=listed)
    assert (found.kind, found.boxes.tolist()) == ("rbox", [RBOX])
    results = read_detections(write(tmp_path / "results", {"Task2_a.txt": "P 0.5 1 2 3 4\n"}), task=2)
    assert (results.kind, results.boxes.tolist()) == ("hbox", [[1, 2, 3, 4]])


RBOX = [10.1, 20.2, 3.3, 7.7, 2.9]
