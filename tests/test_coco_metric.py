"""COCO's official numbers: those that pycocotools gave for a made-up set, by way of our records."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rotx.evaluation.coco import CLASS_NUMBERS, NUMBERS, CocoMetric, evaluate_coco
from rotx.evaluation.metrics import build_metric
from rotx.evaluation.report import score_table, to_csv
from rotx.records import InstanceTable, Masks

pytest.importorskip("pycocotools", reason="needs the extra train")
GOLDENS = Path(__file__).parent / "goldens/mmdet/coco_eval"


def read(name: str) -> Any:
    return json.loads(gzip.decompress((GOLDENS / f"{name}.json.gz").read_bytes()))


EXPECTED = json.loads((GOLDENS / "results.json").read_text())


def table(things: list[Any], truth: Any, masks: bool) -> InstanceTable:
    """Annotations or detections as a table; masks as polygons or run lengths, as they are."""
    images = {image["id"]: i for i, image in enumerate(truth["images"])}
    classes = {category["id"]: i for i, category in enumerate(truth["categories"])}
    corners = np.array([thing.get("bbox", [0.0] * 4) for thing in things], float).reshape(-1, 4)
    items = [
        value if isinstance(value, dict) else [np.array(polygon, float) for polygon in value]
        for value in (thing["segmentation"] for thing in things if masks)
    ]
    return InstanceTable(
        images=[Path(image["file_name"]).stem for image in truth["images"]],
        classes=[category["name"] for category in truth["categories"]],
        boxes=np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1),
        kind="hbox",
        image=np.array([images[thing["image_id"]] for thing in things], np.int32),
        label=np.array([classes[thing["category_id"]] for thing in things], np.int32),
        scores=np.array([thing["score"] for thing in things]) if "score" in things[0] else None,
        ignored=np.array([bool(thing.get("iscrowd")) for thing in things]),
        masks=Masks(items) if masks else None,
        sizes=[(image["height"], image["width"]) for image in truth["images"]],
    )


@pytest.fixture(scope="module")
def truth() -> Any:
    return read("gt")


@pytest.fixture(scope="module")
def objects(truth: Any) -> InstanceTable:
    return table(truth["annotations"], truth, masks=True)


@pytest.mark.parametrize("from_file", [True, False])
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_official_numbers(truth: Any, objects: InstanceTable, tmp_path: Path, kind: Any, from_file: bool) -> None:
    """From COCO's own file, and from the records that our readers make of it."""
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    found = table(read(f"dt_{kind}"), truth, masks=kind == "segm")
    evaluation = evaluate_coco(objects, found, [kind], ann_file=tmp_path / "gt.json" if from_file else None)
    numbers = evaluation.numbers[kind]
    assert list(numbers) == list(NUMBERS)
    for name, value in EXPECTED[kind].items():
        assert numbers[name] == pytest.approx(value, abs=1e-12), name
    per_class = EXPECTED[f"{kind}_per_class"]
    assert len(per_class) == len(evaluation.classes) == 8
    for row, category in zip(evaluation.of_classes[kind], truth["categories"], strict=True):
        expected = [per_class[str(category["id"])][name] for name in CLASS_NUMBERS]
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-12)
    counts = EXPECTED["counts"]
    assert evaluation.gts.sum() == counts["gts"] - counts["crowd"] and evaluation.dets.sum() == counts["detections"]
    assert evaluation.map == numbers["AP"]


