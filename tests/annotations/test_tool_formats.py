"""Files of annotation tools: every shape with its right corners, what is lost, and what is refused."""

from __future__ import annotations

import json
import math
import os
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
    "box before it is turned beside the polygon": (
        {"bbox": BOX, "segmentation": POLYGON, "attributes": {"rotation": 90}},
        UPRIGHT,
    ),
    "turned by a negative angle": (
        {"bbox": BOX, "attributes": {"rotation": -90.0}},
        [490, 410, 490, 210, 510, 210, 510, 410],
    ),
    "eight numbers": ({"bbox": POLYGON[0]}, UPRIGHT),
    "corners under a name of their own": ({"bbox": [490, 210, 20, 200], "poly": POLYGON[0]}, UPRIGHT),
    "points under a name of their own": (
        {"bbox": [490, 210, 20, 200], "segmentation": [], "corners": np.reshape(POLYGON, (4, 2)).tolist()},
        UPRIGHT,
    ),
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
    "upright polygon of a turned box": (
        {"bbox": BOX, "segmentation": [[400, 300, 600, 300, 600, 320, 400, 320]], "attributes": {"rotation": 30}},
        "turns bbox away from the segmentation",
    ),
    "angle of no unit in an attribute": (
        {"bbox": BOX, "attributes": {"theta": 0.3}},
        "attributes.theta 0.3, of unknown",
    ),
    "rotated box of no convention": ({"bbox": BOX, "rbox": [500, 310, 200, 20, 0.1]}, "four numbers beside rbox"),
    "far away": ({"bbox": [1e12, 0, 2, 2]}, "need finite coordinates"),
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
    "choices and texts of a region": (
        [task(
            region(TURNED, id="r"),
            region({**TURNED, "choices": ["broken"]}, "choices", id="r"),
            {"id": "r", "type": "textarea", "value": {**TURNED, "text": ["N 1"]}},
            {"type": "relation", "from_id": "r", "to_id": "r"},
        )], CORNERS,
    ),
    "text before the label": (
        [task({"id": "r", "type": "textarea", "original_width": 1000, "original_height": 500,
               "value": {**TURNED, "text": ["N 1"]}}, region(TURNED, id="r"))], CORNERS,
    ),
    "local storage": (
        [{"annotations": [{"result": [region(TURNED)]}], "data": {"image": "/data/local-files/?d=x%5Cy/a.jpg"}}],
        CORNERS,
    ),
    "address with spaces": (
        [{"annotations": [{"result": [region(TURNED)]}], "data": {"image": "https://h/b%20c/a.jpg?s=1/2"}}], CORNERS,
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


def brush(mask: np.ndarray[Any, Any], literal: bool = False) -> list[int]:
    """Bytes of a brush mask, as Label Studio packs them; ``literal``: without runs."""
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4).tolist()
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    start = 0
    while start < len(values):
        stop = start + 1
        if literal:
            stop = min(start + 8, len(values))
            bits += f"000{stop - start - 1:03b}" + "".join(f"{v:08b}" for v in values[start:stop])
        else:
            while stop < len(values) and values[stop] == values[start]:
                stop += 1
            bits += f"111{stop - start - 1:016b}{values[start]:08b}"
        start = stop
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_brush_masks(literal: bool, whole: bool, tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:9, 0 if whole else 7 : 30 if whole else 19] = 1
    value = {"format": "rle", "rle": brush(mask, literal), "brushlabels": ["ship"]}
    one = {"original_width": 30, "original_height": 20, "type": "brushlabels", "value": value}
    table = read(write(tmp_path, "e.json", [task(one)]))
    corners = np.reshape(only(table), (4, 2))
    left, right = (-0.5, 29.5) if whole else (6.5, 18.5)
    assert (*corners.min(axis=0), *corners.max(axis=0)) == (left, 3.5, right, 8.5)
    assert table.lost == ["1 masks: kept as minimum-area rectangles"]


