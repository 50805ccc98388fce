"""`rotx check`: every fault is planted once and found with file and line; a clean set has none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from conftest import SHARED
from rotx.annotations.check import check_sets, objects, read_set
from rotx.annotations.check.images import decode
from rotx.annotations.check.objects import crossing
from rotx.cli.check import check
from rotx.datasets.synthetic import write_dataset
from rotx.geometry import box_iou

SHIP = "10 10 50 10 50 40 10 40 ship 0\n"
PLANE = "60 10 90 20 80 50 50 40 plane 1\n"


def picture(seed: int = 0, width: int = 120, height: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def clean(root: Path, seed: int = 0) -> Path:
    """A set of two images without a fault."""
    for folder in ("images", "labelTxt"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i, text in enumerate((SHIP + PLANE, "gsd:1\n" + PLANE)):
        (root / "labelTxt" / f"P{i}.txt").write_text(text)
        cv2.imwrite(str(root / "images" / f"P{i}.png"), picture(seed + i))
    return root


def run(*arguments: object) -> tuple[int, str]:
    """Exit code, and all that is printed."""
    result = CliRunner().invoke(check, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def faults(root: Path, *arguments: object) -> list[tuple[str, str]]:
    """Kind and ``place: text`` of each fault that is written as JSON; each file without its folders."""
    code, out = run(*(arguments or (root,)), "--json", root / "out.json")
    written = json.loads((root / "out.json").read_text())
    found = [fault for one in written["sets"] for fault in one["faults"]]
    assert code == (1 if found else 0), out
    assert ("no faults" in out) == (not found)
    names = []
    for fault in found:
        name = Path(fault["file"]).name
        place = f":{fault['line']}" if fault["line"] else ""
        place += f" {fault['annotation']}" if fault["annotation"] is not None else ""
        names.append((fault["kind"], f"{name}{place}: {fault['text']}"))
        assert f"{fault['kind']}:\n" in out.replace("\r", "\n")
    return names


def planted(root: Path, text: str, *arguments: object) -> list[tuple[str, str]]:
    """The faults of the clean set with these lines after the first two of P0."""
    clean(root)
    (root / "labelTxt" / "P0.txt").write_text(SHIP + PLANE + text)
    return faults(root, *([root, *arguments] if arguments else ()))


def test_a_clean_set_has_no_fault(tmp_path: Path) -> None:
    assert faults(clean(tmp_path)) == []
    assert faults(tmp_path, tmp_path / "labelTxt") == [], "images are found beside the annotations"
    assert faults(tmp_path, tmp_path, "--classes", "plane,ship,harbor") == []


def test_synthetic_sets_have_no_fault(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", train=6, val=4, size=128)
    assert faults(tmp_path, tmp_path / "set/train", tmp_path / "set/val") == []


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("10 60 30 60 20 60 15 60 ship 0", "zero area", "ship: 20 × 0 pixels"),
        ("10 50 40 75 40 50 10 75 ship 0", "self-crossing", "ship: two of its sides cross"),
        ("10 60 30 60 30 61.5 10 61.5 ship 0", "tiny", "ship: 20 × 1.5 pixels, a side below 2"),
        ("150 90 170 90 170 99 150 99 ship 0", "outside", "ship: all of it is beyond the image of 120 × 80, by 50"),
        ("-6 50 9 50 9 60 -6 60 ship 0", "outside", "ship: 40 % of it is beyond the image of 120 × 80, by 6"),
        ("50 10 50 40 10 40 10 10 ship 0", "duplicate", "ship: IoU 1.000 with that of line 1"),
        ("10 10 50 10 50 40 10 40 ship 1", "duplicate", "ship: the same as that of line 1"),
        ("10 10 50.4 10 50.4 40 10 40 ship 0", "duplicate", "ship: IoU 0.990 with that of line 1"),
        ("1 2 3 ship", "unreadable", "4 columns, need 9 or 10: x1 y1"),
        ("10 60 nan 60 30 65 10 65 ship 0", "unreadable", "coordinate 'nan' is not finite: '10 60 nan 60 30 65"),
        ("10 60 inf 60 30 65 10 65 ship 0", "unreadable", "coordinate 'inf' is not finite: '10 60 inf 60 30 65"),
    ],
)
def test_an_object_that_is_wrong(line: str, kind: str, text: str, tmp_path: Path) -> None:
    found = planted(tmp_path, f"\n{line}\n")
    assert len(found) == 1 and found[0][0] == kind and found[0][1].startswith(f"P0.txt:4: {text}"), found


def test_what_is_no_fault(tmp_path: Path) -> None:
    near = "-4 50 16 50 16 60 -4 60 ship 2\n"  # a fifth is beyond the image
    other = "10 10 50 10 50 40 10 40 plane 0\n"  # the same place, another class
    bit_off = "13 10 53 10 53 40 13 40 ship 0\n"  # IoU 0.86
    assert planted(tmp_path, near + other + bit_off) == []
    assert "1 objects reach beyond their image, by up to 4 pixels" in run(tmp_path)[1]


def test_every_problem_is_named(tmp_path: Path) -> None:
    found = planted(tmp_path, "bad\n" * 300)
    assert [text.split(":")[1] for _, text in found] == [str(line) for line in range(3, 303)]
    code, out = run(tmp_path)
    assert code == 1 and "and 295 more" in out and "300 faults" in out


def test_the_least_side_can_be_set(tmp_path: Path) -> None:
    line = "10 60 30 60 30 61.5 10 61.5 ship 0\n"
    assert planted(tmp_path, line, "--tiny", 1) == []
    assert [kind for kind, _ in faults(tmp_path, tmp_path, "--tiny", 35)] == ["tiny"] * 4


def test_unknown_class(tmp_path: Path) -> None:
    assert planted(tmp_path, SHIP.replace("ship", "shipp"), "--classes", "ship,plane") == [
        ("unknown class", "P0.txt:3: unknown class 'shipp'; did you mean 'ship'?")
    ]


def test_missing_and_similar_names(tmp_path: Path) -> None:
    clean(tmp_path)
    shutil.move(tmp_path / "images/P0.png", tmp_path / "images/p0.png")
    assert faults(tmp_path) == [
        ("missing label", f"p0.png: has no annotations in {tmp_path}"),
        ("missing image", f"P0.txt: image 'P0' is not in {tmp_path / 'images'}; 'p0' is: use one spelling"),
    ]
    (tmp_path / "labelTxt/p0.txt").write_text("")
    cv2.imwrite(str(tmp_path / "images/P0.png"), picture(7))
    found = faults(tmp_path)
    assert len(found) == 1 and found[0][1].startswith("p0.txt: image 'p0' differs from 'P0' only in case")
    (tmp_path / "labelTxt/p0.txt").unlink()
    shutil.move(tmp_path / "images/p0.png", tmp_path / "images/P0.bmp")
    found = faults(tmp_path)
    assert [kind for kind, _ in found] == ["similar names"] and "P0.bmp, P0.png" in found[0][1]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_images_that_are_cut_off(suffix: str, tmp_path: Path) -> None:
    clean(tmp_path)
    (tmp_path / "images/P1.png").unlink()
    whole = cv2.imencode(suffix, picture(1))[1].tobytes()
    for left in (len(whole) * 3 // 5, len(whole) - 1):
        (tmp_path / f"images/P1{suffix}").write_bytes(whole[:left])
        found = faults(tmp_path)
        assert [kind for kind, _ in found] == ["bad image"] and found[0][1].startswith(f"P1{suffix}: is "), found
    (tmp_path / f"images/P1{suffix}").write_bytes(b"")
    assert faults(tmp_path) == [("bad image", f"P1{suffix}: is empty")]


def test_images_that_only_opencv_reads(tmp_path: Path) -> None:
    clean(tmp_path)
    (tmp_path / "images/P1.png").unlink()
    whole = cv2.imencode(".webp", picture(1))[1].tobytes()
    (tmp_path / "images/P1.webp").write_bytes(whole)
    assert faults(tmp_path) == []
    (tmp_path / "images/P1.png").write_bytes(whole)  # by another suffix
    (tmp_path / "images/P1.webp").unlink()
    assert faults(tmp_path) == []


def test_an_image_in_two_sets(tmp_path: Path) -> None:
    train, val = clean(tmp_path / "train"), clean(tmp_path / "val", seed=10)
    assert faults(tmp_path, train, val) == []
    # Other bytes, the same pixels.
    cv2.imwrite(str(val / "images/P1.png"), picture(0), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    assert (val / "images/P1.png").read_bytes() != (train / "images/P0.png").read_bytes()
    want = ("same image", f"P1.png: the same pixels as {train / 'images/P0.png'} of {train}")
    assert faults(tmp_path, train, val) == [want]
    cv2.imwrite(str(train / "images/P1.png"), picture(0))
    assert ("same image", f"P1.png: the same pixels as {train / 'images/P0.png'}") in faults(tmp_path, train)
    both = faults(tmp_path, val, val)
    assert len(both) == 2 and all("the same file is in" in text for _, text in both)


def test_digests_do_not_depend_on_the_format_or_the_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(3, 300, 200)
    paths = [tmp_path / f"a{suffix}" for suffix in (".png", ".bmp", ".tif", ".ppm")]
    for path in paths:
        cv2.imwrite(str(path), pixels)
    assert len({decode(path).digest for path in paths}) == 1
    assert decode(paths[0]).size == (200, 300)
    before = decode(paths[0])
    monkeypatch.setattr("rotx.images.preview.BAND_BYTES", 300 * 3 * 7)
    assert decode(paths[0]) == before
    cv2.imwrite(str(paths[0]), pixels.reshape(100, 600, 3))
    assert decode(paths[0]).digest != before.digest, "the same bytes in another shape are another image"


def xml(box: str, size: str = "<size><width>120</width><height>80</height><depth>3</depth></size>") -> str:
    return f"<annotation>\n{size}\n<object>\n<name>ship</name>{box}</object>\n</annotation>"


HBOX = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>60</xmax><ymax>40</ymax></bndbox>"
TURNED = "<size><width>80</width>\n<height>120</height></size>"
RBOX = "<robndbox><cx>40</cx><cy>30</cy><w>20</w><h>10</h><angle>{}</angle></robndbox>"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (xml(HBOX), []),
        (xml(RBOX.format(0.5)), []),
        (xml(HBOX, TURNED), [("wrong size", "a.xml: 'a' is annotated as 80 × 120")]),
        (xml(RBOX.format(45)), [("unreadable", "a.xml:3: the angle must be in radians, clockwise; 45 is more")]),
        (xml(HBOX.replace("40", "20")), [("zero area", "a.xml:3: ship: 50 × 0 pixels")]),
        (xml(HBOX).replace("object", "thing", 1), [("unreadable", "a.xml: is not well-formed xml")]),
    ],
)
def test_xml(text: str, want: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations/a.xml").write_text(text)
    cv2.imwrite(str(tmp_path / "JPEGImages/a.png"), picture())
    found = faults(tmp_path, tmp_path / "Annotations")
    assert [kind for kind, _ in found] == [kind for kind, _ in want]
    assert all(text.startswith(start) for (_, text), (_, start) in zip(found, want, strict=True)), found


def coco(root: Path, change: Callable[[dict[str, Any]], object] = lambda data: None) -> Path:
    """A json of two images beside their folder."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "train").mkdir(exist_ok=True)
    for i in range(2):
        cv2.imwrite(str(root / f"train/{i}.png"), picture(i))
    shape = {"segmentation": [[10, 10, 50, 10, 50, 40, 10, 40]]}
    data: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 120, "height": 80} for i in range(2)],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [{"id": 70 + i, "image_id": i, "category_id": 1, **shape} for i in range(2)],
    }
    change(data)
    (root / "annotations/train.json").write_text(json.dumps(data))
    return root / "annotations/train.json"