def test_the_metric_of_a_config(truth: Any, objects: InstanceTable, tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    config = {"type": "mmdet.CocoMetric", "ann_file": str(tmp_path / "gt.json"), "metric": ["bbox", "segm"]}
    metric = build_metric(config, "val_evaluator")
    assert isinstance(metric, CocoMetric)
    found = table(read("dt_segm"), truth, masks=True)
    found.boxes = table(read("dt_bbox"), truth, masks=False).boxes
    evaluation = metric.evaluate(objects, found)
    headline = metric.headline(evaluation)
    assert next(iter(headline)) == "bbox_mAP" and len(headline) == 12
    assert headline["bbox_mAP_75"] == pytest.approx(EXPECTED["bbox"]["AP75"], abs=1e-12)
    assert headline["segm_mAP_s"] == pytest.approx(EXPECTED["segm"]["APs"], abs=1e-12)
    record = json.loads(json.dumps(evaluation.to_dict()))
    assert record["segm"]["AP"] == evaluation.numbers["segm"]["AP"]
    assert record["classes"]["class_1"]["bbox"]["AP"] == pytest.approx(EXPECTED["bbox_per_class"]["1"]["AP"], abs=1e-12)
    lines = to_csv(evaluation).splitlines()
    assert lines[0] == "kind,class,gts,dets,AP,AP50,AP75,APs,APm,APl,AR" and len(lines) == 19
    assert score_table(evaluation).count("\n") == 13
    rows = evaluation.table()
    assert rows[0][:4] == ["class", "objects", "detections", "bbox AP"] and len(rows) == 10
    assert rows[-1][3] == f"{EXPECTED['bbox']['AP']:.4f}" and rows[8][3] == "–"  # a class without objects


def test_some_images_and_classes(truth: Any, objects: InstanceTable) -> None:
    """Of images and classes that were not asked for nothing counts."""
    found = table(read("dt_bbox"), truth, masks=False)
    keep = (found.image < 10) & (found.label < 2)
    some = table([thing for thing, kept in zip(read("dt_bbox"), keep, strict=True) if kept], truth, masks=False)
    some.images, some.classes = some.images[:10], some.classes[:2]
    evaluation = evaluate_coco(objects, some)
    assert evaluation.of_classes["bbox"].shape == (2, 7) and 0 < evaluation.map < 1
    assert evaluation.gts.sum() == np.count_nonzero((objects.image < 10) & (objects.label < 2) & ~objects.ignored)


def test_nothing_found(truth: Any, objects: InstanceTable) -> None:
    none = table(read("dt_bbox")[:1], truth, masks=False)
    none.keep_objects(np.zeros(1, np.bool_))
    evaluation = evaluate_coco(objects, none)
    assert evaluation.map == 0 and evaluation.dets.sum() == 0


def test_what_is_missing(truth: Any, objects: InstanceTable, tmp_path: Path) -> None:
    found = table(read("dt_bbox")[:5], truth, masks=False)
    with pytest.raises(ValueError, match="segm: need masks, got only boxes"):
        evaluate_coco(objects, found, ["segm"])
    found.classes = ["class_1", *found.classes[1:-1], "dog"]
    with pytest.raises(ValueError, match="there is no class 'dog'"):
        evaluate_coco(objects, found)
    found.classes, found.images = objects.classes, ["else", *objects.images[1:]]
    with pytest.raises(ValueError, match="there is no image 'else'"):
        evaluate_coco(objects, found)
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ValueError, match=r"x\.json: is not a COCO annotation file"):
        evaluate_coco(objects, found, ann_file=tmp_path / "x.json")
    for metric in ("proposal", [], ["bbox", "bbox"]):
        with pytest.raises(ValueError, match="metric: need 'bbox', 'segm' or both"):
            CocoMetric(metric=metric)


def test_the_first_shape_selects_the_best_checkpoint() -> None:
    assert CocoMetric(metric=["segm", "bbox"]).kinds == ("segm", "bbox")


@pytest.mark.parametrize("thresholds", [[], [0.5, 2.0], "half", ["0.5"]])
def test_wrong_thresholds(thresholds: Any) -> None:
    with pytest.raises(ValueError, match="iou_thrs: need 1 to 32 thresholds"):
        CocoMetric(iou_thrs=thresholds)


def test_boxes_need_no_sizes_of_images() -> None:
    masks = Masks([[np.array([10.0, 10, 50, 10, 50, 50, 10, 50])]])
    things = {"images": ["a"], "classes": ["ship"], "boxes": np.array([[10.0, 10, 50, 50]]), "kind": "hbox"}
    things |= {"image": np.zeros(1, np.int32), "label": np.zeros(1, np.int32)}
    truth = InstanceTable(**things, difficult=np.zeros(1, np.uint8), masks=masks)
    found = InstanceTable(**things, scores=np.ones(1))
    assert evaluate_coco(truth, found).map == pytest.approx(1)