def test_results_of_a_region_that_disagree(tmp_path: Path) -> None:
    path = write(
        tmp_path, "e.json", [task(region(TURNED, id="r"), region({**TURNED, "rotation": 80}, "labels", id="r"))]
    )
    with pytest.raises(FormatError, match=r"result\[0\]: id \"r\": results of one region disagree"):
        read(path)
    assert read(path, lenient=True).skipped == {"damaged shape": 1}


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
    "mask of whole rows": (
        '<mask label="ship" rle="0, 12" left="10" top="20" width="4" height="3"/>',
        [9.5, 19.5, 13.5, 19.5, 13.5, 22.5, 9.5, 22.5],
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
        (cvat('<mask label="a" rle="8" left="0" top="0" width="4" height="2"/>'), "the mask is empty"),
        (cvat('<mask label="a" rle="0,8" left="0" top="0" width="0" height="2"/>'), "must add up to 0 x 2"),
        (cvat('<polyline label="a" points="1,2;3,4"/>'), "a <polyline> has no corners"),
        (cvat('<skeleton label="a"><points label="b" points="1,2"/></skeleton>'), "a <skeleton> has no corners"),
        (cvat('<box label="a" xtl="1" ytl="1" xbr="3" ybr="4" rotation="x"/>'), "rotation: need numbers"),
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


def test_what_cvat_says_beyond_shapes_is_counted_by_name(tmp_path: Path) -> None:
    box = '<box label="ship" xtl="1" ytl="2" xbr="3" ybr="4" occluded="1" group_id="7" z_order="1">'
    shapes = f'{box}<attribute name="hull">red</attribute></box><tag label="x"/><hologram/>'
    (lost,) = read(write(tmp_path, "a.xml", cvat(shapes))).lost
    assert lost.startswith("5 entries or flags of objects: not kept: ")
    assert all(f"'{name}' 1" in lost for name in ("occluded", "group_id", "hull", "tag", "hologram"))


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


def test_via_as_a_list(tmp_path: Path) -> None:
    images = [{"filename": f"{name}.jpg", "regions": VIA["polygon"][0], "size": 1} for name in "ab"]
    table = read(write(tmp_path, "via.json", images))
    assert table.images == ["a", "b"] and len(table) == 2


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ({"name": "ellipse", "cx": 1, "cy": 2, "rx": 3, "ry": 4, "theta": 0.1}, "a 'ellipse' has no corners"),
        ({"name": "polyline", "all_points_x": [1, 2], "all_points_y": [1, 2]}, "a 'polyline' has no corners"),
        ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, "two lists of one length"),
        ({**RECT, "theta": 0.5}, "a rect with an angle (0.5) of unknown unit"),
        ({**RECT, "width": -3}, "must not be negative"),
        ({**RECT, "x": None}, "x: need numbers"),
    ],
)
def test_other_regions_of_via(shape: dict[str, Any], says: str, tmp_path: Path) -> None:
    regions = [{"shape_attributes": one, "region_attributes": {"c": "ship"}} for one in (RECT, shape)]
    path = write(tmp_path, "v.json", {"a.jpg1": {"filename": "a.jpg", "size": 1, "regions": regions}})
    with pytest.raises(FormatError, match=r"v\.json: a\.jpg1: regions\[1\]: ") as error:
        read(path)
    assert says in str(error.value)
    assert len(read(path, lenient=True)) == 1


def supervisely(kind: str, exterior: list[Any], **more: Any) -> dict[str, Any]:
    thing = {"classTitle": "ship", "geometryType": kind, "points": {"exterior": exterior, "interior": []}, **more}
    return {"description": "", "tags": [], "size": {"height": 500, "width": 1000}, "objects": [thing]}


SUPERVISELY = {
    "polygon": (supervisely("polygon", SQUARE), FLAT),
    "rectangle": (supervisely("rectangle", [[1, 2], [3, 4]]), [1, 2, 3, 2, 3, 4, 1, 4]),
    "oriented": (supervisely("oriented_bbox", [[400, 300], [600, 320]], angle=math.pi / 2), UPRIGHT),
    "oriented, corners alone": (
        supervisely("oriented_bbox", [], angle=math.pi / 2, points=[[600, 320], [400, 300]]),
        UPRIGHT,
    ),
}


@pytest.mark.parametrize(("record", "corners"), SUPERVISELY.values(), ids=SUPERVISELY)
def test_supervisely(record: dict[str, Any], corners: list[float], tmp_path: Path) -> None:
    write(tmp_path, "ann/a.jpg.json", record)
    write(tmp_path, "meta.json", {"classes": []})
    for source in (tmp_path, tmp_path / "ann"):
        table = read(source)
        assert only(table) == corners and (table.images, table.sizes) == (["a"], [(500, 1000)])


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (supervisely("bitmap", []), "a 'bitmap' has no corners"),
        (supervisely("line", [[1, 2], [3, 4]]), "a 'line' has no corners"),
        (supervisely("oriented_bbox", [[1, 2], [3, 4]], angle=45), "angle: need radians"),
        (supervisely("rectangle", [[1, 2], [3, 4], [5, 6]]), "need two corners, got 3"),
        (supervisely("polygon", [[1, 2], [3]]), "need [[x, y], ...]"),
        (supervisely("polygon", SQUARE, classTitle=""), "label: need a name"),
    ],
)
def test_other_shapes_of_supervisely(record: dict[str, Any], says: str, tmp_path: Path) -> None:
    write(tmp_path, "a.jpg.json", record)
    with pytest.raises(FormatError, match=r"a\.jpg\.json: objects\[0\]: ") as error:
        read(tmp_path)
    assert says in str(error.value)
    assert sum(read(tmp_path, lenient=True).skipped.values()) == 1


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
    "rotated, as points": ({"type": "rotated_bbox", "points": [500, 310, 200, 20, 90]}, UPRIGHT),
    "rotated, under its name": ({"type": "rotated_bbox", "rotated_bbox": [500, 310, 200, 20, 90]}, UPRIGHT),
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