def last(**changes: Any) -> Callable[[dict[str, Any]], object]:
    """Changes the second object."""
    return lambda data: data["annotations"][1].update(changes)


FLAT = [[1, 1, 9, 1, 5, 1, 3, 1]]
NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "kind", "start"),
    [
        (lambda d: None, "", ""),
        (last(image_id=9), "unreadable", " 71: annotations[1].image_id: there is no image 9"),
        (last(category_id=9), "unreadable", " 71: annotations[1].category_id"),
        (last(bbox=[30, 30, 20, 10, 45.0]), "unreadable", " 71: annotations[1].bbox: the angle must be in radians"),
        (last(segmentation=FLAT), "zero area", " 71: ship: 8 × 0"),
        (last(bbox=[NAN, 30, 20, 10, 0.0]), "unreadable", " 71: a coordinate is not finite"),
        (last(bbox=[1e300, 30, 20, 10, 0.0]), "unreadable", " 71: a coordinate is not finite, or beyond 1e+09 pixels"),
        (last(image_id=0), "duplicate", " 71: ship: the same as that of annotation 70"),
        (lambda d: d["images"][0].update(width=60), "wrong size", ": '0' is annotated as 60 × 80"),
        (lambda d: d["images"].append({"id": 5, "file_name": "5.png"}), "missing image", ": image '5' is not in"),
    ],
)
def test_json(change: Callable[[dict[str, Any]], object], kind: str, start: str, tmp_path: Path) -> None:
    found = faults(tmp_path, coco(tmp_path, change))
    assert [k for k, _ in found] == ([kind] if kind else [])
    assert all(text.startswith(f"train.json{start}") for _, text in found), found


