"""XML: the most exact shape of an object, shapes disagree, values that cannot be, and what is not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from damaged import write
from rotx.annotations.check.sets import read_set
from rotx.annotations.convert import read
from rotx.annotations.files import FormatError

QUAD = [280, 100, 300, 120, 120, 300, 100, 280]
POINTS = [(280, 100), (300, 120), (120, 300), (100, 280)]
NUMBERED = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(POINTS, 1))
FROM_0 = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(POINTS))
HBOX = "<bndbox><xmin>100</xmin><ymin>100</ymin><xmax>300</xmax><ymax>300</ymax></bndbox>"
NAME = "<name>boat</name>"
PTS = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in POINTS)
RING = "".join(f"<point>{x}.0,{y}.0</point>" for x, y in [*POINTS, POINTS[0]])


def one(inside: str, root: str = "") -> str:
    return f"<annotation>{root}<object>{inside}</object></annotation>"


@pytest.mark.parametrize(
    "inside",
    [
        NAME + HBOX + f"<polygon>{NUMBERED}</polygon>",
        NAME + f"<polygon>{NUMBERED}</polygon>",
        NAME + f"<polygon>{FROM_0}</polygon>" + HBOX,
        NAME + f"<polygon><username>me</username>{PTS}</polygon>" + HBOX,
        NAME + f"<bndbox>{NUMBERED}</bndbox>",
        NAME + f"<robndbox>{NUMBERED}</robndbox>" + HBOX,
        NAME + HBOX + f"<points>{RING}</points>",
        f"<possibleresult><name>boat</name></possibleresult><points>{RING}</points>",
    ],
)
def test_corners_are_read_before_boxes(inside: str, tmp_path: Path) -> None:
    found = read(write(tmp_path, {"a.xml": one(inside)}))
    assert (found.classes, found.quads.tolist()) == (["boat"], [QUAD])


def test_fair1m_and_dronevehicle(tmp_path: Path) -> None:
    result = "<possibleresult><name>Liquid Cargo Ship</name></possibleresult>"
    other = "<possibleresult><name>Other Ship</name></possibleresult>"
    inside = f"<coordinate>pixel</coordinate><type>rectangle</type><description>None</description>{result}{other}"
    root = "<source><filename>1.tif</filename></source><size><width>1000</width><height>800</height></size>"
    text = f"<annotation>{root}<objects><object>{inside}<points>{RING}</points></object></objects></annotation>"
    found = read(write(tmp_path / "fair1m", {"1.xml": text}))
    assert (found.format, found.classes, found.quads.tolist()) == ("voc", ["Liquid Cargo Ship"], [QUAD])
    assert (found.sizes, found.image_files) == ([(800, 1000)], ["1.tif"])

    objects = f"<object>{NAME}<polygon>{NUMBERED}</polygon></object><object><name>feright car</name>{HBOX}</object>"
    found = read(write(tmp_path / "drone", {"1.xml": f"<annotation>{objects}</annotation>"}))
    assert found.classes == ["boat", "feright car"]
    assert found.quads.tolist() == [QUAD, [100, 100, 300, 100, 300, 300, 100, 300]]


def test_a_polygon_of_other_corners_is_counted(tmp_path: Path) -> None:
    points = [(100, 100), (300, 100), (300, 300), (200, 310), (100, 300)]
    inside = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(points, 1))
    found = read(write(tmp_path, {"a.xml": one(NAME + HBOX + f"<polygon>{inside}</polygon>")}))
    assert found.lost == ["1 polygons without four corners: kept as minimum-area rectangles"]
    assert found.quads.max() == pytest.approx(310, abs=10)


def rotated(angle: float, box: str = "<cx>200</cx><cy>200</cy><w>250</w><h>30</h>") -> str:
    return f"<robndbox>{box}<angle>{angle}</angle></robndbox>"


@pytest.mark.parametrize(
    ("inside", "kind", "says"),
    [
        (HBOX.replace("300</xmax>", "61</xmax>"), "max below min", "xmax 61 is below xmin 100"),
        (HBOX.replace("300</ymax>", "53</ymax>"), "max below min", "ymax 53 is below ymin 100"),
        (HBOX.replace("100", "500") + f"<polygon>{NUMBERED}</polygon>", "max below min", "xmax 300 is below xmin 500"),
        (
            HBOX.replace("300", "130") + f"<polygon>{NUMBERED}</polygon>",
            "shapes disagree",
            "<polygon> and <bndbox>",
        ),
        (rotated(0.785) + f"<polygon>{NUMBERED}</polygon>", "shapes disagree", "<polygon> and <robndbox>"),
        (rotated(0) + HBOX, "shapes disagree", "<robndbox> and <bndbox> are different shapes"),
        (
            f"<points>{RING}</points><polygon>{NUMBERED.replace('280', '480')}</polygon>",
            "shapes disagree",
            "<points>",
        ),
        (HBOX + "<angle>30</angle>", "unknown rotation", "<angle> 30 beside xmin, ymin, xmax, ymax"),
        (HBOX.replace("</bndbox>", "<angle>0.5</angle></bndbox>"), "unknown rotation", "<angle> 0.5 beside"),
        (HBOX + "<rotation>90</rotation>", "unknown rotation", "<rotation> 90 beside"),
        (rotated(0, "<cx>2</cx><cy>2</cy><w>-5</w><h>3</h>"), "negative side", "negative width or height: -5 x 3"),
        ("<polygon><x1>1</x1><y1>2</y1><x2>3</x2><y2>4</y2></polygon>", "incomplete object", "need three corners"),
        ("<polygon><x1>1</x1></polygon>", "incomplete object", "<y1> missing or empty"),
        (HBOX + "<difficult>yes</difficult>", "wrong difficulty", "difficulty 'yes' is not 0, 1 or 2"),
    ],
)
def test_shapes_that_cannot_be(inside: str, kind: str, says: str, tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.xml": one(NAME + inside), "b.xml": one(NAME + HBOX)})
    with pytest.raises(FormatError) as error:
        read(folder)
    assert str(error.value).startswith(f"{folder}/a.xml:1: ") and says in str(error.value)
    found = read(folder, lenient=True)
    assert (found.skipped, len(found)) == ({kind: 1}, 1)
    assert [(fault.kind, fault.file) for fault in read_set(folder).faults] == [("unreadable", f"{folder}/a.xml")]


@pytest.mark.parametrize(
    "inside",
    [
        HBOX + "<angle>0</angle>",
        HBOX.replace("300", "301") + f"<polygon>{NUMBERED}</polygon>",  # rounded
        f"<polygon>{NUMBERED}</polygon>" + HBOX.replace("300</xmax>", "280</xmax>"),  # cut at the border of the image
        rotated(-0.7853981633974483, "<cx>200</cx><cy>200</cy><w>254.56</w><h>28.28</h>")
        + f"<polygon>{NUMBERED}</polygon>",
        rotated(0, "<cx>200</cx><cy>200</cy><w>200</w><h>200</h>") + HBOX,
    ],
)
def test_shapes_that_agree(inside: str, tmp_path: Path) -> None:
    assert len(read(write(tmp_path, {"a.xml": one(NAME + inside)}))) == 1


def test_every_element_that_is_not_read_is_counted(tmp_path: Path) -> None:
    rest = "<pose>Unspecified</pose><truncated>0</truncated><occluded>1</occluded>"
    found = read(write(tmp_path, {"a.xml": one(NAME + HBOX + rest), "b.xml": one(NAME + HBOX + "<wet>0</wet>")}))
    assert found.lost == ["1 entries of objects, such as 'occluded': not kept"]


@pytest.mark.parametrize("suffix", ["xml", "txt", "json"])
def test_coordinates_that_are_all_fractions_are_refused(suffix: str, tmp_path: Path) -> None:
    hbox = HBOX.replace("100", "0.1").replace("300", "0.3")
    shape = '{"shapes": [{"label": "a", "points": [[0.1, 0.1], [0.3, 0.1], [0.3, 0.3], [0.1, 0.3]]}]}'
    text = {"xml": one(NAME + hbox), "txt": "0.1 0.1 0.3 0.1 0.3 0.3 0.1 0.3 ship 0\n", "json": shape}[suffix]
    with pytest.raises(FormatError, match="not fractions of the image's sides"):
        read(write(tmp_path, {f"a.{suffix}": text}))


def test_leniency_is_the_same_in_every_format(tmp_path: Path) -> None:
    good = {
        "dota": ("txt", "10 10 50 10 50 40 10 40 ship 0\n", "10 10 50\n"),
        "icdar": ("txt", "10,10,50,10,50,40,10,40,a word\n", "10,10,x\n"),
        "voc": ("xml", one(NAME + HBOX), one(NAME)),
        "visdrone": ("txt", "406,119,265,70,1,4,0,1\n", "1,2,3\n"),
        "td500": ("gt", "0 0 10 20 30 40 0.1\n", "1 2 3\n"),
        "labelme": ("json", '{"shapes": [{"label": "a", "points": [[1, 1], [9, 1], [9, 5]]}]}', '{"shapes": [1]}'),
    }
    for format, (suffix, text, bad) in good.items():
        folder = write(tmp_path / format, {f"a.{suffix}": text, f"b.{suffix}": bad, f"c.{suffix}": text})
        with pytest.raises(FormatError, match=rf"b\.{suffix}"):
            read(folder)
        found = read(folder, lenient=True)
        assert (found.format, len(found), sum(found.skipped.values())) == (format, 2, 1), format
        assert any(notice.startswith(f"skipped {folder}/b.{suffix}") for notice in found.notices), found.notices
        assert np.isfinite(found.quads).all()
        assert [fault.kind for fault in read_set(folder).faults if "b." in fault.file] == ["unreadable"], format