def test_masks_crowds_and_captions_of_datumaro(tmp_path: Path) -> None:
    record = datumaro({"type": "mask", "rle": {"size": [3, 4], "counts": [3, 6, 3]}, "attributes": {"is_crowd": True}})
    record["items"][0]["annotations"] += [{"type": "caption", "caption": "x"}, {"type": "label", "label_id": 0}]
    table = read(write(tmp_path, "d.json", record))
    corners = np.reshape(only(table), (4, 2))
    assert (*corners.min(axis=0), *corners.max(axis=0)) == (0.5, -0.5, 2.5, 2.5)
    assert table.ignored is not None and table.ignored.tolist() == [True]
    assert table.lost == [
        "1 masks: kept as minimum-area rectangles",
        "2 entries or flags of objects: not kept: 'caption' 1, 'label' 1",
    ]


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        ({"type": "ellipse", "points": [1, 2, 3, 4]}, "a 'ellipse' has no corners"),
        ({"type": "polyline", "points": [1, 2, 3, 4]}, "a 'polyline' has no corners"),
        ({"type": "mask", "rle": {"size": [3, 4], "counts": [1]}}, "must add up to 12 pixels"),
        ({"type": "bbox", "bbox": [1, 2, -3, 4]}, "must not be negative"),
        ({"type": "bbox", "bbox": [1, 2, 3, 4], "label_id": 2}, "label_id: need a number from 0 to 1"),
        ({"type": "rotated_bbox", "points": [1, 2, 3, 4]}, "need cx, cy, w, h, degrees"),
    ],
)
def test_other_annotations_of_datumaro(annotation: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = write(tmp_path, "d.json", datumaro(annotation))
    with pytest.raises(FormatError, match=r"d\.json: items\[0\]\.annotations\[0\]: ") as error:
        read(path)
    assert says in str(error.value)
    assert sum(read(path, lenient=True).skipped.values()) == 1


SHARES = [[0.1, 0.1], [0.5, 0.2], [0.4, 0.4], [0.1, 0.3]]
ALL_SHARES = {
    "coco": coco({"bbox": [0.1, 0.1, 0.2, 0.3]}),
    "labelme": labelme({"points": SHARES}),
    "via": {"a": {"filename": "a.jpg", "regions": [{"shape_attributes": {**RECT, "x": 0.1, "y": 0, "width": 0.1,
                  "height": 0.3}, "region_attributes": {"c": "ship"}}]}},
    "datumaro": datumaro({"type": "polygon", "points": np.ravel(SHARES).tolist()}),
    "cvat": cvat('<box label="ship" xtl="0.1" ytl="0" xbr="0.5" ybr="1"/>'),
    "supervisely": supervisely("polygon", SHARES),
}  # fmt: skip


@pytest.mark.parametrize("kind", ALL_SHARES)
@pytest.mark.parametrize("lenient", [False, True])
def test_coordinates_that_are_all_shares(kind: str, lenient: bool, tmp_path: Path) -> None:
    path = write(tmp_path, "a.xml" if kind == "cvat" else "a.json", ALL_SHARES[kind])
    with pytest.raises(FormatError, match=r"a\.(xml|json): all coordinates lie between 0 and 1: need pixels"):
        read(tmp_path if kind == "supervisely" else path, lenient=lenient)


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
    "label_studio_texts": LABEL_STUDIO["choices and texts of a region"][0],
    "label_studio_brush": [
        task(
            {
                "original_width": 3,
                "original_height": 2,
                "type": "brushlabels",
                "value": {"rle": brush(np.eye(2, 3)), "brushlabels": ["ship"]},
            }
        )
    ],
    "via_list": [{"filename": "a.jpg", "size": 3, "regions": VIA["checkbox"][0]}],
    "datumaro_mask": datumaro({"type": "mask", "rle": {"size": [3, 4], "counts": [3, 6, 3]}}),
    "via": {"a": {"filename": "a.jpg", "size": 3, "regions": VIA["polygon"][0]}},
    "supervisely": SUPERVISELY["oriented"][0],
    "datumaro": datumaro(DATUMARO["box"][0]),
    "cvat": cvat(*(shape for shape, _ in CVAT.values())),
}
PIECES = ["", ",", "null", "-1", "1e999", "NaN", "[]", "{}", "[[1]]", '"x"', "true", "\\u0000", "é", ":", "<", "/>"]


@pytest.mark.parametrize("kind", SOURCES)
def test_mutants(kind: str, tmp_path: Path) -> None:
    """Whatever is damaged, the error is a FormatError. ``ROTX_MUTANTS=100000 pytest -k mutants`` tries more."""
    content = SOURCES[kind]
    text = content if isinstance(content, str) else json.dumps(content)
    path = tmp_path / ("a.xml" if kind == "cvat" else "a.json")
    numbers = random.Random(kind)
    for _ in range(int(os.environ.get("ROTX_MUTANTS", "300"))):
        mutant = text
        for _ in range(numbers.choice([1, 1, 2, 4])):
            start = numbers.randrange(len(mutant))
            stop = start + numbers.choice([0, 1, 1, 2, 5, 30])
            mutant = (mutant[:start] + numbers.choice(PIECES) + mutant[stop:]) or "x"
        path.write_text(mutant)
        try:
            table = read(path if kind != "supervisely" else tmp_path, lenient=numbers.random() < 0.5)
        except FormatError as error:
            assert "\n" not in str(error)
        else:
            assert np.isfinite(table.quads).all()