def yolo(root: Path, text: str) -> Path:
    """Labels of one image of 120 × 80 pixels, and the names of the classes."""
    for folder in ("images/train", "labels/train"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / "images/train/P0.png"), picture())
    (root / "labels/train/P0.txt").write_text("0 0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5\n" + text)
    (root / "data.yaml").write_text("names:\n  0: ship\n  1: plane\n")
    return root / "labels/train"


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("1 0.5 0.5 0.6 0.5 0.6 0.6 0.5 0.6", "", ""),
        ("1 0.5 0.5 0.6 0.5 0.6 0.5 0.5 0.5", "zero area", "plane: 12 × 0 pixels"),
        ("0 0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5", "duplicate", "ship: the same as that of line 1"),
        ("1 1.2 1.2 1.3 1.2 1.3 1.3 1.2 1.3", "outside", "plane: all of it is beyond the image of 120 × 80, by 36 pix"),
        ("2 0.5 0.5 0.6 0.5 0.6 0.6 0.5 0.6", "unreadable", "label 2 has no name: there are 2 names"),
        ("1 50 50 60 50 60 60 50 60", "unreadable", "50 is not a fraction of an image's side"),
    ],
)
def test_yolo(line: str, kind: str, text: str, tmp_path: Path) -> None:
    labels = yolo(tmp_path, f"\n{line}\n")
    found = faults(tmp_path, labels)
    assert [k for k, _ in found] == [kind] * bool(kind)
    assert all(got.startswith(f"P0.txt:3: {text}") for _, got in found), found
    (tmp_path / "images/train/P0.png").unlink()
    cv2.imwrite(str(tmp_path / "images/train/P1.png"), picture())
    assert "missing image" in [k for k, _ in faults(tmp_path, labels, "--images", tmp_path / "images/train")]


