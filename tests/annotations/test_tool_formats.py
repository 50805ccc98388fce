"""Files of annotation tools: every shape with its right corners, what is lost, and what is refused."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rotx.annotations.convert import read
from rotx.annotations.files import FormatError
from rotx.records import InstanceTable

#: A box 200 x 20 at (400, 300), turned about its centre by 90 degrees.
UPRIGHT = [510, 210, 510, 410, 490, 410, 490, 210]


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def only(table: InstanceTable) -> list[float]:
    assert len(table) == 1, table
    corners: list[float] = table.quads[0].round(6).tolist()
    return corners


# --- COCO ---------------------------------------------------------------------------------------------------------


def coco(*things: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 1000, "height": 500}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [{"id": i, "image_id": 1, "category_id": 1, **thing} for i, thing in enumerate(things, 1)],
    }


BOX, POLYGON = [400, 300, 200, 20], [[510, 210, 510, 410, 490, 410, 490, 210]]
COCO_SHAPES = {
    "turned by an attribute": ({"bbox": BOX, "segmentation": [], "attributes": {"rotation": 90.0}}, UPRIGHT),
    "not turned": ({"bbox": BOX, "attributes": {"rotation": 0}}, [400, 300, 600, 300, 600, 320, 400, 320]),
    "polygon beside its box": ({"bbox": [490, 210, 20, 200], "segmentation": POLYGON}, UPRIGHT),
    "polygon beside five numbers": ({"bbox": [500, 310, 200, 20, math.pi / 2], "segmentation": POLYGON}, UPRIGHT),
    "closed polygon": ({"segmentation": [POLYGON[0] + POLYGON[0][:2]]}, UPRIGHT),
    "empty polygon beside a box": ({"bbox": BOX, "segmentation": [[]]}, [400, 300, 600, 300, 600, 320, 400, 320]),
}


@pytest.mark.parametrize(("thing", "corners"), COCO_SHAPES.values(), ids=COCO_SHAPES)
def test_shapes_of_coco(thing: dict[str, Any], corners: list[float], tmp_path: Path) -> None:
    assert only(read(write(tmp_path, "a.json", coco(thing)))) == corners


DAMAGED_COCO = {
    "another box": ({"bbox": [0, 0, 50, 50], "segmentation": POLYGON}, "is not the box around the segmentation"),
    "other five numbers": (
        {"bbox": [500, 310, 20, 20, 0.1], "segmentation": POLYGON},
        "is not the box around the segmentation",
    ),
    "angle of no unit": ({"bbox": BOX, "angle": 30}, "of unknown unit"),
    "rotation that is text": ({"bbox": BOX, "attributes": {"rotation": "x"}}, "need numbers"),
    "one corner": ({"bbox": BOX, "segmentation": [[128.0, 128.0]]}, "needs three corners or more"),
    "crowd that is text": ({"bbox": BOX, "iscrowd": "maybe"}, "iscrowd: need true or false"),
}


@pytest.mark.parametrize(("thing", "says"), DAMAGED_COCO.values(), ids=DAMAGED_COCO)
def test_damaged_objects_of_coco(thing: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", coco({"bbox": BOX}, thing))
    with pytest.raises(FormatError, match=r"a\.json: annotations\[1\]") as error:
        read(path)
    assert says in str(error.value)
    table = read(path, lenient=True)
    assert len(table) == 1 and table.skipped == {"damaged object": 1}
    assert any(says in notice for notice in table.notices)


@pytest.mark.parametrize(("value", "ignored"), [("0", False), ("false", False), ("1", True), (True, True), (0, False)])
def test_flags_are_what_they_say(value: Any, ignored: bool, tmp_path: Path) -> None:
    table = read(write(tmp_path, "a.json", coco({"bbox": BOX, "iscrowd": value, "difficult": value})))
    assert table.ignored.tolist() == [ignored] and table.difficult.tolist() == [int(ignored)]


# --- labelme and X-AnyLabeling ------------------------------------------------------------------------------------

SQUARE = [[10.0, 10.0], [50.0, 20.0], [45.0, 40.0], [5.0, 30.0]]
FLAT = [v for point in SQUARE for v in point]
LABELME_SHAPES = {
    "oriented rectangle": ({"points": SQUARE, "shape_type": "oriented_rectangle"}, FLAT),
    "rotation": ({"points": SQUARE, "shape_type": "rotation", "direction": 0.5}, FLAT),
    "another shape of four points": ({"points": SQUARE, "shape_type": "quad"}, FLAT),
    "closed polygon": ({"points": [*SQUARE, SQUARE[0]], "shape_type": "polygon"}, FLAT),
    "no type": ({"points": SQUARE}, FLAT),
    "turned rectangle": (
        {"points": [[400, 300], [600, 320]], "shape_type": "rectangle", "direction": math.pi / 2},
        UPRIGHT,
    ),
    "rectangle": ({"points": [[1, 2], [3, 4]], "shape_type": "rectangle"}, [1, 2, 3, 2, 3, 4, 1, 4]),
}


def labelme(*shapes: dict[str, Any]) -> dict[str, Any]:
    return {"shapes": [{"label": "ship", **s} for s in shapes], "imagePath": "a.jpg", "imageHeight": 800}


@pytest.mark.parametrize(("shape", "corners"), LABELME_SHAPES.values(), ids=LABELME_SHAPES)
def test_shapes_of_labelme(shape: dict[str, Any], corners: list[float], tmp_path: Path) -> None:
    write(tmp_path, "a.json", labelme(shape))
    assert only(read(tmp_path)) == corners


def test_a_file_beside_labelmes_is_skipped_and_counted(tmp_path: Path) -> None:
    write(tmp_path, "a_meta.json", {"version": 1})
    write(tmp_path, "b.json", labelme({"points": SQUARE}))
    with pytest.raises(FormatError, match=r"a_meta\.json: .*shapes missing"):
        read(tmp_path)
    table = read(tmp_path, lenient=True)
    assert table.images == ["b"] and len(table) == 1 and table.skipped == {"not labelme's": 1}


@pytest.mark.parametrize("kind", ["circle", "line", "linestrip", "point", "mask"])
def test_shapes_without_corners(kind: str, tmp_path: Path) -> None:
    write(tmp_path, "a.json", labelme({"points": [[1, 2], [3, 4]], "shape_type": kind}, {"points": SQUARE}))
    with pytest.raises(FormatError, match=f"shapes.0.: a '{kind}' has no corners"):
        read(tmp_path)
    table = read(tmp_path, lenient=True)
    assert len(table) == 1 and table.skipped == {"other shape": 1}


# --- Label Studio -------------------------------------------------------------------------------------------------


def region(value: dict[str, Any], kind: str = "rectanglelabels", **more: Any) -> dict[str, Any]:
    return {"original_width": 1000, "original_height": 500, "type": kind, "value": {kind: ["ship"], **value}, **more}


def task(*regions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "annotations": [{"result": list(regions)}], "data": {"image": "/data/upload/a.jpg"}, **more}


TURNED = {"x": 20, "y": 20, "width": 30, "height": 20, "rotation": 90}
CORNERS = [200, 100, 200, 400, 100, 400, 100, 100]
LABEL_STUDIO = {
    "turned about its corner": ([task(region(TURNED))], CORNERS),
    "not turned": ([task(region({**TURNED, "rotation": 0}))], [200, 100, 500, 100, 500, 200, 200, 200]),
    "polygon": ([task(region({"points": [[1, 2], [3, 2], [3, 8], [1, 8]]}, "polygonlabels"))],
                [10, 10, 30, 10, 30, 40, 10, 40]),
    "label of its own": (
        [task(
            {"id": "r", "original_width": 1000, "original_height": 500, "type": "rectangle", "value": TURNED},
            {"id": "r", "original_width": 1000, "original_height": 500, "type": "labels",
             "value": {**TURNED, "labels": ["ship"]}},
        )], CORNERS,
    ),
    "the annotation that counts": (
        [{"annotations": [{"was_cancelled": True, "result": [region({**TURNED, "rotation": 1})]},
                          {"result": [region(TURNED)]}], "data": {"image": "s3://bucket/a.jpg?x=1"}}], CORNERS,
    ),
    "short form": (
        [{"id": 1, "image": "http://x/a.jpg",
          "label": [{**TURNED, "rectanglelabels": ["ship"], "original_width": 1000, "original_height": 500}]}],
        CORNERS,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("tasks", "corners"), LABEL_STUDIO.values(), ids=LABEL_STUDIO)
def test_label_studio(tasks: list[Any], corners: list[float], tmp_path: Path) -> None:
    for source in (write(tmp_path, "export.json", tasks), tmp_path):
        table = read(source)
        assert only(table) == corners
        assert (table.images, table.classes, table.sizes) == (["a"], ["ship"], [(500, 1000)])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"x": 1, "y": 1, "radiusX": 2, "radiusY": 2, "rotation": 0}, "an ellipse has no corners"),
        ({"format": "rle", "rle": [0, 1]}, "rle: is cut off"),
        ({"x": 1, "y": 1, "width": 0.5}, "a point has no corners"),
        ({**TURNED, "x": "nan"}, "x: need numbers"),
        ({**TURNED, "width": -3}, "must not be negative"),
        ({"points": [[1, 2], [3, 4]]}, "need three corners"),
    ],
)
def test_other_regions_of_label_studio(value: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = write(tmp_path, "e.json", [task(region(TURNED), region(value))])
    with pytest.raises(FormatError, match=r"e\.json: \[0\]\.annotations\[0\]\.result\[1\]: ") as error:
        read(path)
    assert says in str(error.value)
    assert len(read(path, lenient=True)) == 1


# --- CVAT ---------------------------------------------------------------------------------------------------------


def cvat(*shapes: str, image: str = 'id="0" name="x/a.jpg" width="1000" height="500"') -> str:
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task/></meta>'
    return f"{head}<image {image}>{''.join(shapes)}</image></annotations>"


CVAT = {
    "box": ('<box label="ship" xtl="400" ytl="300" xbr="600" ybr="320" rotation="90.00"/>', UPRIGHT),
    "upright box": (
        '<box label="ship" xtl="1" ytl="2" xbr="3" ybr="4"><attribute name="color">red</attribute></box>',
        [1, 2, 3, 2, 3, 4, 1, 4],
    ),
    "polygon": ('<polygon label="ship" points="10.0,10.0;50.0,20.0;45.0,40.0;5.0,30.0"/>', FLAT),
    "mask": (
        '<mask label="ship" rle="2, 2, 2, 2" left="10" top="20" width="4" height="2"/>',
        [11.5, 19.5, 13.5, 19.5, 13.5, 21.5, 11.5, 21.5],
    ),
}


@pytest.mark.parametrize(("shape", "corners"), CVAT.values(), ids=CVAT)
def test_cvat(shape: str, corners: list[float], tmp_path: Path) -> None:
    for source in (write(tmp_path, "annotations.xml", cvat(shape)), tmp_path):
        table = read(source)
        got = np.array(only(table)).reshape(4, 2)
        assert sorted(map(tuple, got.tolist())) == sorted(map(tuple, np.reshape(corners, (4, 2)).tolist()))
        assert (table.images, table.sizes, table.image_files) == (["a"], [(500, 1000)], ["a.jpg"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (cvat('<ellipse label="a" cx="1" cy="1" rx="2" ry="2"/>'), "a <ellipse> has no corners"),
        (cvat('<box label="a" xtl="9" ytl="1" xbr="3" ybr="4"/>'), "must not be negative"),
        (cvat('<box label="" xtl="1" ytl="1" xbr="3" ybr="4"/>'), "label: need a name"),
        (cvat('<polygon label="a" points="1,2;3"/>'), "need x,y;x,y"),
        (cvat('<mask label="a" rle="1,2" left="0" top="0" width="4" height="2"/>'), "must add up to 4 x 2"),
        (cvat()[:-20], "is cut off"),
        (cvat().replace("<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>'), "DOCTYPE"),
        (cvat().replace("<meta>", '<track id="0"></track><meta>'), "export for video"),
    ],
)
def test_damaged_cvat(content: str, says: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a.xml", content.replace("<?xml", "<?xml", 1))
    if "DOCTYPE" in content:
        path.write_text(content.replace("<!DOCTYPE", "<annotations><!DOCTYPE", 1))
    with pytest.raises(FormatError) as error:
        read(path)
    assert says in str(error.value) and str(error.value).startswith(f"{path}: ")


# --- VIA, Supervisely, Datumaro, VisDrone -------------------------------------------------------------------------

RECT = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}
VIA = {
    "rectangle": ([{"shape_attributes": RECT, "region_attributes": {"kind": "ship"}}], [1, 2, 4, 2, 4, 6, 1, 6]),
    "polygon": (
        [{"shape_attributes": {"name": "polygon", "all_points_x": [10, 50, 45, 5], "all_points_y": [10, 20, 40, 30]},
          "region_attributes": {"name": "ship", "colour": "red"}}], FLAT,
    ),
    "numbered": ({"0": {"shape_attributes": RECT, "region_attributes": {"type": "ship"}}}, [1, 2, 4, 2, 4, 6, 1, 6]),
    "checkbox": (
        [{"shape_attributes": RECT, "region_attributes": {"c": {"ship": True, "car": False}}}],
        [1, 2, 4, 2, 4, 6, 1, 6],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("regions", "corners"), VIA.values(), ids=VIA)
@pytest.mark.parametrize("project", [True, False])
def test_via(regions: Any, corners: list[float], project: bool, tmp_path: Path) -> None:
    images = {"a.jpg123": {"filename": "a.jpg", "size": 123, "regions": regions, "file_attributes": {}}}
    table = read(write(tmp_path, "via.json", {"_via_img_metadata": images} if project else images))
    assert only(table) == corners and (table.images, table.classes) == (["a"], ["ship"])


def supervisely(kind: str, exterior: list[Any], **more: Any) -> dict[str, Any]:
    thing = {"classTitle": "ship", "geometryType": kind, "points": {"exterior": exterior, "interior": []}, **more}
    return {"description": "", "tags": [], "size": {"height": 500, "width": 1000}, "objects": [thing]}


SUPERVISELY = {
    "polygon": (supervisely("polygon", SQUARE), FLAT),
    "rectangle": (supervisely("rectangle", [[1, 2], [3, 4]]), [1, 2, 3, 2, 3, 4, 1, 4]),
    "oriented": (supervisely("oriented_bbox", [[400, 300], [600, 320]], angle=math.pi / 2), UPRIGHT),
}


@pytest.mark.parametrize(("record", "corners"), SUPERVISELY.values(), ids=SUPERVISELY)
def test_supervisely(record: dict[str, Any], corners: list[float], tmp_path: Path) -> None:
    write(tmp_path, "ann/a.jpg.json", record)
    write(tmp_path, "meta.json", {"classes": []})
    for source in (tmp_path, tmp_path / "ann"):
        table = read(source)
        assert only(table) == corners and (table.images, table.sizes) == (["a"], [(500, 1000)])


def datumaro(annotation: dict[str, Any]) -> dict[str, Any]:
    return {
        "info": {},
        "categories": {"label": {"labels": [{"name": "car"}, {"name": "ship"}]}},
        "items": [
            {"id": "x/a", "annotations": [{"label_id": 1, **annotation}], "image": {"path": "", "size": [500, 1000]}}
        ],
    }


DATUMARO = {
    "box": ({"type": "bbox", "bbox": [400, 300, 200, 20], "attributes": {"rotation": 90.0}}, UPRIGHT),
    "polygon": ({"type": "polygon", "points": FLAT}, FLAT),
    "rotated": ({"type": "rotated_bbox", "rbox": [500, 310, 200, 20, 90]}, UPRIGHT),
}


@pytest.mark.parametrize(("annotation", "corners"), DATUMARO.values(), ids=DATUMARO)
def test_datumaro(annotation: dict[str, Any], corners: list[float], tmp_path: Path) -> None:
    table = read(write(tmp_path, "default.json", datumaro(annotation)))
    assert only(table) == corners
    assert (table.images, table.classes, table.label.tolist(), table.sizes) == (
        ["a"],
        ["car", "ship"],
        [1],
        [(500, 1000)],
    )


def test_visdrone(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "684,8,27,11,1,4,0,0\n10,20,30,40,0,0,0,0\n1,2,3,4,1,10,1,2,\n")
    table = read(tmp_path)
    assert [table.classes[label] for label in table.label] == ["car", "motor"]
    assert table.quads[0].tolist() == [684, 8, 711, 8, 711, 19, 684, 19]
    assert any(lost.startswith("1 ignored regions") for lost in table.lost)


# --- Mutants ------------------------------------------------------------------------------------------------------

SOURCES = {
    "coco": coco({"bbox": BOX, "attributes": {"rotation": 90.0}}, {"segmentation": POLYGON, "iscrowd": 0}),
    "labelme": labelme({"points": SQUARE, "flags": {"difficult": True}}, LABELME_SHAPES["turned rectangle"][0]),
    "label_studio": LABEL_STUDIO["label of its own"][0],
    "via": {"a": {"filename": "a.jpg", "size": 3, "regions": VIA["polygon"][0]}},
    "supervisely": SUPERVISELY["oriented"][0],
    "datumaro": datumaro(DATUMARO["box"][0]),
    "cvat": cvat(*(shape for shape, _ in CVAT.values())),
}
PIECES = ["", ",", "null", "-1", "1e999", "NaN", "[]", "{}", "[[1]]", '"x"', "true", "\\u0000", "é", ":", "<", "/>"]


@pytest.mark.parametrize("kind", SOURCES)
def test_mutants(kind: str, tmp_path: Path, count: int = 300) -> None:
    """Whatever is damaged, the error is a FormatError (``count`` of 100,000 was tried once)."""
    content = SOURCES[kind]
    text = content if isinstance(content, str) else json.dumps(content)
    path = tmp_path / ("a.xml" if kind == "cvat" else "a.json")
    numbers = random.Random(kind)
    for _ in range(count):
        start = numbers.randrange(len(text))
        stop = start + numbers.choice([0, 1, 1, 2, 5, 30])
        path.write_text(text[:start] + numbers.choice(PIECES) + text[stop:])
        try:
            table = read(path if kind != "supervisely" else tmp_path, lenient=numbers.random() < 0.5)
        except FormatError as error:
            assert "\n" not in str(error)
        else:
            assert np.isfinite(table.quads).all()