def test_users_mistakes_are_one_line(tmp_path: Path) -> None:
    clean(tmp_path)
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco/a.json").write_text(json.dumps({"annotations": []}))
    for arguments, says in [
        ((tmp_path / "no",), "no: no such file or folder"),
        ((tmp_path, "--images", tmp_path / "no"), "no: No such file or directory"),
        ((tmp_path, "--json", tmp_path / "no/out.json"), "its folder does not exist"),
        ((tmp_path, "--images", tmp_path, "--images", tmp_path), "--images: need one for all, or one"),
        ((tmp_path, "--cfg-options", "a=1"), "--cfg-options: DATA is not a config"),
        ((tmp_path / "no.py",), "no.py"),
        ((tmp_path / "no.py", tmp_path), "no.py: a config excludes --images, --classes and other DATA"),
        ((tmp_path / "no.json",), "no.json: cannot be read: No such file"),
        ((tmp_path / "coco",), "coco: holds a.json, which looks like COCO's: give the file itself"),
    ]:
        code, out = run(*arguments)
        assert code == 2 and out.count("\n") == 1 and out.startswith("error: ") and says in out, out


def test_files_of_annotation_tools(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), picture())
    shapes = [
        {"label": "ship", "points": points, "shape_type": kind}
        for points, kind in [
            ([[10, 10], [30, 12], [29, 22], [9, 20]], "oriented_rectangle"),
            ([[10, 10], [30, 12]], "circle"),
            ([[900, 900], [930, 900], [930, 920], [900, 920]], "polygon"),
        ]
    ]
    (tmp_path / "json").mkdir()
    (tmp_path / "json/a.json").write_text(json.dumps({"shapes": shapes, "imagePath": "a.png"}))
    found = faults(tmp_path, tmp_path / "json", "--images", tmp_path / "images")
    assert [kind for kind, _ in found] == ["unreadable", "outside"], found
    assert "a 'circle' has no corners" in found[0][1] and "a.json 2: ship: all of it is beyond" in found[1][1]


def test_without_images_it_says_so(tmp_path: Path) -> None:
    shutil.rmtree(clean(tmp_path / "a") / "images")
    code, out = run(tmp_path / "a/labelTxt")
    assert code == 0 and "no images are found beside it, so images are not checked" in out and "--images" in out


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    clean(tmp_path)
    assert run(tmp_path, tmp_path / "labelTxt", "--picture", tmp_path / "p.png")[0] == 1
    drawn = cv2.imread(str(tmp_path / "p.png"))
    assert drawn is not None and drawn.shape[1] > 1000 and drawn.std() > 10
    (tmp_path / "labelTxt/P0.txt").write_text("")
    (tmp_path / "labelTxt/P1.txt").write_text("")
    assert run(tmp_path, "--picture", tmp_path / "p.png")[0] == 0, "no object at all"


def test_crossing_is_what_exact_integers_say() -> None:
    quads = np.random.default_rng(0).integers(-5, 6, (20_000, 8))

    def side(p: Any, q: Any, r: Any) -> Any:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    def cross(a: Any, b: Any, c: Any, d: Any) -> bool:
        return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0

    found = crossing(quads.astype(np.float64)).tolist()
    for quad, got in zip(quads.tolist(), found, strict=True):
        a, b, c, d = zip(quad[::2], quad[1::2], strict=True)
        assert got == (cross(a, b, c, d) or cross(b, c, d, a)), quad
    assert 1000 < sum(found) < 19_000


def test_duplicates_in_crowds_are_those_of_all_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [tuple(rng.integers(0, 60, 2).tolist()) for _ in range(150)]
    text = "".join(f"{x} {y} {x + 9} {y} {x + 9} {y + 9} {x} {y + 9} ship 0\n" for x, y in rows)
    (tmp_path / "P.txt").write_text(text)
    want = {i + 1: rows.index(row) + 1 for i, row in enumerate(rows) if rows.index(row) < i}
    assert len(want) > 1
    report = check_sets([read_set(tmp_path)])
    assert {f.line: int(f.text.split()[-1]) for f in report.faults if f.kind == "duplicate"} == want


def test_duplicates_are_looked_for_nearby(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(objects, "box_iou", lambda a, b, jobs: compared.append(len(b)) or box_iou(a, b, jobs=jobs))
    corners = np.random.default_rng(0).uniform(0, 20_000, (1000, 2)).round()
    text = "".join(f"{x} {y} {x + 9} {y} {x + 9} {y + 9} {x} {y + 9} ship 0\n" for x, y in corners.tolist())
    (tmp_path / "P.txt").write_text(2 * text)
    faults = check_sets([read_set(tmp_path)]).faults
    assert [(f.kind, f.line) for f in faults] == [("duplicate", i) for i in range(1001, 2001)]
    assert sum(compared) < 5 * len(faults)


def test_an_odd_shape_is_found_to_be_a_duplicate_too(tmp_path: Path) -> None:
    # A long thin tip moves the middle of its bounds far, and its area hardly changes.
    (tmp_path / "P.txt").write_text("0 0 10 0 10 10 0 10 ship 0\n0 0 10 0 40 9.9 0 10 ship 0\n" * 2)
    faults = check_sets([read_set(tmp_path)], tiny=0).faults
    assert [f.line for f in faults if f.kind == "duplicate"] == [3, 4]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs real data sets: set ROTX_SHARED")
def test_real_sets() -> None:
    report = check_sets([read_set(SHARED / "data/dior_r_annotations/dior_r_train.txt.gz")])
    assert (len(report.sets[0].table.images), len(report.sets[0].quads)) == (5862, 32634)
    assert [(f.kind, f.line) for f in report.faults] == [
        ("zero area", 22374),
        ("tiny", 12198),
        ("outside", 6368),
        ("outside", 31404),
    ]
    split = check_sets([read_set(SHARED / "data/dota_whole/lin_sinorodin/split")])
    assert not split.faults and split.sets[0].folder is not None
